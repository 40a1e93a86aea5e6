"""Contrastive losses whose memory grows with the batch, not its square."""

import keras
from keras import ops

# Logits that may be held at once, before they are computed a block of rows at
# a time: those of 2,048 videos with 2,048 texts, 16 MiB.
MAX_DIRECT_LOGITS = 2**22
# Rows of a block: enough that many devices share each block.
BLOCK_ROWS = 512


def nce_loss(video_embeddings, text_embeddings, logit_scale):
    """Noise-contrastive loss over the batch, in both directions (as CLIP).

    With logits `s_ij = logit_scale * <video_i, text_j>`, the loss of pair `i`
    is `-(log softmax_j(s_ij)[i] + log softmax_j(s_ji)[i]) / 2`: each video is
    to find its text among the batch's texts, and each text its video.

    The logits of a large batch are computed a block at a time, and again in
    the backward pass: they are never held together.

    Args:
        video_embeddings: tensor of shape `(batch, dim)`, unit length.
        text_embeddings: tensor of shape `(batch, dim)`, unit length.
        logit_scale: scalar tensor, one over the temperature.

    Returns:
        A float32 tensor of shape `(batch,)`, one loss a pair. Equal
        embeddings everywhere give `log(batch)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import nce_loss

    nce_loss(np.eye(4), np.eye(4), logit_scale=100.0)  # all close to 0
    ```
    """

    def nll(logits, is_pair):
        right = ops.sum(ops.where(is_pair, logits, 0.0), axis=1)
        return ops.logsumexp(logits, axis=1) - right

    video_to_text = _row_losses(
        nll, video_embeddings, text_embeddings, logit_scale
    )
    text_to_video = _row_losses(
        nll, text_embeddings, video_embeddings, logit_scale
    )
    return (video_to_text + text_to_video) / 2


def sigmoid_loss(video_embeddings, text_embeddings, logit_scale, logit_bias):
    """Pairwise sigmoid loss (as SigLIP): every pair is a yes-or-no question.

    With logits `s_ij = logit_scale * <video_i, text_j> + logit_bias`, the loss
    of pair `i` is `sum_j -log sigmoid(z_ij * s_ij)`, where `z_ij` is 1 for
    `i = j` and -1 elsewhere.

    The logits of a large batch are computed a block at a time, and again in
    the backward pass: they are never held together.

    Args:
        video_embeddings: tensor of shape `(batch, dim)`, unit length.
        text_embeddings: tensor of shape `(batch, dim)`, unit length.
        logit_scale: scalar tensor.
        logit_bias: scalar tensor.

    Returns:
        A float32 tensor of shape `(batch,)`, one loss a pair.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import sigmoid_loss

    sigmoid_loss(np.eye(4), np.eye(4), 20.0, -10.0)  # all close to 0
    ```
    """

    def nll(logits, is_pair):
        signed = ops.where(is_pair, logits, -logits)
        return -ops.sum(ops.log_sigmoid(signed), axis=1)

    return _row_losses(
        nll, video_embeddings, text_embeddings, logit_scale, logit_bias
    )


def _row_losses(nll, rows, columns, scale, bias=0.0):
    """The losses of rows of logits, `scale * rows @ columns^T + bias`.

    `nll` makes some whole rows of logits, and a bool tensor that tells where
    row and column are a pair, into one loss a row.
    """
    rows, columns, scale, bias = (
        ops.cast(x, "float32") for x in (rows, columns, scale, bias)
    )
    batch = ops.shape(rows)[0]
    pairs = ops.arange(batch)

    # All that has a gradient is an argument: on TensorFlow, what `remat`
    # finds in the closure gets none.
    def block_losses(rows, columns, scale, bias, row_pairs):
        logits = scale * ops.matmul(rows, ops.transpose(columns)) + bias
        return nll(logits, row_pairs[:, None] == pairs[None, :])

    # A batch size unknown while TensorFlow traces counts as large.
    if isinstance(batch, int) and batch**2 <= MAX_DIRECT_LOGITS:
        return block_losses(rows, columns, scale, bias, pairs)

    # Every so many rows make a block, and not neighbours: where the batch is
    # cut into one part a device, all of them work on every block.
    def into_blocks(x):
        x = ops.pad(x, [(0, padding)] + [(0, 0)] * (len(x.shape) - 1))
        return ops.swapaxes(
            ops.reshape(x, (BLOCK_ROWS, -1, *x.shape[1:])), 0, 1
        )

    padding = -batch % BLOCK_ROWS
    losses = ops.map(
        lambda block: keras.remat(block_losses)(
            block["rows"], columns, scale, bias, block["pairs"]
        ),
        {"rows": into_blocks(rows), "pairs": into_blocks(pairs)},
    )
    return ops.reshape(ops.transpose(losses), (-1,))[:batch]

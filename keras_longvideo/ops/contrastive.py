"""Contrastive losses between videos and texts."""

from keras import ops


def nce_loss(video_embeddings, text_embeddings, logit_scale):
    """Noise-contrastive loss over the batch, in both directions (as CLIP).

    With logits `s_ij = logit_scale * <video_i, text_j>`, the loss of pair `i`
    is `-(log softmax_j(s_ij)[i] + log softmax_j(s_ji)[i]) / 2`: each video is
    to find its text among the batch's texts, and each text its video.

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
    logits = _logits(video_embeddings, text_embeddings, logit_scale)
    video_to_text = ops.diagonal(ops.log_softmax(logits, axis=1))
    text_to_video = ops.diagonal(ops.log_softmax(logits, axis=0))
    return -(video_to_text + text_to_video) / 2


def sigmoid_loss(video_embeddings, text_embeddings, logit_scale, logit_bias):
    """Pairwise sigmoid loss (as SigLIP): every pair is a yes-or-no question.

    With logits `s_ij = logit_scale * <video_i, text_j> + logit_bias`, the loss
    of pair `i` is `sum_j -log sigmoid(z_ij * s_ij)`, where `z_ij` is 1 for
    `i = j` and -1 elsewhere.

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
    logits = _logits(video_embeddings, text_embeddings, logit_scale)
    logits = logits + ops.cast(logit_bias, "float32")
    signs = 2.0 * ops.eye(ops.shape(logits)[0], dtype="float32") - 1.0
    return -ops.sum(ops.log_sigmoid(signs * logits), axis=1)


def _logits(video_embeddings, text_embeddings, logit_scale):
    video_embeddings = ops.cast(video_embeddings, "float32")
    text_embeddings = ops.cast(text_embeddings, "float32")
    similarity = ops.matmul(video_embeddings, ops.transpose(text_embeddings))
    return ops.cast(logit_scale, "float32") * similarity

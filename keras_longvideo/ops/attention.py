"""Bidirectional attention whose memory grows with the tokens, not their square.

`keras.ops.dot_product_attention` is not used: on TPU, without a mask, it
computes causal and unscaled attention.
"""

import math

import keras
from keras import ops

# Scores that may be held at once, over batch and heads, before they are
# computed a chunk at a time: 2**20 float32 scores are 4 MiB.
MAX_DIRECT_SCORES = 2**20
# Queries of one head in a chunk. Against some thousands of keys their scores
# stay within a CPU's cache, and the matrix products are still large.
CHUNK_SIZE = 256


def dot_product_attention(
    query, key, value, key_mask=None, implementation=None
):
    """Scaled dot-product attention over all keys, in linear memory.

    `output = softmax(query @ key^T / sqrt(head_dim)) @ value`, with the
    softmax in float32 whatever the inputs' dtype. Attention is bidirectional.

    Args:
        query: tensor of shape `(batch, queries, heads, head_dim)`.
        key: tensor of shape `(batch, keys, heads, head_dim)`.
        value: tensor of shape `(batch, keys, heads, head_dim)`.
        key_mask: optional bool tensor of shape `(batch, keys)`. Keys at
            `False` get no attention. A row without any `True` attends to all
            keys, so that padding never makes NaN.
        implementation: `"direct"` holds all `queries x keys` scores at once;
            `"chunked"` computes them for one head and a few queries at a time,
            and again in the backward pass; `"sdpa"` is torch's own kernel
            (torch backend only). `None` picks `"sdpa"` on torch, and elsewhere
            `"direct"` where the scores are few, else `"chunked"`.

    Returns:
        A tensor of shape `(batch, queries, heads, head_dim)`, in the dtype of
        `query`.

    Raises:
        ValueError: if shapes do not fit one another or `implementation` is
            not available on this backend.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import dot_product_attention

    x = np.random.normal(size=(2, 8, 4, 16)).astype("float32")
    dot_product_attention(x, x, x).shape  # (2, 8, 4, 16)
    ```
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    _check_shapes(query, key, value, key_mask)
    if key_mask is not None:
        key_mask = ops.convert_to_tensor(key_mask, "bool")
        empty = ops.logical_not(ops.any(key_mask, axis=1, keepdims=True))
        key_mask = ops.logical_or(key_mask, empty)
    implementation = _choose(implementation, query, key)
    if implementation == "sdpa":
        return _sdpa(query, key, value, key_mask)
    # Scaling the queries costs less than scaling all scores.
    query = query / math.sqrt(query.shape[-1])
    bias = None
    if key_mask is not None:
        bias = ops.where(key_mask, 0.0, -1e30)
    attend = _direct if implementation == "direct" else _chunked
    return attend(query, key, value, bias)


def _check_shapes(query, key, value, key_mask):
    for name, x in (("query", query), ("key", key), ("value", value)):
        if len(x.shape) != 4:
            raise ValueError(
                f"`{name}` must have shape (batch, tokens, heads, head_dim). "
                f"Received: {name}.shape={tuple(x.shape)}"
            )
    if key.shape[1:] != value.shape[1:] or key.shape[2:] != query.shape[2:]:
        raise ValueError(
            "`key` and `value` must have the same shape, and the heads and "
            "head_dim of `query`. Received: "
            f"query.shape={tuple(query.shape)}, key.shape={tuple(key.shape)}, "
            f"value.shape={tuple(value.shape)}"
        )
    if key_mask is not None and (
        len(key_mask.shape) != 2 or key_mask.shape[1] != key.shape[1]
    ):
        raise ValueError(
            "`key_mask` must have shape (batch, keys) = "
            f"({key.shape[0]}, {key.shape[1]}). "
            f"Received: key_mask.shape={tuple(key_mask.shape)}"
        )


def _choose(implementation, query, key):
    backend = keras.backend.backend()
    available = ["direct", "chunked"] + ["sdpa"] * (backend == "torch")
    if implementation in available:
        return implementation
    if implementation is not None:
        raise ValueError(
            f"`implementation` must be None or one of {available} on the "
            f"{backend} backend. Received: implementation={implementation!r}"
        )
    if backend == "torch":
        return "sdpa"
    # A batch size unknown while TensorFlow traces counts as one.
    batch, queries, heads, _ = query.shape
    num_scores = (batch or 1) * heads * queries * key.shape[1]
    return "direct" if num_scores <= MAX_DIRECT_SCORES else "chunked"


def _direct(query, key, value, bias):
    if bias is not None:
        bias = bias[:, None, None, :]
    output = _attend(*map(_heads_first, (query, key, value)), bias)
    return ops.transpose(output, (0, 2, 1, 3))


def _chunked(query, key, value, bias):
    batch, length = ops.shape(query)[0], query.shape[1]
    heads, head_dim = query.shape[2:]
    size = min(CHUNK_SIZE, length)
    num_chunks = -(-length // size)
    padding = num_chunks * size - length
    query = ops.pad(query, [(0, 0), (0, padding), (0, 0), (0, 0)])
    query, key, value = map(_heads_first, (query, key, value))
    # One head of one example at a time.
    parts = {
        "chunks": ops.reshape(query, (-1, num_chunks, size, head_dim)),
        "key": ops.reshape(key, (-1, key.shape[2], head_dim)),
        "value": ops.reshape(value, (-1, value.shape[2], head_dim)),
    }
    if bias is not None:
        parts["bias"] = ops.repeat(bias, heads, axis=0)

    def attend_head(part):
        # Recomputing a chunk in the backward pass keeps its scores from being
        # stored: only queries, keys and values are.
        @keras.remat
        def attend(chunk, key, value):
            return _attend(chunk, key, value, part.get("bias"))

        return ops.map(
            lambda chunk: attend(chunk, part["key"], part["value"]),
            part["chunks"],
        )

    output = ops.map(attend_head, parts)
    output = ops.reshape(output, (batch, heads, num_chunks * size, head_dim))
    return ops.transpose(output, (0, 2, 1, 3))[:, :length]


def _heads_first(x):
    return ops.transpose(x, (0, 2, 1, 3))


def _attend(query, key, value, bias):
    """Attention of `(..., queries, dim)` to `(..., keys, dim)`."""
    scores = _float32_matmul(query, ops.swapaxes(key, -1, -2))
    if bias is not None:
        scores = scores + bias
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    # Dividing the few outputs costs less than dividing the many weights.
    total = ops.sum(weights, axis=-1, keepdims=True)
    output = ops.matmul(ops.cast(weights, value.dtype), value)
    return ops.cast(ops.cast(output, "float32") / total, value.dtype)


def _float32_matmul(a, b):
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        # Half-precision inputs multiply at full speed and add up in float32.
        return jnp.matmul(a, b, preferred_element_type=jnp.float32)
    return ops.matmul(ops.cast(a, "float32"), ops.cast(b, "float32"))


def _sdpa(query, key, value, key_mask):
    import torch

    output = torch.nn.functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=None if key_mask is None else key_mask[:, None, None, :],
    )
    return output.transpose(1, 2)

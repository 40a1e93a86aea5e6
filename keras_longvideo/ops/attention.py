"""Bidirectional attention whose memory grows with the tokens, not their square.

`keras.ops.dot_product_attention` is not used: on TPU, without a mask, it
computes causal and unscaled attention.
"""

import math

import keras
from keras import ops

# Scores that one chunk of queries may hold at a time, over batch and heads.
# 2**24 float32 scores are 64 MiB: small beside the activations of a layer,
# large enough that matrix products stay efficient.
MAX_CHUNK_SCORES = 2**24


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
            `"chunked"` computes them a block of queries at a time, and again
            in the backward pass; `"sdpa"` is torch's own kernel (torch
            backend only). `None` picks `"sdpa"` on torch, and elsewhere
            `"direct"` where all scores fit in one block, else `"chunked"`.

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
    scale = 1.0 / math.sqrt(query.shape[-1])
    bias = None
    if key_mask is not None:
        bias = ops.where(key_mask, 0.0, -1e30)[:, None, None, :]
    if implementation == "direct":
        return _attend(query, key, value, bias, scale)
    return _chunked(query, key, value, bias, scale)


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
    return "direct" if _chunk_size(query, key) >= query.shape[1] else "chunked"


def _chunk_size(query, key):
    """The number of queries whose scores fit in `MAX_CHUNK_SCORES`."""
    # A batch size unknown while TensorFlow traces counts as one.
    scores_per_query = (query.shape[0] or 1) * query.shape[2] * key.shape[1]
    return max(1, MAX_CHUNK_SCORES // scores_per_query)


def _attend(query, key, value, bias, scale):
    scores = _float32_scores(query, key) * scale
    if bias is not None:
        scores = scores + bias
    weights = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
    return ops.einsum("bhqk,bkhd->bqhd", weights, value)


def _float32_scores(query, key):
    equation = "bqhd,bkhd->bhqk"
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        # Half-precision inputs multiply at full speed and add up in float32.
        return jnp.einsum(
            equation, query, key, preferred_element_type=jnp.float32
        )
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    return ops.einsum(equation, query, key)


def _chunked(query, key, value, bias, scale):
    _, length, heads, head_dim = query.shape
    size = min(_chunk_size(query, key), length)
    num_chunks = -(-length // size)
    # Even chunks: padding wastes less than one query a chunk.
    size = -(-length // num_chunks)
    padding = num_chunks * size - length
    query = ops.pad(query, [(0, 0), (0, padding), (0, 0), (0, 0)])
    query = ops.reshape(query, (-1, num_chunks, size, heads, head_dim))

    # Recomputing a chunk in the backward pass keeps its scores from being
    # stored: only `query`, `key` and `value` are.
    @keras.remat
    def attend(chunk, key, value):
        return _attend(chunk, key, value, bias, scale)

    chunks = ops.transpose(query, (1, 0, 2, 3, 4))
    output = ops.map(lambda chunk: attend(chunk, key, value), chunks)
    output = ops.transpose(output, (1, 0, 2, 3, 4))
    output = ops.reshape(output, (-1, num_chunks * size, heads, head_dim))
    return output[:, :length]


def _sdpa(query, key, value, key_mask):
    import torch

    output = torch.nn.functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=None if key_mask is None else key_mask[:, None, None, :],
    )
    return output.transpose(1, 2)

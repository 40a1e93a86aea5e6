"""Bidirectional attention whose memory grows with the tokens, not their square.

`keras.ops.dot_product_attention` is not used: on TPU, without a mask, it
computes causal and unscaled attention.
"""

import functools
import math
import re

import keras
from keras import ops

# Scores held at once, over batch and heads, that `None` computes directly:
# 2**20 float32 scores are 4 MiB.
MAX_DIRECT_SCORES = 2**20

_implementation = None


def dot_product_attention(
    query, key, value, key_mask=None, implementation=None
):
    """Scaled dot-product attention over all keys, in linear memory.

    `output = softmax(query @ key^T / sqrt(head_dim)) @ value`, with the
    softmax in float32 whatever the inputs' dtype. Attention is bidirectional.

    On JAX, under a `keras.distribution`, each device computes the examples
    that are its own; a mesh axis named `"model"` also divides the heads, and
    one named `"sequence"` the queries.

    Args:
        query: tensor of shape `(batch, queries, heads, head_dim)`.
        key: tensor of shape `(batch, keys, heads, head_dim)`.
        value: tensor of shape `(batch, keys, heads, head_dim)`.
        key_mask: optional bool tensor of shape `(batch, keys)`. Keys at
            `False` get no attention. A row without any `True` attends to all
            keys, so that padding never makes NaN.
        implementation: how to compute it, one of

            - `"direct"`: holds all `queries x keys` scores at once.
            - `"chunked"` (JAX, TensorFlow): a chunk of queries at a time, and
              again in the backward pass.
            - `"splash"` (JAX): a kernel for TPUs. On CPU it is emulated,
              slowly.
            - `"cudnn"` (JAX): a kernel for NVIDIA's GPUs, from compute
              capability 8.0, for float16 and bfloat16 and a `head_dim` up to
              128 that 8 divides.
            - `"sdpa"` (torch): torch's own kernel.

            `None`, the default, takes that of
            `set_attention_implementation`, or else the fastest here, which is
            `"direct"` where the scores are few: 2**20 in all, or fewer
            queries than `head_dim` (on torch always `"sdpa"`).

    Returns:
        A tensor of shape `(batch, queries, heads, head_dim)`, in the dtype of
        `query`.

    Raises:
        ValueError: if shapes do not fit one another or `implementation` is
            not available here.

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
    distribution = _distribution(query)
    device = _device(query, distribution)
    dtype = keras.backend.standardize_dtype(query.dtype)
    name = _choose(implementation, query.shape, key.shape, dtype, device)
    attend = _load(name, device)
    if distribution is None or name == "direct":
        return attend(query, key, value, key_mask)
    from keras_longvideo.ops.sharded_attention import sharded_attention

    return sharded_attention(attend, distribution, query, key, value, key_mask)


def set_attention_implementation(implementation):
    """Sets how attention is computed wherever a call does not say.

    It counts from the next call on; functions that are compiled already stay
    as they are.

    Args:
        implementation: a name as in `dot_product_attention`, or `None` to
            choose by device and shape again, as at first.

    Raises:
        ValueError: if `implementation` is not available here.

    Example:

    ```python
    from keras_longvideo import ops

    ops.set_attention_implementation("direct")
    ops.attention_implementation()  # "direct"
    ops.set_attention_implementation(None)
    ```
    """
    global _implementation
    if implementation is not None:
        device = _device(None, keras.distribution.distribution())
        _check_name(implementation, _available(device))
    _implementation = implementation


def attention_implementation(
    query_shape=(1, 32768, 16, 64), key_shape=None, dtype=None
):
    """The name of what `dot_product_attention` computes attention with.

    Args:
        query_shape: tuple of ints `(batch, queries, heads, head_dim)`.
            Defaults to a long input.
        key_shape: tuple of ints `(batch, keys, heads, head_dim)`. `None`, the
            default, is `query_shape`.
        dtype: string, the dtype of the inputs. `None`, the default, is the
            compute dtype of `keras.config.dtype_policy()`.

    Returns:
        A string as `implementation` of `dot_product_attention`.

    Example:

    ```python
    from keras_longvideo import ops

    ops.attention_implementation()  # "chunked", say
    ops.attention_implementation((1, 196, 12, 64))  # "direct", say
    ```
    """
    return _choose(
        None,
        query_shape,
        key_shape or query_shape,
        dtype or keras.config.dtype_policy().compute_dtype,
        _device(None, keras.distribution.distribution()),
    )


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
    # A batch size may be unknown while a graph is traced.
    if not _is_one_size(query.shape[0], key.shape[0], value.shape[0]):
        raise ValueError(
            "`query`, `key` and `value` must have the same batch size. "
            f"Received: query.shape={tuple(query.shape)}, "
            f"key.shape={tuple(key.shape)}, value.shape={tuple(value.shape)}"
        )
    if key_mask is not None and (
        len(key_mask.shape) != 2
        or key_mask.shape[1] != key.shape[1]
        # One mask for all examples would be broadcast, or not.
        or not _is_one_size(key_mask.shape[0], key.shape[0])
    ):
        raise ValueError(
            "`key_mask` must have shape (batch, keys) = "
            f"({key.shape[0]}, {key.shape[1]}). "
            f"Received: key_mask.shape={tuple(key_mask.shape)}"
        )


def _is_one_size(*sizes):
    return len({size for size in sizes if isinstance(size, int)}) <= 1


def _distribution(query):
    """The Keras distribution that `query` takes part in, or `None`."""
    distribution = keras.distribution.distribution()
    if distribution is None or keras.backend.backend() != "jax":
        return None
    import jax

    if isinstance(query, jax.core.Tracer):
        return distribution
    # Outside a compiled function an array may lie on one device all the same.
    return distribution if len(query.sharding.device_set) > 1 else None


def _device(query, distribution):
    """A device of those that the program at hand runs on; JAX's only."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    if distribution is not None:
        return distribution.device_mesh.backend_mesh.devices.flat[0]
    if query is None or isinstance(query, jax.core.Tracer):
        return jax.devices()[0]
    return next(iter(query.devices()))


def _choose(name, query_shape, key_shape, dtype, device):
    """The name of the implementation for such a call."""
    available = _available(device, dtype, query_shape[-1])
    name = name or _implementation
    if name is not None:
        _check_name(name, available)
        return name
    fastest = available[0]
    if fastest != "sdpa" and _few_scores(query_shape, key_shape):
        return "direct"
    return fastest


def _available(device, dtype="bfloat16", head_dim=64):
    """Names of implementations, the fastest for many scores first."""
    backend = keras.backend.backend()
    if backend == "torch":
        return ["sdpa", "direct"]
    names = ["chunked", "direct"]
    if backend == "tensorflow":
        return names
    if device.platform == "cpu":
        return [*names, "splash"]
    if device.platform == "tpu":
        return ["splash", *names]
    # "9.0" for NVIDIA's GPUs, something like "gfx942" for AMD's.
    capability = getattr(device, "compute_capability", "")
    if (
        re.fullmatch(r"([89]|\d\d+)\.\d+", capability)
        and dtype in ("float16", "bfloat16")
        and head_dim <= 128
        and head_dim % 8 == 0
    ):
        return ["cudnn", *names]
    return names


def _check_name(name, available):
    if name not in available:
        raise ValueError(
            f"`implementation` must be None or one of {available} here, on the "
            f"{keras.backend.backend()} backend. Received: "
            f"implementation={name!r}"
        )


def _few_scores(query_shape, key_shape):
    batch, queries, heads, head_dim = query_shape
    # One that is unknown while a graph is traced counts as one.
    batch = batch if isinstance(batch, int) else 1
    num_scores = batch * heads * queries * key_shape[1]
    # Of few queries the scores take no more memory than the keys.
    return num_scores <= MAX_DIRECT_SCORES or queries <= head_dim


def _load(name, device):
    """A function of `(query, key, value, key_mask)`, by its name."""
    if name == "direct":
        return _direct
    if name == "sdpa":
        return _sdpa
    if name == "splash":
        from keras_longvideo.ops.splash_attention import splash_attention

        return functools.partial(
            splash_attention, interpret=device.platform == "cpu"
        )
    if name == "cudnn":
        from keras_longvideo.ops.cudnn_attention import cudnn_attention

        return cudnn_attention
    if keras.backend.backend() == "tensorflow":
        from keras_longvideo.ops.tensorflow_attention import chunked_attention

        return chunked_attention
    from keras_longvideo.ops.chunked_attention import chunked_attention

    # By position: a function with a gradient of its own takes no keywords.
    return lambda *arrays: chunked_attention(*arrays, device.platform == "cpu")


def _direct(query, key, value, key_mask):
    # Scaling the queries costs less than scaling all scores.
    query = query / math.sqrt(query.shape[-1])
    query, key, value = (
        ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value)
    )
    scores = _float32_matmul(query, ops.swapaxes(key, -1, -2))
    if key_mask is not None:
        scores = ops.where(key_mask[:, None, None, :], scores, -1e30)
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    # Dividing the few outputs costs less than dividing the many weights.
    total = ops.sum(weights, axis=-1, keepdims=True)
    dtype = keras.backend.standardize_dtype(value.dtype)
    # Of many values, the sum may leave float16's range.
    matmul = _float32_matmul if dtype == "float16" else ops.matmul
    output = matmul(ops.cast(weights, dtype), value)
    output = ops.cast(ops.cast(output, "float32") / total, value.dtype)
    return ops.transpose(output, (0, 2, 1, 3))


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

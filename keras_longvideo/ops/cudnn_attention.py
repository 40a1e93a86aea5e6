"""Attention by cuDNN's flash kernel for NVIDIA's GPUs, for JAX."""

import jax
import jax.numpy as jnp


def cudnn_attention(query, key, value, key_mask):
    """Attention whose scores never leave the GPU's multiprocessors.

    Args:
        query: float16 or bfloat16 array of shape
            `(batch, queries, heads, head_dim)`.
        key: array of shape `(batch, keys, heads, head_dim)`.
        value: array of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool array of shape `(batch, keys)` with a `True` in each
            row, or `None`.

    Returns:
        An array of the shape and dtype of `query`.
    """
    num_queries, num_keys = query.shape[1], key.shape[1]
    lengths = None
    if key_mask is not None:
        key, value, lengths = unmasked_first(key, value, key_mask)
    elif num_keys % 2:
        lengths = jnp.full(key.shape[:1], num_keys, "int32")
    output = jax.nn.dot_product_attention(
        even_length(query),
        even_length(key),
        even_length(value),
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return output[:, :num_queries]


def even_length(x):
    """Adds a token of zeros to an odd number: JAX has no gradients of those.

    It refuses them for the sake of a bias, which there is not.
    """
    return jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0)])


def unmasked_first(key, value, key_mask):
    """Keys and values in another order: those that count before the others.

    The kernel has no mask over keys, only a number of keys to attend to: a
    mask would become a bias of all queries by all keys. To attention the order
    of the keys makes no difference.

    Args:
        key: array of shape `(batch, keys, heads, head_dim)`.
        value: array of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool array of shape `(batch, keys)`.

    Returns:
        `(key, value, lengths)`: the first two in their new order and zero
        where masked; `lengths` an int32 array of shape `(batch,)`.
    """
    order = jnp.argsort(~key_mask, axis=1, stable=True)

    @jax.vmap
    def take(x, indices):
        return x.at[indices].get(unique_indices=True)

    def reorder(x):
        # Zeros, so that whatever the kernel leaves in the gradients of keys
        # that it skipped goes no further.
        return take(jnp.where(key_mask[:, :, None, None], x, 0), order)

    lengths = jnp.sum(key_mask, axis=1, dtype="int32")
    return reorder(key), reorder(value), lengths

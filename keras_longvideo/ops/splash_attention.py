"""Attention by JAX's Splash kernel for TPUs."""

import math

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import BlockSizes
from jax.experimental.pallas.ops.tpu.splash_attention import FullMask
from jax.experimental.pallas.ops.tpu.splash_attention import MultiHeadMask
from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds
from jax.experimental.pallas.ops.tpu.splash_attention import (
    make_splash_mha_single_device,
)

# Tokens in a block come in multiples of a TPU's lanes. Blocks as large as
# these, with their float32 scores, fit a core's memory.
LANES = 128
MAX_BLOCK_SIZE = 1024
# Keys whose scores are computed at once within a block.
MAX_COMPUTE_SIZE = 512


def splash_attention(query, key, value, key_mask, interpret):
    """Attention whose scores never leave a TPU core's own memory.

    Args:
        query: array of shape `(batch, queries, heads, head_dim)`.
        key: array of shape `(batch, keys, heads, head_dim)`.
        value: array of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool array of shape `(batch, keys)` with a `True` in each
            row, or `None`.
        interpret: bool. Whether to emulate the kernel, step by step, where
            there is no TPU.

    Returns:
        An array of the shape and dtype of `query`.
    """
    batch, num_queries, heads, head_dim = query.shape
    num_keys = key.shape[1]
    query_block, query_padding = _blocks(num_queries)
    key_block, key_padding = _blocks(num_keys)
    if key_mask is None and key_padding:
        key_mask = jnp.ones((batch, num_keys), bool)
    # The kernel does not divide by the square root itself.
    query = query * (1 / math.sqrt(head_dim))
    query = _heads_first(query, query_padding)
    key, value = (_heads_first(x, key_padding) for x in (key, value))
    kernel = _kernel(heads, query_block, key_block, interpret)
    if key_mask is None:
        output = jax.vmap(kernel)(query, key, value)
    else:
        # Tokens attend within their segment: masked keys get one of their own.
        key_mask = jnp.pad(key_mask, [(0, 0), (0, key_padding)])
        segments = SegmentIds(
            q=jnp.ones((batch, query.shape[2]), "int32"),
            kv=key_mask.astype("int32"),
        )
        output = jax.vmap(kernel)(query, key, value, segments)
    return jnp.swapaxes(output[:, :, :num_queries], 1, 2)


def _blocks(num_tokens):
    """The size of a block, and how many tokens are added to fill the last."""
    count = math.ceil(num_tokens / MAX_BLOCK_SIZE)
    size = LANES * math.ceil(num_tokens / (count * LANES))
    return size, count * size - num_tokens


def _heads_first(x, padding):
    x = jnp.pad(x, [(0, 0), (0, padding), (0, 0), (0, 0)])
    return jnp.swapaxes(x, 1, 2)


def _kernel(heads, query_block, key_block, interpret):
    compute = math.gcd(key_block, MAX_COMPUTE_SIZE)
    kernel = make_splash_mha_single_device(
        MultiHeadMask([FullMask((query_block, key_block))] * heads),
        block_sizes=BlockSizes(
            block_q=query_block,
            block_kv=key_block,
            block_kv_compute=compute,
            block_q_dkv=query_block,
            block_kv_dkv=key_block,
            block_kv_dkv_compute=compute,
            block_q_dq=query_block,
            block_kv_dq=key_block,
        ),
        interpret=interpret,
    )
    # The kernel's arrays list the blocks to visit, here those of a mask of one
    # block. Without lists it visits every block there is: for hundreds of
    # thousands of tokens they take long to build and much scalar memory.
    return jax.tree.map(lambda _: None, kernel)

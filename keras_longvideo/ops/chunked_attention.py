"""Attention a chunk of queries at a time, for JAX on any device.

The scores of a chunk live only while the chunk is worked on. The backward pass
computes them again, from the queries, the keys and the log-sum-exp that the
forward pass kept of each query's scores.
"""

import functools
import math

import jax
import jax.numpy as jnp

# Queries in a chunk on a CPU, which takes one head at a time: against some
# thousands of keys their scores stay within its cache. 64 to 1,024 queries are
# as fast; fewer hold less.
CPU_CHUNK_SIZE = 256
# Scores held at once elsewhere, over all heads and examples: 2**27 in float32
# are 512 MiB. A matrix product of fewer queries than the least leaves
# an accelerator idle.
MAX_SCORES = 2**27
LEAST_CHUNK_SIZE = 128

# Half precision multiplies at full speed, and adds up in float32.
_product = functools.partial(jnp.einsum, preferred_element_type="float32")


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def chunked_attention(query, key, value, key_mask, one_head_at_a_time):
    """Attention whose memory grows with the tokens, not their square.

    Args:
        query: array of shape `(batch, queries, heads, head_dim)`.
        key: array of shape `(batch, keys, heads, head_dim)`.
        value: array of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool array of shape `(batch, keys)` with a `True` in each
            row, or `None`.
        one_head_at_a_time: bool. Whether to work on one head of one example
            at a time, as a CPU does best, or on all of them together.

    Returns:
        An array of the shape and dtype of `query`.
    """
    return _forward(query, key, value, key_mask, one_head_at_a_time)[0]


def _forward(query, key, value, key_mask, one_head_at_a_time):
    split, merge = _layout(query, key, one_head_at_a_time)
    scale = _scale(query)

    def attend_heads(heads):
        query, key, value, bias = heads

        def attend_chunk(query):
            scores = _scores(query, key, bias)
            largest = jnp.max(scores, axis=-1, keepdims=True)
            weights = jnp.exp((scores - largest) * scale)
            # Dividing the few outputs costs less than the many weights.
            total = jnp.sum(weights, axis=-1, keepdims=True)
            weights = weights.astype(value.dtype)
            output = _product("hqk,hkd->hqd", weights, value) / total
            return output.astype(value.dtype), largest * scale + jnp.log(total)

        return jax.lax.map(attend_chunk, query)

    output, log_total = jax.lax.map(
        attend_heads,
        (
            split(query, chunks=True),
            split(key),
            split(value),
            _bias(key_mask, query.shape[2], one_head_at_a_time),
        ),
    )
    output = merge(output)
    return output, (query, key, value, key_mask, output, log_total)


def _backward(one_head_at_a_time, residuals, output_gradient):
    query, key, value, key_mask, output, log_total = residuals
    split, merge = _layout(query, key, one_head_at_a_time)
    scale = _scale(query)

    def attend_heads(heads):
        chunks, key, value, bias = heads

        def attend_chunk(sums, chunk):
            query, output, log_total, d_output = chunk
            scores = _scores(query, key, bias)
            weights = jnp.exp(scores * scale - log_total)
            d_weights = _product("hqd,hkd->hqk", d_output, value)
            # What a query's weights gain together, their sum being one, is
            # taken from each.
            shared = jnp.sum(
                d_output.astype("float32") * output.astype("float32"),
                axis=-1,
                keepdims=True,
            )
            d_scores = weights * (d_weights - shared) * scale
            d_scores = d_scores.astype(query.dtype)
            weights = weights.astype(query.dtype)
            d_query = _product("hqk,hkd->hqd", d_scores, key)
            # Sums over the queries come out transposed, so that the large
            # operand of each product lies in memory as a CPU reads it.
            sums = (
                sums[0] + _product("hqd,hqk->hdk", query, d_scores),
                sums[1] + _product("hqd,hqk->hdk", d_output, weights),
            )
            return sums, d_query.astype(query.dtype)

        zeros = jnp.zeros(jnp.swapaxes(key, 1, 2).shape, "float32")
        (d_key, d_value), d_query = jax.lax.scan(
            attend_chunk, (zeros, zeros), chunks
        )
        return (
            d_query,
            jnp.swapaxes(d_key, 1, 2).astype(key.dtype),
            jnp.swapaxes(d_value, 1, 2).astype(value.dtype),
        )

    d_query, d_key, d_value = jax.lax.map(
        attend_heads,
        (
            (
                split(query, chunks=True),
                split(output, chunks=True),
                log_total,
                split(output_gradient, chunks=True),
            ),
            split(key),
            split(value),
            _bias(key_mask, query.shape[2], one_head_at_a_time),
        ),
    )
    batch, num_keys, heads, head_dim = key.shape
    d_key, d_value = (
        x.reshape(batch, heads, num_keys, head_dim).swapaxes(1, 2)
        for x in (d_key, d_value)
    )
    return merge(d_query), d_key, d_value, None


chunked_attention.defvjp(_forward, _backward)


def _layout(query, key, one_head_at_a_time):
    """Functions that split arrays into what is worked on, and put it back.

    `split` makes `(steps, heads, tokens, head_dim)`, or `(steps, chunks,
    heads, queries, head_dim)`; `merge` undoes the latter.
    """
    batch, num_queries, heads, head_dim = query.shape
    together = 1 if one_head_at_a_time else batch * heads
    size = CPU_CHUNK_SIZE
    if not one_head_at_a_time:
        size = LEAST_CHUNK_SIZE
        # A batch of any size, when exporting, takes the least.
        if isinstance(batch, int):
            size = max(size, MAX_SCORES // (together * key.shape[1]))
    num_chunks = math.ceil(num_queries / size)
    # Chunks of one size, with as little padding as that allows.
    size = math.ceil(num_queries / num_chunks)
    padding = num_chunks * size - num_queries

    def split(x, chunks=False):
        x = jnp.swapaxes(x, 1, 2)
        if not chunks:
            return x.reshape(-1, together, *x.shape[2:])
        x = jnp.pad(x, [(0, 0), (0, 0), (0, padding), (0, 0)])
        x = x.reshape(-1, together, num_chunks, size, head_dim)
        return jnp.swapaxes(x, 1, 2)

    def merge(x):
        x = jnp.swapaxes(x, 1, 2)
        x = x.reshape(batch, heads, num_chunks * size, head_dim)
        return jnp.swapaxes(x[:, :, :num_queries], 1, 2)

    return split, merge


def _bias(key_mask, heads, one_head_at_a_time):
    """What is added to the scores: `(steps, heads, 1, keys)`, or `None`."""
    if key_mask is None:
        return None
    bias = jnp.where(key_mask, 0.0, -1e30)
    bias = jnp.repeat(bias, heads, axis=0)[:, None, :]
    return bias[:, None] if one_head_at_a_time else bias[None]


def _scores(query, key, bias):
    scores = _product("hqd,hkd->hqk", query, key)
    return scores if bias is None else scores + bias


def _scale(query):
    return 1 / math.sqrt(query.shape[-1])

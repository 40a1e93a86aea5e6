"""Attention a chunk of queries at a time, for TensorFlow.

As for JAX, the scores of a chunk are computed again in the backward pass,
instead of being stored.
"""

import math

import tensorflow as tf

# Scores of one example held at once: 2**23 in float32 are 32 MiB. Fewer queries
# than the least make matrix products slow.
MAX_SCORES = 2**23
LEAST_CHUNK_SIZE = 64


def chunked_attention(query, key, value, key_mask=None):
    """Attention whose memory grows with the tokens, not their square.

    Args:
        query: tensor of shape `(batch, queries, heads, head_dim)`.
        key: tensor of shape `(batch, keys, heads, head_dim)`.
        value: tensor of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool tensor of shape `(batch, keys)` with a `True` in each
            row, or `None`.

    Returns:
        A tensor of the shape and dtype of `query`.
    """
    num_queries, heads, head_dim = query.shape[1:]
    size = max(LEAST_CHUNK_SIZE, MAX_SCORES // (heads * key.shape[1]))
    num_chunks = math.ceil(num_queries / size)
    # Chunks of one size, with as little padding as that allows.
    size = math.ceil(num_queries / num_chunks)
    padding = num_chunks * size - num_queries
    scale = 1 / math.sqrt(head_dim)
    bias = None
    if key_mask is not None:
        bias = tf.where(key_mask, 0.0, -1e30)[:, None, None, :]

    def split(x):
        x = tf.pad(x, [(0, 0), (0, padding), (0, 0), (0, 0)])
        x = tf.reshape(x, (-1, num_chunks, size, heads, head_dim))
        return tf.transpose(x, (1, 0, 3, 2, 4))

    def merge(x):
        x = tf.transpose(x, (1, 0, 3, 2, 4))
        x = tf.reshape(x, (-1, num_chunks * size, heads, head_dim))
        return x[:, :num_queries]

    def scores(query, key):
        scores = scale * _float32_matmul(query, key, transpose_b=True)
        return scores if bias is None else scores + bias

    @tf.custom_gradient
    def attend(query, key, value):
        queries = split(query)
        key, value = (tf.transpose(x, (0, 2, 1, 3)) for x in (key, value))

        def attend_chunk(query):
            chunk = scores(query, key)
            largest = tf.reduce_max(chunk, axis=-1, keepdims=True)
            weights = tf.exp(chunk - largest)
            total = tf.reduce_sum(weights, axis=-1, keepdims=True)
            # Of many values, the sum may leave float16's range.
            matmul = _float32_matmul if value.dtype == tf.float16 else tf.matmul
            output = matmul(tf.cast(weights, value.dtype), value)
            output = tf.cast(output, tf.float32) / total
            return tf.cast(output, value.dtype), largest + tf.math.log(total)

        outputs, log_totals = tf.map_fn(
            attend_chunk,
            queries,
            fn_output_signature=(value.dtype, tf.float32),
            # More at a time would hold the scores of more chunks.
            parallel_iterations=1,
        )

        def gradient(d_output):
            d_outputs = split(d_output)
            zeros = tf.zeros_like(tf.linalg.matrix_transpose(key), tf.float32)

            def body(i, d_queries, d_key, d_value):
                query, d_output = queries[i], d_outputs[i]
                weights = tf.exp(scores(query, key) - log_totals[i])
                d_weights = _float32_matmul(d_output, value, transpose_b=True)
                shared = tf.reduce_sum(
                    tf.cast(d_output, tf.float32)
                    * tf.cast(outputs[i], tf.float32),
                    axis=-1,
                    keepdims=True,
                )
                d_scores = weights * (d_weights - shared) * scale
                # Sums over the queries come out transposed, so that the large
                # operand of each product lies in memory as a CPU reads it.
                return (
                    i + 1,
                    d_queries.write(i, _float32_matmul(d_scores, key)),
                    d_key + _float32_matmul(query, d_scores, transpose_a=True),
                    d_value
                    + _float32_matmul(d_output, weights, transpose_a=True),
                )

            _, d_queries, d_key, d_value = tf.while_loop(
                lambda i, *_: i < num_chunks,
                body,
                (
                    0,
                    tf.TensorArray(
                        tf.float32, num_chunks, element_shape=queries.shape[1:]
                    ),
                    zeros,
                    zeros,
                ),
                parallel_iterations=1,
            )
            return tuple(
                tf.cast(x, query.dtype)
                for x in (
                    merge(d_queries.stack()),
                    tf.transpose(d_key, (0, 3, 1, 2)),
                    tf.transpose(d_value, (0, 3, 1, 2)),
                )
            )

        return merge(outputs), gradient

    return attend(query, key, value)


def _float32_matmul(a, b, **kwargs):
    return tf.matmul(tf.cast(a, tf.float32), tf.cast(b, tf.float32), **kwargs)

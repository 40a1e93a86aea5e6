"""Losses that are trained beside the contrastive one, each with a head."""

import keras
from keras import ops

from keras_longvideo.layers import Attention
from keras_longvideo.layers import Dense
from keras_longvideo.layers import LayerNormalization

# Of the real tokens of a text; and of those, as in BERT, what becomes of them.
MASKED = 0.15
REPLACED_BY_MASK = 0.8
REPLACED_BY_ANY = 0.1


def token_loss(logits, targets, weights):
    """Cross-entropy a token, averaged over those that count.

    `loss = sum_i w_i * -log softmax(logits_i)[target_i] / max(sum_i w_i, 1)`

    Args:
        logits: tensor of shape `(batch, tokens, vocabulary)`.
        targets: int tensor of shape `(batch, tokens)`.
        weights: bool or float tensor of shape `(batch, tokens)`; at 0, a token
            does not count.

    Returns:
        A scalar float32 tensor; 0 where no token counts.
    """
    losses = ops.sparse_categorical_crossentropy(
        targets, ops.cast(logits, "float32"), from_logits=True
    )
    weights = ops.cast(weights, "float32")
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1.0)


def mask_tokens(token_ids, padding_mask, special_ids, mask_id, num_ids, seed):
    """Chooses the tokens that are to be predicted, and hides them.

    As BERT: each real token that is not special is chosen with a probability
    of 15 %. Of those, 80 % become the mask token, 10 % any token, and 10 %
    stay as they are.

    Args:
        token_ids: int tensor of shape `(batch, tokens)`.
        padding_mask: bool tensor of the same shape.
        special_ids: list of ints that are not chosen.
        mask_id: int.
        num_ids: int. Size of the vocabulary.
        seed: `keras.random.SeedGenerator`.

    Returns:
        `(hidden_ids, is_chosen)`, of the shape of `token_ids`.
    """
    shape = ops.shape(token_ids)
    is_chosen = keras.random.uniform(shape, seed=seed) < MASKED
    is_chosen = ops.logical_and(is_chosen, ops.cast(padding_mask, "bool"))
    for special in special_ids:
        is_chosen = ops.logical_and(is_chosen, token_ids != special)
    draw = keras.random.uniform(shape, seed=seed)
    anything = keras.random.randint(shape, 0, num_ids, seed=seed)
    anything = ops.cast(anything, token_ids.dtype)
    hidden = ops.where(draw < REPLACED_BY_MASK, mask_id, token_ids)
    hidden = ops.where(draw > 1 - REPLACED_BY_ANY, anything, hidden)
    hidden = ops.cast(hidden, token_ids.dtype)
    return ops.where(is_chosen, hidden, token_ids), is_chosen


class MaskedTokenHead(keras.layers.Layer):
    """BERT's head: scores of all words, from the tokens of a text tower.

    A dense layer of the same width, a norm, and the product with the text
    tower's own embeddings of words, which are given at each call.
    """

    def build(self, tokens_shape, words_shape):
        dim = tokens_shape[-1]
        self.dense = Dense((dim,), dtype=self.dtype_policy, name="dense")
        self.dense.build(tokens_shape)
        self.norm = LayerNormalization(dtype=self.dtype_policy, name="norm")
        self.norm.build(tokens_shape)
        self.bias = self.add_weight(
            name="bias", shape=(words_shape[0],), initializer="zeros"
        )

    def call(self, tokens, words):
        x = self.norm(ops.gelu(self.dense(tokens)))
        return ops.matmul(x, ops.transpose(words)) + self.bias


class CausalAttention(Attention):
    """Attention of each token to itself and those before it."""

    def call(self, tokens):
        query, key, value = (
            f(tokens) for f in (self.query, self.key, self.value)
        )
        scores = ops.einsum("bqhd,bkhd->bhqk", query, key)
        scores = ops.cast(scores, "float32") / query.shape[-1] ** 0.5
        positions = ops.arange(tokens.shape[1])
        is_before = positions[None, :] <= positions[:, None]
        scores = ops.where(is_before, scores, -1e9)
        weights = ops.cast(ops.softmax(scores), self.compute_dtype)
        return self.attention_output(
            ops.einsum("bhqk,bkhd->bqhd", weights, value)
        )


class CaptionBlock(keras.layers.Layer):
    """Causal attention, attention to a video, feed-forward; each pre-normed."""

    def __init__(self, num_heads, intermediate_dim, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim

    def build(self, tokens_shape, video_shape):
        dim = tokens_shape[-1]

        def made(layer, shape):
            layer.build(shape)
            return layer

        policy = {"dtype": self.dtype_policy}
        self.norms = [
            made(LayerNormalization(name=f"norm_{i}", **policy), tokens_shape)
            for i in range(3)
        ]
        self.attention = made(
            CausalAttention(self.num_heads, name="attention", **policy),
            tokens_shape,
        )
        self.video_attention = made(
            Attention(self.num_heads, name="video_attention", **policy),
            tokens_shape,
        )
        self.mlp_intermediate = made(
            Dense((self.intermediate_dim,), name="mlp_intermediate", **policy),
            tokens_shape,
        )
        self.mlp_output = made(
            Dense((dim,), name="mlp_output", **policy),
            (*tokens_shape[:-1], self.intermediate_dim),
        )

    def call(self, tokens, video):
        x = tokens + self.attention(self.norms[0](tokens))
        x = x + self.video_attention(self.norms[1](x), context=video)
        hidden = ops.gelu(self.mlp_intermediate(self.norms[2](x)))
        return x + self.mlp_output(hidden)


class CaptionDecoder(keras.layers.Layer):
    """Scores of each next word of a caption, from a video's tokens.

    A transformer of two blocks; words enter and leave by the same embeddings.

    Args:
        vocabulary_size: int.
        sequence_length: int. Most tokens of a caption.
        hidden_dim: int. Length of a token.
        num_heads: int.
        intermediate_dim: int.
        **kwargs: other arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        vocabulary_size,
        sequence_length,
        hidden_dim,
        num_heads,
        intermediate_dim,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.hidden_dim = hidden_dim
        policy = {"dtype": self.dtype_policy}
        self.video_map = Dense((hidden_dim,), name="video_map", **policy)
        self.blocks = [
            CaptionBlock(
                num_heads, intermediate_dim, name=f"block_{i}", **policy
            )
            for i in range(2)
        ]
        self.output_norm = LayerNormalization(name="output_norm", **policy)

    def build(self, token_ids_shape, video_shape):
        tokens_shape = (*token_ids_shape, self.hidden_dim)
        normal = keras.initializers.TruncatedNormal(stddev=0.02)
        self.words = self.add_weight(
            name="words",
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=normal,
        )
        self.positions = self.add_weight(
            name="positions",
            shape=(self.sequence_length, self.hidden_dim),
            initializer=normal,
        )
        self.video_map.build(video_shape)
        for block in self.blocks:
            block.build(tokens_shape, video_shape)
        self.output_norm.build(tokens_shape)

    def call(self, token_ids, video):
        words = ops.cast(self.words, self.compute_dtype)
        positions = ops.cast(self.positions, self.compute_dtype)
        x = ops.take(words, token_ids, axis=0)
        x = x + positions[: token_ids.shape[1]]
        video = self.video_map(video)
        for block in self.blocks:
            x = block(x, video)
        return ops.matmul(self.output_norm(x), ops.transpose(words))

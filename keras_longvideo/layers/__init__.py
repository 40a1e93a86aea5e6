"""Keras layers that the models are composed of."""

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.attention_pooling import AttentionPooling
from keras_longvideo.layers.dense import Dense
from keras_longvideo.layers.layer_normalization import LayerNormalization
from keras_longvideo.layers.mean_pooling import MeanPooling
from keras_longvideo.layers.token_masking import TokenMasking
from keras_longvideo.layers.transformer_block import TransformerBlock
from keras_longvideo.layers.tubelet_embedding import TubeletEmbedding

__all__ = [
    "Attention",
    "AttentionPooling",
    "Dense",
    "LayerNormalization",
    "MeanPooling",
    "TokenMasking",
    "TransformerBlock",
    "TubeletEmbedding",
]

"""Keras layers that the models are composed of."""

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.attention_pooling import AttentionPooling
from keras_longvideo.layers.dense import Dense
from keras_longvideo.layers.factorized_block import FactorizedBlock
from keras_longvideo.layers.frame_block import FrameBlock
from keras_longvideo.layers.frame_pooling import FramePooling
from keras_longvideo.layers.last_token_pooling import LastTokenPooling
from keras_longvideo.layers.layer_normalization import LayerNormalization
from keras_longvideo.layers.mean_pooling import MeanPooling
from keras_longvideo.layers.prefix_tokens import PrefixTokens
from keras_longvideo.layers.token_masking import TokenMasking
from keras_longvideo.layers.token_pooling import TokenPooling
from keras_longvideo.layers.transformer_block import TransformerBlock
from keras_longvideo.layers.tube_embedding import TUBEVIT
from keras_longvideo.layers.tube_embedding import Tube
from keras_longvideo.layers.tube_embedding import TubeEmbedding
from keras_longvideo.layers.tubelet_embedding import TubeletEmbedding

__all__ = [
    "Attention",
    "AttentionPooling",
    "Dense",
    "FactorizedBlock",
    "FrameBlock",
    "FramePooling",
    "LastTokenPooling",
    "LayerNormalization",
    "MeanPooling",
    "PrefixTokens",
    "TokenMasking",
    "TokenPooling",
    "TransformerBlock",
    "TUBEVIT",
    "Tube",
    "TubeEmbedding",
    "TubeletEmbedding",
]

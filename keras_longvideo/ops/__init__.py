"""Pure tensor functions: attention, per token, positions, losses."""

from keras_longvideo.ops.attention import attention_implementation
from keras_longvideo.ops.attention import dot_product_attention
from keras_longvideo.ops.attention import set_attention_implementation
from keras_longvideo.ops.contrastive import nce_loss
from keras_longvideo.ops.contrastive import sigmoid_loss
from keras_longvideo.ops.per_token import activate
from keras_longvideo.ops.per_token import check_activation
from keras_longvideo.ops.per_token import dense
from keras_longvideo.ops.per_token import layer_normalization
from keras_longvideo.ops.positions import interpolate_positions
from keras_longvideo.ops.positions import interpolation_matrix
from keras_longvideo.ops.positions import sinusoid_positions
from keras_longvideo.ops.tokens import gather_tokens
from keras_longvideo.ops.tokens import keep_indices
from keras_longvideo.ops.tokens import repeat_last_frame
from keras_longvideo.ops.tokens import split_into_tubelets

__all__ = [
    "activate",
    "attention_implementation",
    "check_activation",
    "dense",
    "dot_product_attention",
    "gather_tokens",
    "interpolate_positions",
    "interpolation_matrix",
    "keep_indices",
    "layer_normalization",
    "nce_loss",
    "repeat_last_frame",
    "set_attention_implementation",
    "sigmoid_loss",
    "sinusoid_positions",
    "split_into_tubelets",
]

"""One vector for all tokens: the first of them."""

import keras


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TokenPooling(keras.layers.Layer):
    """Takes the first token, that of the class, for all of them.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: not used.

    Returns:
        A tensor of shape `(batch, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import TokenPooling

    TokenPooling()(np.array([[[1.0], [3.0]]]))  # [[1.]]
    ```
    """

    def build(self, tokens_shape, token_mask_shape=None):
        self.built = True

    def call(self, tokens, token_mask=None):
        return tokens[:, 0]

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

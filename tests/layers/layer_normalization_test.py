import keras
import numpy as np
import pytest

from keras_longvideo.layers import LayerNormalization


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_outputs_have_the_dtype_of_keras_s(policy, dtype):
    tokens = keras.ops.cast(np.ones((1, 2, 4)), dtype)
    ours, theirs = (
        cls(dtype=policy)
        for cls in (LayerNormalization, keras.layers.LayerNormalization)
    )
    assert ours(tokens).dtype == theirs(tokens).dtype
    assert ours.compute_output_spec(tokens).dtype == ours.compute_dtype

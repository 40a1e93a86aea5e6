import numpy as np
from keras import ops

from keras_longvideo.layers import Dense


def test_int8_rounds_weights_and_inputs():
    layer = Dense((2,))
    layer.build((1, 1, 2))
    kernel, bias = [[1.0, 0.6], [-0.4, 3.0]], [0.0, 10.0]
    layer.set_weights([np.array(kernel), np.array(bias)])
    layer.quantize("int8")
    # The largest weight of each output becomes 127.
    expected = [[127, 25], [-51, 127]]
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.kernel), expected)
    # So does the largest entry of a token: [127, 13].
    outputs = layer(np.array([[[1.0, 0.1]]], "float32"))
    first = (127 * 127 - 13 * 51) / 127**2
    second = (127 * 25 + 13 * 127) * 3 / 127**2 + 10
    np.testing.assert_allclose(
        ops.convert_to_numpy(outputs), [[[first, second]]], rtol=1e-5
    )

"""Exporting models for servers that need no Keras."""

import functools
import importlib.util
import warnings

import keras
import numpy as np

from keras_longvideo.layers import TubeEmbedding

# What writes ONNX, by backend.
_ONNX_WRITERS = {"tensorflow": "tf2onnx", "torch": "onnxscript"}


def exports(cls):
    """Class decorator: a functional model that can be exported as it is.

    Args:
        cls: subclass of `keras.Model` whose inputs are a dict.

    Returns:
        `cls`.
    """

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Writes the model for a server that needs neither Keras nor this.

        What is exported takes all inputs, `frame_mask` included (all `True`
        where nothing is padding), computes as in inference, and knows nothing
        of files or texts: it takes what the `preprocessor` makes of them.

        Args:
            filepath: path of the folder (SavedModel) or file (ONNX).
            format: `"tf_saved_model"` (JAX, TensorFlow), or `"onnx"`
                (TensorFlow, torch; in float32); or another format of
                `keras.Model.export`. Defaults to `"tf_saved_model"`.
            verbose: as in `keras.Model.export`.
            input_signature: as in `keras.Model.export`, a list of one dict of
                `keras.InputSpec`. `None`, the default, is uint8 pixels of the
                encoder's `num_frames` and `image_shape`, any batch size and,
                for texts, any number of tokens.
            **kwargs: see `keras.Model.export`.

        Raises:
            ImportError: if what writes ONNX is not installed.
            ValueError: if this backend cannot write the format; the message
                says which can.

        Example:

        ```python
        import numpy as np
        import tensorflow as tf
        from keras_longvideo.models import ViViTBackbone

        backbone = ViViTBackbone.from_preset(
            "short_vivit_tiny", load_weights=False
        )
        backbone.export("encoder", verbose=False)  # on JAX or TensorFlow

        served = tf.saved_model.load("encoder")
        outputs = served.serve({
            "pixel_values": np.zeros((1, 16, 64, 64, 3), "uint8"),
            "frame_mask": np.ones((1, 16), "bool"),
        })
        outputs["pooled_output"].shape  # (1, 128)
        ```
        """
        _check(self, format)
        if input_signature is None:
            input_signature = [_default_signature(self)]
        backend = keras.backend.backend()
        if format == "onnx" and backend == "torch":
            _write_torch_onnx(
                self, filepath, input_signature, verbose, **kwargs
            )
            return
        if format == "onnx":
            _teach_tf2onnx()
        if format == "tf_saved_model" and backend == "jax":
            kwargs["jax2tf_kwargs"] = {
                # A server computes none.
                "with_gradient": False,
                **_jax_shapes(self, input_signature),
                **(kwargs.get("jax2tf_kwargs") or {}),
            }
        super(cls, self).export(
            filepath,
            format=format,
            verbose=verbose,
            input_signature=input_signature,
            **kwargs,
        )

    cls.export = export
    # What TensorFlow would save beside the endpoint, for each nested model:
    # a function of its `keras.Input`, where frames, height and width are open.
    cls._default_save_signature = None
    return cls


def _check(model, format):
    backend = keras.backend.backend()
    way_out = (
        "Save the model with `save_to_preset`, and export it from there under "
        "another backend, such as with the environment's KERAS_BACKEND set to "
        "tensorflow."
    )
    if format == "tf_saved_model" and backend == "torch":
        raise ValueError(
            "A SavedModel can be written on JAX and TensorFlow. On torch, "
            "Keras needs torch_xla for it, which has no release for this "
            f"torch. {way_out} Received: format={format!r} on torch"
        )
    if format != "onnx":
        return
    if backend not in _ONNX_WRITERS:
        raise ValueError(
            "ONNX can be written on TensorFlow and torch. On JAX, Keras calls "
            "jax2onnx, which does not know the loops that attention and "
            f"tubelets are computed in. {way_out} "
            f"Received: format={format!r} on {backend}"
        )
    package = _ONNX_WRITERS[backend]
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"ONNX on {backend} needs {package}: pip install "
            '"keras-longvideo[export]"'
        )
    layers = model._flatten_layers()
    refused = filter(None, map(_not_for_torch, layers))
    if backend == "torch" and (reasons := next(refused, None)):
        what, why = reasons
        raise ValueError(
            f"{what} can be written to ONNX on TensorFlow. On torch the file "
            f"would be written, but not run: {why}. {way_out} "
            f"Received: format={format!r} on torch"
        )
    dtypes = {layer.compute_dtype for layer in layers}
    if dtypes & {"bfloat16", "float16"}:
        raise ValueError(
            "ONNX is written in float32. Load the model with "
            '`dtype="float32"`. Received: a model that computes in '
            f"{sorted(dtypes)}"
        )


def _not_for_torch(layer):
    """What a layer is that ONNX of torch cannot have, and why; or None."""
    squeezes = "Keras squeezes an axis of any length, which ONNX refuses"
    if isinstance(layer, TubeEmbedding):
        return "Tubes", squeezes
    if isinstance(layer, keras.layers.Embedding) and layer.quantization_mode:
        return "Quantized word embeddings", squeezes
    if layer.quantization_mode == "int4":
        return "Weights of 4 bits", "Keras unpacks them in two dtypes at once"
    return None


def _default_signature(model):
    """A `keras.InputSpec` for each input of a model, by name."""
    shapes = {x.name: tuple(x.shape) for x in model.inputs}
    dtypes = {x.name: x.dtype for x in model.inputs}
    if "pixel_values" in shapes:
        encoder = _layer_with(model, "num_frames", "image_shape")
        if encoder is None:
            raise ValueError(
                "`input_signature` is needed, since no layer of this model "
                "has `num_frames` and `image_shape`: a list of a dict of "
                f"`keras.InputSpec` for {sorted(shapes)}."
            )
        frames = encoder.num_frames
        shapes["pixel_values"] = (None, frames, *encoder.image_shape)
        # Raw, as files are read.
        dtypes["pixel_values"] = "uint8"
        if "frame_mask" in shapes:
            shapes["frame_mask"] = (None, frames)
    return {
        name: keras.InputSpec(dtype=dtypes[name], shape=shape, name=name)
        for name, shape in shapes.items()
    }


def _layer_with(model, *names):
    layers = model._flatten_layers()
    fitting = (x for x in layers if all(hasattr(x, name) for name in names))
    return next(fitting, None)


def _open_axes(spec):
    """Names of the axes of any size, by their index."""

    def name(axis):
        if axis == 0:
            return "batch"
        # Of one text, ids and mask are of one length.
        is_text = spec.name in ("token_ids", "padding_mask")
        return "tokens" if is_text else f"{spec.name}_{axis}"

    return {i: name(i) for i, size in enumerate(spec.shape) if size is None}


def _jax_shapes(model, signature):
    """What JAX is to know of axes of any size."""

    def shape(spec):
        names = _open_axes(spec)
        sizes = [str(names.get(i, size)) for i, size in enumerate(spec.shape)]
        return f"({', '.join(sizes)})"

    shapes = {"polymorphic_shapes": keras.tree.map_structure(shape, signature)}
    text_tower = _layer_with(model, "max_sequence_length")
    if text_tower is not None:
        # It has no position for more.
        longest = f"tokens <= {text_tower.max_sequence_length}"
        shapes["polymorphic_constraints"] = [longest]
    return shapes


@functools.cache
def _teach_tf2onnx():
    """TensorFlow computes GELU with Erfc, which ONNX lacks: as `1 - Erf`."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, graph, node, **kwargs):
            node.type = "Erf"
            (output,) = node.output
            one = graph.make_const(f"{node.name}_one", np.ones((), "float32"))
            graph.insert_new_node_on_output(
                "Sub", output, inputs=[one.output[0], output]
            )


def _write_torch_onnx(model, filepath, signature, verbose, opset_version=None):
    # Where the batch size is open, Keras takes torch's older exporter, which
    # cannot follow attention.
    import torch

    specs = keras.tree.flatten(signature)
    names = sorted({n for spec in specs for n in _open_axes(spec).values()})
    axes = {name: torch.export.Dim(name, min=1) for name in names}
    # As many as no other axis is likely to have.
    sizes = {name: 2 + i for i, name in enumerate(names)}
    examples, shapes = [], []
    for spec in specs:
        is_open = _open_axes(spec)
        shapes.append({i: axes[name] for i, name in is_open.items()})
        size = [sizes.get(is_open.get(i), n) for i, n in enumerate(spec.shape)]
        examples.append(keras.ops.ones(size, spec.dtype))

    outputs = model.output
    output_names = (
        sorted(outputs) if isinstance(outputs, dict) else ["output_0"]
    )

    class Positional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *arrays):
            inputs = keras.tree.pack_sequence_as(signature, arrays)
            outputs = self.model(*inputs, training=False)
            if isinstance(outputs, dict):
                return tuple(outputs[name] for name in output_names)
            return outputs

    with warnings.catch_warnings():
        # Inputs have axes of one name: they are of one size.
        warnings.filterwarnings("ignore", "# The axis name")
        torch.onnx.export(
            Positional(),
            tuple(examples),
            filepath,
            dynamo=True,
            verbose=bool(verbose),
            opset_version=opset_version,
            input_names=[spec.name for spec in specs],
            output_names=output_names,
            dynamic_shapes={"arrays": tuple(shapes)},
        )

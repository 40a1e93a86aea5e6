"""The video encoder."""

import keras
from keras_hub.models import Backbone

from keras_longvideo.layers import AttentionPooling
from keras_longvideo.layers import LayerNormalization
from keras_longvideo.layers import MeanPooling
from keras_longvideo.layers import TokenMasking
from keras_longvideo.layers import TransformerBlock
from keras_longvideo.layers import TubeletEmbedding
from keras_longvideo.models.export import exports
from keras_longvideo.models.keeps_weights import keeps_weights
from keras_longvideo.models.layout_map import layout_map
from keras_longvideo.models.layout_map import vivit_layouts
from keras_longvideo.models.preset_saving import whole_preset
from keras_longvideo.models.presets import argument_names
from keras_longvideo.models.presets import check_overrides
from keras_longvideo.models.presets import open_preset
from keras_longvideo.models.processes import is_first
from keras_longvideo.models.processes import returns_whole_outputs
from keras_longvideo.models.processes import whole_weights
from keras_longvideo.models.quantization import quantize_as_saved
from keras_longvideo.models.video_model import takes_videos
from keras_longvideo.models.video_model import video_inputs

POOLINGS = ("mean", "attention")


@keras.saving.register_keras_serializable(package="keras_longvideo")
@keeps_weights
@returns_whole_outputs
@exports
@takes_videos
class ViViTBackbone(Backbone):
    """A video vision transformer with joint space-time attention.

    One encoder for images, short clips and long videos: the video is cut into
    tubelets, each becomes a token, and in every layer every token attends to
    every other. `num_frames` and `image_shape` are what its positions are
    learned for; it takes any other number of frames and picture size that the
    tubelets divide, with interpolated positions.

    Args:
        image_shape: tuple of ints `(height, width, channels)`.
        num_frames: int. Frames of a clip; 1 for an image encoder.
        tubelet_size: tuple of ints `(frames, height, width)` of a tubelet.
        hidden_dim: int. Length of a token.
        num_layers: int. Transformer blocks.
        num_heads: int. Attention heads of a block.
        intermediate_dim: int. Width of the feed-forward layers.
        pooling: `"mean"` over all tokens, or `"attention"` of a learned query.
            Defaults to `"mean"`, as the LongViViT paper.
        mask_rate: float in `[0, 1)`. Share of the tubelets dropped in
            training. Defaults to `0.0`; the paper trains with up to `0.75`.
        mask_mode: `"random"` or `"tube"` (the same places in all frames); see
            `keras_longvideo.layers.TokenMasking`. Defaults to `"random"`.
        mask_at_inference: bool. Whether to drop tubelets outside of training
            too. Defaults to `False`.
        dropout_rate: float. Defaults to `0.0`.
        layer_norm_epsilon: float. Defaults to `1e-6`, as ViT.
        remat: bool. Whether training keeps nothing of a transformer block but
            its input, and computes the rest again in the backward pass: less
            memory, the same numbers, one more forward pass. Defaults to
            `False`.
        scale: float. uint8 pixels enter as `pixel * scale + offset`. Defaults
            to `1 / 127.5`.
        offset: float. Defaults to `-1.0`.
        dtype: string or `keras.DTypePolicy`. Dtype of computations and
            weights; softmax and means are in float32 whatever it is.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: dict, or the tensor `pixel_values` alone.
            `pixel_values`: `(batch, frames, height, width, channels)`, uint8
            for raw pixels or float for pixels already scaled. A single frame
            is an image.
            `frame_mask` (optional): bool `(batch, frames)`, `False` for
            padding at the end of a clip. Padding changes no output of the real
            frames.

    Returns:
        A dict: `"sequence_output"` of shape `(batch, tokens, hidden_dim)`, by
        time, then row, then column (tokens of padding hold nothing of use),
        and `"pooled_output"` of shape `(batch, hidden_dim)`.

    Raises:
        ValueError: if an input does not fit; the message says what would.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.models import ViViTBackbone

    backbone = ViViTBackbone(
        image_shape=(32, 32, 3),
        num_frames=4,
        tubelet_size=(2, 16, 16),
        hidden_dim=16,
        num_layers=2,
        num_heads=2,
        intermediate_dim=32,
    )
    video = np.random.randint(0, 256, size=(1, 4, 32, 32, 3)).astype("uint8")
    outputs = backbone({"pixel_values": video})
    outputs["sequence_output"].shape  # (1, 8, 16)
    outputs["pooled_output"].shape  # (1, 16)
    ```
    """

    def __init__(
        self,
        image_shape,
        num_frames,
        tubelet_size,
        hidden_dim,
        num_layers,
        num_heads,
        intermediate_dim,
        pooling="mean",
        mask_rate=0.0,
        mask_mode="random",
        mask_at_inference=False,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        remat=False,
        scale=1 / 127.5,
        offset=-1.0,
        dtype=None,
        **kwargs,
    ):
        _check_arguments(image_shape, tubelet_size, pooling)
        height, width, channels = image_shape

        # === Layers ===
        masking = None
        if mask_rate:
            masking = TokenMasking(
                mask_rate,
                mode=mask_mode,
                at_inference=mask_at_inference,
                dtype=dtype,
                name="token_masking",
            )
        self.embedding = TubeletEmbedding(
            hidden_dim,
            tubelet_size,
            num_frames,
            (height, width),
            num_channels=channels,
            scale=scale,
            offset=offset,
            masking=masking,
            dtype=dtype,
            name="embedding",
        )
        self.transformer_layers = [
            TransformerBlock(
                num_heads,
                intermediate_dim,
                dropout_rate=dropout_rate,
                layer_norm_epsilon=layer_norm_epsilon,
                remat=remat,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            for i in range(num_layers)
        ]
        self.output_norm = LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=dtype, name="output_norm"
        )
        if pooling == "mean":
            self.pooler = MeanPooling(dtype=dtype, name="pooler")
        else:
            self.pooler = AttentionPooling(
                num_heads, dtype=dtype, name="pooler"
            )

        # === Functional Model ===
        inputs = video_inputs(channels)
        # Without a frame mask the token mask is None all the way through.
        x, token_mask = self.embedding(
            inputs["pixel_values"], frame_mask=inputs["frame_mask"]
        )
        for layer in self.transformer_layers:
            x = layer(x, token_mask=token_mask)
        x = self.output_norm(x)
        outputs = {
            "sequence_output": x,
            "pooled_output": self.pooler(x, token_mask=token_mask),
        }
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.image_shape = tuple(image_shape)
        self.num_frames = num_frames
        self.tubelet_size = tuple(tubelet_size)
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.pooling = pooling
        self.mask_rate = mask_rate
        self.mask_mode = mask_mode
        self.mask_at_inference = mask_at_inference
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.remat = remat
        self.scale = scale
        self.offset = offset

    @classmethod
    def from_preset(cls, preset, load_weights=True, **overrides):
        """Makes the encoder from a preset.

        Args:
            preset: string or path. A built-in name (see
                `keras_longvideo.list_presets()`), a directory, or a handle
                `"hf://org/name"` or `"hf://org/name@revision"`.
            load_weights: bool. If `False`, weights are random.
            **overrides: arguments of this class in place of the preset's.
                `dtype` defaults to Keras's global policy, not to the saved
                one; weights that were quantized stay so.

        Returns:
            A `ViViTBackbone`.

        Raises:
            ValueError: if there is no such preset, an override is unknown, or
                weights are wanted that are not published.

        Example:

        ```python
        from keras_longvideo.models import ViViTBackbone

        backbone = ViViTBackbone.from_preset(
            "short_vivit_tiny", load_weights=False
        )
        ```
        """
        preset = open_preset(preset, load_weights)
        check_overrides(overrides, argument_names(cls))
        dtype = overrides.pop("dtype", keras.config.dtype_policy())
        config = {**preset.backbone["config"], **overrides}
        backbone = cls.from_config(
            {**config, "dtype": keras.dtype_policies.get(dtype)}
        )
        if load_weights:
            quantize_as_saved(backbone, preset.backbone["config"])
            backbone.load_weights(preset.weights("model"))
        return backbone

    @staticmethod
    def get_layout_map(
        device_mesh,
        model_parallel_dim_name="model",
        data_parallel_dim_name="batch",
        sequence_parallel_dim_name="sequence",
    ):
        """Splits weights, examples and tokens over the chips of a mesh.

        For `keras.distribution.ModelParallel`, on JAX. Every weight matrix,
        and what the optimizer keeps of it, lies in equal parts on the chips of
        the data axis (as in ZeRO-3 or FSDP), and further on those of the
        others; norms and biases lie whole on every chip. A mesh of
        `("batch",)` does for most training; for videos too long for one chip,
        take `("batch", "sequence")`.

        Args:
            device_mesh: `keras.distribution.DeviceMesh`, with the data axis
                and, optionally, any of the other two. The data axis has to
                divide the batch size and `hidden_dim`.
            model_parallel_dim_name: string. Axis that attention heads and
                the width of feed-forward layers are split over; it has to
                divide `num_heads` and `intermediate_dim`. Defaults to
                `"model"`.
            data_parallel_dim_name: string. Axis that examples are split over.
                Defaults to `"batch"`.
            sequence_parallel_dim_name: string. Axis that the tokens of one
                video are split over; each chip attends from its own tokens to
                all. It has to divide `hidden_dim / num_heads` and, without a
                model axis, `intermediate_dim`. Defaults to `"sequence"`.

        Returns:
            A `keras.distribution.LayoutMap`.

        Raises:
            ValueError: if `device_mesh` lacks the data axis, or has others.

        Example:

        ```python
        import keras
        import numpy as np
        from keras_longvideo.models import ViViTBackbone

        devices = keras.distribution.list_devices()
        mesh = keras.distribution.DeviceMesh(
            (1, len(devices)), ("batch", "sequence"), devices
        )
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(
                layout_map=ViViTBackbone.get_layout_map(mesh),
                batch_dim_name="batch",
            )
        )
        backbone = ViViTBackbone.from_preset(
            "short_vivit_tiny", load_weights=False
        )
        video = np.random.randint(0, 256, size=(1, 16, 64, 64, 3))
        backbone.predict(video.astype("uint8"), verbose=0)
        keras.distribution.set_distribution(None)
        ```
        """
        return layout_map(
            device_mesh,
            model_parallel_dim_name,
            data_parallel_dim_name,
            sequence_parallel_dim_name,
            vivit_layouts,
        )

    def adapt(self, last_layers=None):
        """Chooses what of the encoder training changes.

        With its first layers frozen, an encoder keeps nothing of them for the
        backward pass: their share of a training step's memory goes, and two
        thirds of their compute. The LongViViT paper tunes the last 4 layers
        from short to long video. Call it before `compile`.

        Args:
            last_layers: int. How many transformer blocks to train, from the
                last; the final norm and the pooling are trained with them, the
                embedding is not. `None` trains everything.

        Raises:
            ValueError: if there are fewer layers.

        Example:

        ```python
        from keras_longvideo.models import ViViTBackbone

        backbone = ViViTBackbone.from_preset(
            "long_vivit_tiny", load_weights=False
        )
        backbone.adapt(last_layers=2)
        [layer.trainable for layer in backbone.transformer_layers]
        # [False, False, True, True]
        ```
        """
        if last_layers is None:
            self.embedding.trainable = True
            last_layers = self.num_layers
        elif 0 <= last_layers <= self.num_layers:
            self.embedding.trainable = False
        else:
            raise ValueError(
                "`last_layers` must be None or an int from 0 to "
                f"{self.num_layers}, the number of layers. "
                f"Received: last_layers={last_layers}"
            )
        frozen = self.num_layers - last_layers
        for i, layer in enumerate(self.transformer_layers):
            layer.trainable = i >= frozen

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Saves the encoder as a preset: whole, or not at all.

        Of several processes all have to call it; the first one writes.

        Args:
            preset_dir: path of the directory; made where it is not there.
                Files in it that belong to no preset are left alone.
            max_shard_size: int or float. Largest weight file, in GB. Defaults
                to `10`.
        """
        with whole_weights(self):
            if is_first():
                with whole_preset(preset_dir) as aside:
                    super().save_to_preset(aside, max_shard_size=max_shard_size)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "image_shape": self.image_shape,
                "num_frames": self.num_frames,
                "tubelet_size": self.tubelet_size,
                "hidden_dim": self.hidden_dim,
                "num_layers": self.num_layers,
                "num_heads": self.num_heads,
                "intermediate_dim": self.intermediate_dim,
                "pooling": self.pooling,
                "mask_rate": self.mask_rate,
                "mask_mode": self.mask_mode,
                "mask_at_inference": self.mask_at_inference,
                "dropout_rate": self.dropout_rate,
                "layer_norm_epsilon": self.layer_norm_epsilon,
                "remat": self.remat,
                "scale": self.scale,
                "offset": self.offset,
            }
        )
        return config


def _check_arguments(image_shape, tubelet_size, pooling):
    for name, value, meaning in (
        ("image_shape", image_shape, "(height, width, channels)"),
        ("tubelet_size", tubelet_size, "(frames, height, width)"),
    ):
        if len(value) != 3:
            raise ValueError(
                f"`{name}` must be three ints {meaning}. "
                f"Received: {name}={value}"
            )
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {POOLINGS}. "
            f"Received: pooling={pooling!r}"
        )

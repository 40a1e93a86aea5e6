"""The video encoder."""

import dataclasses

import keras
from keras_hub.models import Backbone

from keras_longvideo.layers import TUBEVIT
from keras_longvideo.layers import AttentionPooling
from keras_longvideo.layers import FramePooling
from keras_longvideo.layers import LayerNormalization
from keras_longvideo.layers import MeanPooling
from keras_longvideo.layers import PrefixTokens
from keras_longvideo.layers import TokenMasking
from keras_longvideo.layers import TokenPooling
from keras_longvideo.layers import TubeEmbedding
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
from keras_longvideo.models.quantization import quantizes
from keras_longvideo.models.video_model import takes_videos
from keras_longvideo.models.video_model import video_inputs
from keras_longvideo.models.vivit import adaptation
from keras_longvideo.models.vivit import arguments
from keras_longvideo.models.vivit.from_keras_hub import image_encoder
from keras_longvideo.models.vivit.transfer import transfer_weights

_LORA_WEIGHTS = (
    "LoRA's weights are no file of their own, since other weights are trained "
    "with them: use `save_to_preset` and `from_preset`, which keep them all."
)


@keras.saving.register_keras_serializable(package="keras_longvideo")
@keeps_weights
@returns_whole_outputs
@exports
@quantizes
@takes_videos
class ViViTBackbone(Backbone):
    """A video vision transformer.

    One encoder for images, short clips and long videos: the video is cut into
    tubelets, each becomes a token, and in every layer every token attends to
    every other (or to its frame, or to its frame and over time: `attention`).
    `num_frames` and `image_shape` are what its positions are
    learned for; it takes any other number of frames and picture size that the
    tubelets divide, with interpolated positions.

    A model of one's own on top of it is a `keras_longvideo.models.VideoModel`,
    made of `backbone.input` and `backbone.output`: a plain `keras.Model`, which
    is also what `keras.models.clone_model` makes, casts raw pixels to floats,
    which are then taken for scaled ones.

    Args:
        image_shape: tuple of ints `(height, width, channels)`.
        num_frames: int. Frames of a clip; 1 for an image encoder.
        hidden_dim: int. Length of a token.
        num_layers: int. Transformer blocks.
        num_heads: int. Attention heads of a block.
        intermediate_dim: int. Width of the feed-forward layers.
        tubelet_size: tuple of ints `(frames, height, width)` of a tubelet.
            Required, but with `tubes`, which take its place.
        attention: what a token attends to. `"joint"`: every other token of the
            video. `"frame"`: those of its frame (ImageViT; `tubelet_size` then
            usually has one frame, and the clip's frames are pooled at the
            end). `"factorized"`: those of its frame and, behind a gate that
            starts closed, those of its place in other frames (see
            `keras_longvideo.layers.FactorizedBlock`). Defaults to `"joint"`.
        tubes: tuple of `keras_longvideo.layers.Tube`, sparse tubes of several
            shapes in place of tubelets; `"tubevit"` names TubeViT's. With
            joint attention only. Defaults to `None`: tubelets.
        positions: `"separate"`, learned positions in time and in space, which
            add up; `"joint"`, one for each tubelet, as ViViT's published
            weights have; or `"fixed"`, one for each tubelet that is not
            trained, sines and cosines as VideoMAE's. Frame-level encoders have
            none in time, and tubes have fixed ones of their own. Defaults to
            `"separate"`.
        num_prefix_tokens: int. Learned tokens before those of the video, or
            of each frame where `attention` is not joint, such as a class
            token. Defaults to `0`.
        activation: string, of the feed-forward layers; see
            `keras_longvideo.ops.activate`. Defaults to `"gelu"`, as ViT.
        embedding_norm: bool. Whether tokens are normalised before the first
            block, as CLIP. Defaults to `False`.
        pooling: `"mean"` over all tokens but prefix tokens; `"attention"` of a
            learned query; `"map"`, the same with a feed-forward layer behind
            it, as SigLIP; or `"token"`, the first token: the first prefix
            token, where there are any. Of each frame, where `attention` is not
            joint. Defaults to `"mean"`, as the LongViViT paper.
        time_pooling: `"mean"` or `"attention"`, over what comes of the frames
            where `attention` is not joint. Defaults to `"mean"`.
        norm_after_pooling: bool. Whether the final norm is that of the pooled
            output, not of the tokens, as VideoMAE's classifiers. Defaults to
            `False`.
        adapter_dim: int or None. Width of adapters, as `adapt` adds them; such
            an encoder is adapted so at once. Defaults to `None`: none.
        lora_rank: int or None. Rank of low-rank updates, as `adapt` adds them;
            such an encoder is adapted so at once, and with adapters, too, in
            both ways. Defaults to `None`: none.
        mask_rate: float in `[0, 1)`. Share of the tubelets or tubes dropped in
            training. Images are left whole, except by an encoder that is of
            images (`num_frames=1`). Defaults to `0.0`; the paper trains with
            up to `0.75`.
        mask_mode: `"random"`; `"tube"`, the same places in all frames; or
            `"frame"`, as many in each frame: see
            `keras_longvideo.layers.TokenMasking`. Frame-level encoders take
            `"frame"` or `"tube"`, factorised ones `"tube"`, tubes `"random"`.
            Defaults to `None`, the first of these that fits.
        mask_at_inference: bool. Whether to drop tubelets outside of training
            too. Defaults to `False`.
        dropout_rate: float. Defaults to `0.0`.
        layer_norm_epsilon: float. Defaults to `1e-6`, as ViT.
        output_norm_epsilon: float or None. That of the final norm, where it is
            another, as in VideoMAE's classifiers. Defaults to `None`:
            `layer_norm_epsilon`.
        remat: bool. Whether training keeps nothing of a transformer block but
            its input, and computes the rest again in the backward pass: less
            memory, the same numbers, one more forward pass. Defaults to
            `False`.
        scale: float, or a tuple of one for each channel. uint8 pixels enter
            as `pixel * scale + offset`. Defaults to `1 / 127.5`.
        offset: float, or a tuple of one for each channel. Defaults to `-1.0`.
        dtype: string or `keras.DTypePolicy`. Dtype of computations and
            weights; softmax and means are in float32 whatever it is.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: dict, or the tensor `pixel_values` alone.
            `pixel_values`: `(batch, frames, height, width, channels)`, uint8
            for raw pixels or float for pixels already scaled. A single frame
            is an image.
            `frame_mask` (optional): bool `(batch, frames)`, `False` for
            padding at the end of a clip. What padding holds changes no output
            of the real frames. Their positions in time are those among all
            frames, padding included: pad clips to one length, as
            `VideoConverter` does.

    Returns:
        A dict: `"sequence_output"` of shape `(batch, tokens, hidden_dim)`, by
        time, then row, then column (tokens of padding hold nothing of use;
        prefix tokens come first, of all or of each frame), and
        `"pooled_output"` of shape `(batch, hidden_dim)`.

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
        hidden_dim,
        num_layers,
        num_heads,
        intermediate_dim,
        tubelet_size=None,
        attention="joint",
        tubes=None,
        positions="separate",
        num_prefix_tokens=0,
        activation="gelu",
        embedding_norm=False,
        pooling="mean",
        time_pooling="mean",
        norm_after_pooling=False,
        adapter_dim=None,
        lora_rank=None,
        mask_rate=0.0,
        mask_mode=None,
        mask_at_inference=False,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        output_norm_epsilon=None,
        remat=False,
        scale=1 / 127.5,
        offset=-1.0,
        dtype=None,
        **kwargs,
    ):
        arguments.check(
            image_shape=image_shape,
            tubelet_size=tubelet_size,
            attention=attention,
            tubes=tubes,
            positions=positions,
            pooling=pooling,
            time_pooling=time_pooling,
            mask_mode=mask_mode,
            num_prefix_tokens=num_prefix_tokens,
            num_frames=num_frames,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            intermediate_dim=intermediate_dim,
        )
        by_frame = attention != "joint"

        # === Layers ===
        masking = None
        if mask_rate:
            masking = TokenMasking(
                mask_rate,
                mode=mask_mode or arguments.MASK_MODES[attention][0],
                at_inference=mask_at_inference,
                dtype=dtype,
                name="token_masking",
            )
        pixels = {
            "num_frames": num_frames,
            "num_channels": image_shape[2],
            "scale": scale,
            "offset": offset,
            "masking": masking,
            "dtype": dtype,
            "name": "embedding",
        }
        if tubes is not None:
            tubes = TUBEVIT if tubes == "tubevit" else tubes
            self.embedding = TubeEmbedding(hidden_dim, tubes, **pixels)
            tubes = [dataclasses.asdict(t) for t in self.embedding.tubes]
        else:
            self.embedding = TubeletEmbedding(
                hidden_dim,
                tubelet_size,
                image_size=image_shape[:2],
                positions="space" if attention == "frame" else positions,
                by_frame=by_frame,
                **pixels,
            )

        def norm(name, epsilon=layer_norm_epsilon):
            return LayerNormalization(epsilon=epsilon, dtype=dtype, name=name)

        self.prefix_tokens = None
        if num_prefix_tokens:
            self.prefix_tokens = PrefixTokens(
                num_prefix_tokens, dtype=dtype, name="prefix_tokens"
            )
        self.embedding_norm = norm("embedding_norm") if embedding_norm else None
        self.transformer_layers = [
            arguments.BLOCKS[attention](
                num_heads,
                intermediate_dim,
                activation=activation,
                dropout_rate=dropout_rate,
                layer_norm_epsilon=layer_norm_epsilon,
                remat=remat,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            for i in range(num_layers)
        ]
        self.output_norm = norm(
            "output_norm", output_norm_epsilon or layer_norm_epsilon
        )

        def pooler(kind, name, num_skipped=0):
            if kind == "mean":
                return MeanPooling(num_skipped, dtype=dtype, name=name)
            if kind == "token":
                return TokenPooling(dtype=dtype, name=name)
            return AttentionPooling(
                num_heads,
                intermediate_dim if kind == "map" else None,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                dtype=dtype,
                name=name,
            )

        if by_frame:
            self.pooler = FramePooling(
                pooler(pooling, "space_pooler", num_prefix_tokens),
                pooler(time_pooling, "time_pooler"),
                dtype=dtype,
                name="pooler",
            )
        else:
            self.pooler = pooler(pooling, "pooler", num_prefix_tokens)

        # === Functional Model ===
        inputs = video_inputs(image_shape[2])
        # Without a frame mask the token mask is None all the way through.
        x, token_mask = self.embedding(
            inputs["pixel_values"], frame_mask=inputs["frame_mask"]
        )
        if self.prefix_tokens is not None:
            x, token_mask = self.prefix_tokens(x, token_mask=token_mask)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        for layer in self.transformer_layers:
            x = layer(x, token_mask=token_mask)
        if not norm_after_pooling:
            x = self.output_norm(x)
        pooled = self.pooler(x, token_mask=token_mask)
        if norm_after_pooling:
            pooled = self.output_norm(pooled)
        if by_frame:
            x = keras.layers.Reshape((-1, hidden_dim), name="frames")(x)
        outputs = {"sequence_output": x, "pooled_output": pooled}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        if not self.trainable:
            # On torch, Keras says so of the model alone, not of its weights.
            self.trainable = False

        # === Config ===
        self.image_shape = tuple(image_shape)
        self.num_frames = num_frames
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.tubelet_size = None if tubes is not None else tuple(tubelet_size)
        self.attention = attention
        self.tubes = tubes
        self.positions = positions
        self.num_prefix_tokens = num_prefix_tokens
        self.activation = activation
        self.pooling = pooling
        self.time_pooling = time_pooling
        self.norm_after_pooling = norm_after_pooling
        self.adapter_dim = None
        self.lora_rank = None
        self.mask_rate = mask_rate
        self.mask_mode = mask_mode
        self.mask_at_inference = mask_at_inference
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.output_norm_epsilon = output_norm_epsilon
        self.remat = remat
        self.scale = scale
        self.offset = offset
        adaptation.train_added(self, adapter_dim, lora_rank)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **overrides):
        """Makes the encoder from a preset.

        Args:
            preset: string or path. A built-in name (see
                `keras_longvideo.list_presets()`), a directory, or a handle
                `"hf://org/name"` or `"hf://org/name@revision"`. Of a preset of
                a task, the encoder is taken. Directories and handles may be
                of transformers' format, of ViViT or VideoMAE.
            load_weights: bool. If `False`, weights are random.
            **overrides: arguments of this class in place of the preset's.
                `dtype` defaults to Keras's global policy, not to the saved
                one; weights that were quantized stay so; `trainable=True` thaws
                what was saved frozen. Weights are carried over to other frame
                counts, picture sizes and kinds of attention: positions are
                interpolated, a tubelet of more frames starts from one of fewer.

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
        check_overrides(overrides, argument_names(cls) | {"trainable"})
        dtype = overrides.pop("dtype", keras.config.dtype_policy())
        config = {**preset.backbone["config"], **overrides}
        backbone = cls.from_config(
            {**config, "dtype": keras.dtype_policies.get(dtype)}
        )
        if load_weights:
            preset.load_backbone_weights(backbone)
        return backbone

    @classmethod
    def from_image_encoder(
        cls, source, num_frames=16, tubelet_size=None, **overrides
    ):
        """Makes a video encoder of an image encoder of KerasHub.

        The patch kernel is repeated over the frames of a tubelet and divided
        by them, positions are repeated over time, all else is carried over as
        it is. A still video is then to the encoder what the picture is to the
        source: with `attention="frame"` or `"factorized"`, and with joint
        attention where the source has no class token, its pooled output is the
        source's, up to rounding. (With joint attention, a class token stands
        beside the tokens of all frames; training adapts it to that.) A single
        frame goes through the source's own kernel. The encoder is compared
        with the source before it is handed out.

        `uint8` pixels are scaled as those that the source was trained on: to
        `[-1, 1]` for ViT and SigLIP, by ImageNet's mean and deviation for DeiT
        and DINOv2, by CLIP's own for CLIP and MetaCLIP 2. DINOv2's layer scale
        becomes part of the maps before it.

        Args:
            source: a KerasHub backbone in float32: a `ViTBackbone`,
                `DeiTBackbone`, `DINOV2Backbone` (with or without registers),
                `CLIPBackbone`, `CLIPVisionEncoder`, `SigLIPBackbone`,
                `SigLIPVisionEncoder` or `MetaCLIP2Backbone`; or the name of a
                preset of one, as `keras_hub.models.Backbone.from_preset` takes
                it. It is left as it is. Of several processes, each must hold
                all of its weights: name a preset, or make it before the
                `keras.distribution` is set.
            num_frames: int. Frames of a clip. Defaults to `16`.
            tubelet_size: tuple of ints `(frames, height, width)`, height and
                width those of the source's patches. `None`, the default, is
                one frame: each is cut up as the source cuts a picture. Two
                make half as many tokens.
            **overrides: other arguments of this class, such as `attention`,
                `image_shape` (the source's by default, less what its patches
                leave over at the edge; positions are interpolated) or `dtype`.

        Returns:
            A `ViViTBackbone`.

        Raises:
            ValueError: if `source` is none of these, an override is unknown or
                has no use for the source's weights, or the encoder does not
                compute what the source does.

        Example:

        ```python
        import keras_hub
        from keras_longvideo.models import ViViTBackbone

        # Or the name of a preset, such as "siglip_base_patch16_224".
        source = keras_hub.models.SigLIPVisionEncoder(
            patch_size=8,
            hidden_dim=16,
            num_layers=2,
            num_heads=2,
            intermediate_dim=32,
            image_shape=(32, 32, 3),
        )
        backbone = ViViTBackbone.from_image_encoder(
            source, num_frames=8, tubelet_size=(2, 8, 8)
        )
        ```
        """
        check_overrides(overrides, argument_names(cls))
        image, config = image_encoder(cls, source)
        backbone = cls(
            **{
                **config,
                "num_frames": num_frames,
                "tubelet_size": tubelet_size or image.tubelet_size,
                **overrides,
            }
        )
        transfer_weights(image, backbone)
        return backbone

    @staticmethod
    def get_layout_map(
        device_mesh,
        model_parallel_dim_name="model",
        data_parallel_dim_name="batch",
        sequence_parallel_dim_name="sequence",
    ):
        """Splits weights, examples and tokens over the chips of a mesh.

        For `keras.distribution.ModelParallel`, on JAX. Every large weight,
        and what the optimizer keeps of it, lies in equal parts on the chips of
        the data axis (as in ZeRO-3 or FSDP), and further on those of the
        others; norms, biases, adapters and LoRA's updates lie whole on every
        chip. A mesh of
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

    def adapt(
        self,
        last_layers=None,
        adapter_dim=None,
        lora_rank=None,
        temporal_only=False,
    ):
        """Chooses what of the encoder training changes: one way, or all.

        The ways of the LongViViT paper. With its first layers frozen, an
        encoder keeps nothing of them for the backward pass: their share of a
        training step's memory goes, and two thirds of their compute. The other
        ways train few weights, but pass through all layers, and train what a
        video has that an image has not: the convolution that embeds patches,
        and positions in time, which are alike at all times in an encoder that
        was made of an image's. They also train the gates of factorised
        attention, which start shut, and a pooling that has weights, which may
        have started afresh. Call it before `compile`; `summary()` then tells
        how many parameters are trained. Adapters and LoRA become part of the
        encoder's config and of its presets, and are what is trained of such a
        preset; what else was chosen is no part of it. A `.keras` file of a
        task that is compiled keeps all of it, to go on with.

        Args:
            last_layers: int. Trains the last transformer blocks, this many,
                with the final norm and the pooling; for an encoder that knows
                time already. The paper tunes the last 4 from short to long
                video.
            adapter_dim: int. Adds an MLP of this width behind every
                feed-forward layer, which at first changes nothing.
            lora_rank: int. Adds an update of this rank to every linear map of
                attention and feed-forward, which at first is zero.
            temporal_only: bool. Trains attention over time and its gate, of an
                encoder with factorised attention. Defaults to `False`.

        Raises:
            ValueError: if there is more than one way, or it doesn't fit the
                encoder.

        Example:

        ```python
        from keras_longvideo.models import ViViTBackbone

        backbone = ViViTBackbone.from_preset(
            "long_vivit_tiny", load_weights=False
        )
        backbone.adapt(last_layers=2)
        [layer.trainable for layer in backbone.transformer_layers]
        # [False, False, True, True]
        backbone.adapt(lora_rank=4)
        backbone.adapt()  # all of it
        ```
        """
        adaptation.adapt(
            self, last_layers, adapter_dim, lora_rank, temporal_only
        )

    def enable_lora(self, rank, target_layer_names=None):
        """Adds LoRA, by the name that KerasHub has for it.

        It is `adapt(lora_rank=rank)`: other weights are trained, too.

        Args:
            rank: int. See `adapt`.
            target_layer_names: not used: LoRA is of every linear map of
                attention and feed-forward.

        Raises:
            ValueError: if `target_layer_names` are given, or as `adapt`.
        """
        if target_layer_names is not None:
            raise ValueError(
                "`target_layer_names` must be None: LoRA is of every linear "
                "map of attention and feed-forward. Received: "
                f"target_layer_names={target_layer_names!r}"
            )
        self.adapt(lora_rank=rank)

    def save_lora_weights(self, filepath):
        """Not supported: see `save_to_preset`."""
        raise NotImplementedError(_LORA_WEIGHTS)

    def load_lora_weights(self, filepath):
        """Not supported: see `from_preset`."""
        raise NotImplementedError(_LORA_WEIGHTS)

    def merge_lora(self):
        """Adds the updates of LoRA to the weights that they update, for good.

        The encoder computes the same as before, with one product fewer for
        each map, and is saved without LoRA. What `adapt` froze stays frozen:
        to train further, call it again, as `adapt()` for all weights, and
        compile anew.
        """
        for dense in adaptation.maps(self):
            dense.merge_lora()
        self.lora_rank = None

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
                "hidden_dim": self.hidden_dim,
                "num_layers": self.num_layers,
                "num_heads": self.num_heads,
                "intermediate_dim": self.intermediate_dim,
                "tubelet_size": self.tubelet_size,
                "attention": self.attention,
                "tubes": self.tubes,
                "positions": self.positions,
                "num_prefix_tokens": self.num_prefix_tokens,
                "activation": self.activation,
                "embedding_norm": self.embedding_norm is not None,
                "pooling": self.pooling,
                "time_pooling": self.time_pooling,
                "norm_after_pooling": self.norm_after_pooling,
                "adapter_dim": self.adapter_dim,
                "lora_rank": self.lora_rank,
                "mask_rate": self.mask_rate,
                "mask_mode": self.mask_mode,
                "mask_at_inference": self.mask_at_inference,
                "dropout_rate": self.dropout_rate,
                "layer_norm_epsilon": self.layer_norm_epsilon,
                "output_norm_epsilon": self.output_norm_epsilon,
                "remat": self.remat,
                "scale": self.scale,
                "offset": self.offset,
            }
        )
        return config

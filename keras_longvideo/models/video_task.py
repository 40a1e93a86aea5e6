"""What all tasks share: training from files, saving and loading."""

import warnings

import keras
from keras_hub.models import Task

from keras_longvideo.models import presets
from keras_longvideo.models.export import exports
from keras_longvideo.models.keeps_weights import keeps_weights
from keras_longvideo.models.preset_saving import whole_preset
from keras_longvideo.models.processes import check_batch_size
from keras_longvideo.models.processes import feeding_own_share
from keras_longvideo.models.processes import is_first
from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import own_share
from keras_longvideo.models.processes import padded_batch_size
from keras_longvideo.models.processes import returns_whole_outputs
from keras_longvideo.models.processes import whole_weights
from keras_longvideo.models.quantization import quantize_as_saved
from keras_longvideo.models.quantization import quantizes
from keras_longvideo.models.task_data import batches
from keras_longvideo.models.task_data import check_examples
from keras_longvideo.models.task_data import check_length
from keras_longvideo.models.task_data import is_dataset
from keras_longvideo.models.task_data import string_paths
from keras_longvideo.models.video_model import takes_videos
from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone


@keras.saving.register_keras_serializable(package="keras_longvideo")
@keeps_weights
@returns_whole_outputs
@exports
@quantizes
@takes_videos
class VideoTask(Task):
    """Base of the tasks: a `keras_hub.models.Task` over a video encoder.

    A subclass sets `backbone` and `preprocessor` in its `__init__`, and names
    what else of its config is a serialized object.
    """

    backbone_cls = ViViTBackbone
    # Arguments that say what the head is for, or what it stands on.
    head_arguments = ()

    @classmethod
    def from_preset(cls, preset, load_weights=True, **overrides):
        """Makes this task from a preset.

        Args:
            preset: string or path. A built-in name (see
                `keras_longvideo.list_presets()`), a directory, or a handle
                `"hf://org/name"` or `"hf://org/name@revision"`. Of a preset
                of another task, the encoder is used. Directories and handles
                may be of transformers' format, of ViViT or VideoMAE.
            load_weights: bool. If `False`, weights are random.
            **overrides: arguments of this task or of its backbone, in place
                of the preset's. `num_frames` and `image_shape`, those of a
                `backbone` too, become those of its preprocessor, unless one
                is given. `dtype` is that of all of the task; it defaults to
                Keras's global policy, not to the saved one; weights that were
                quantized stay so. `trainable=True` thaws an encoder that was
                saved frozen. A `backbone` or `text_backbone` keeps its
                weights and its dtype. With arguments that say what a head is
                for, such as `num_classes` or `labels`, it starts afresh; so do
                the projections with another `text_backbone`.

        Returns:
            A task.

        Raises:
            ValueError: if there is no such preset, an override is unknown, of
                no use or not for what was saved, or weights are wanted that
                are not published.
        """
        preset = presets.open_preset(preset, load_weights)
        own_names = presets.argument_names(cls)
        backbone_names = presets.argument_names(cls.backbone_cls) | {
            "trainable"
        }
        presets.check_overrides(overrides, own_names | backbone_names)

        own = {k: v for k, v in overrides.items() if k in own_names}
        rest = {k: v for k, v in overrides.items() if k not in own_names}
        dtype = keras.dtype_policies.get(
            rest.pop("dtype", keras.config.dtype_policy())
        )
        has_own_backbone = "backbone" in own
        if has_own_backbone and rest:
            raise ValueError(
                "With a `backbone`, there is no use for arguments to make one "
                f"of: leave out one or the other. Received: {sorted(rest)}"
            )
        if not has_own_backbone:
            config = {**preset.backbone["config"], **rest, "dtype": dtype}
            own["backbone"] = cls.backbone_cls.from_config(config)

        saved_cls = preset.task and keras.saving.get_registered_object(
            preset.task["registered_name"]
        )
        is_this_task = saved_cls is not None and issubclass(saved_cls, cls)
        encoders = {}
        # A head for other classes starts afresh, as in KerasHub.
        has_own_head = any(name in own for name in cls.head_arguments)
        if is_this_task:
            config = {
                name: value
                for name, value in preset.task["config"].items()
                if not (has_own_head and name in cls.head_arguments)
            }
            for name, value in config.items():
                if name != "preprocessor" and _is_serialized(value):
                    encoders[name] = value["config"]
                    new = {**value["config"], "dtype": dtype}
                    config[name] = {**value, "config": new}
            task = cls.from_config({**config, **own})
        else:
            made = {}
            if "preprocessor" not in own:
                made["preprocessor"] = cls.default_preprocessor(
                    own["backbone"], _video_converter(preset)
                )
            task = cls(**own, **made)
        if task.preprocessor is not None and "preprocessor" not in own:
            preset.load_assets(task.preprocessor)
            # It is to give the encoder what that now takes.
            takes = own["backbone"].get_config() if has_own_backbone else rest
            converter = task.preprocessor.video_converter
            if "num_frames" in takes:
                converter.num_frames = takes["num_frames"]
            if "image_shape" in takes:
                converter.image_size = tuple(takes["image_shape"][:2])
        if load_weights:
            if not has_own_backbone:
                preset.load_backbone_weights(task.backbone)
            for name, saved in encoders.items():
                if name not in own:
                    quantize_as_saved(getattr(task, name), saved)
            if is_this_task and not has_own_head:
                preset.load_task_weights(task)
        return task

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        shuffle=True,
        validation_data=None,
        validation_batch_size=None,
        **kwargs,
    ):
        """Trains the task, on files as well as on arrays.

        Under a `keras.distribution`, where a batch is split over devices, a
        last batch that is not full is left out, in validation too; a
        `tf.data.Dataset` has to leave it out itself. Each of several processes
        is given the same videos, and reads its own share, or the same dataset,
        and uses its own share of each batch; see
        `keras_longvideo.models.own_rows` for one that reads no more.

        Args:
            x: videos as the preprocessor takes them: a list of paths, arrays,
                or a dict of these; or a `tf.data.Dataset` of batches.
            y: labels, where the task has any and `x` is no dataset.
            batch_size: int. Defaults to `32`; for a dataset, it is its own.
            sample_weight: optional weights of the examples.
            shuffle: bool. Whether arrays and lists come in a new order each
                epoch. (`keras_hub.models.Task` never shuffles them.) Defaults
                to `True`.
            validation_data: as `x`, or a tuple `(x, y)` or
                `(x, y, sample_weight)`.
            validation_batch_size: int. Defaults to `batch_size`.
            **kwargs: see `keras.Model.fit`. There is no `validation_split`;
                pass `validation_data`. A dataset without end needs
                `steps_per_epoch` or `validation_steps`.

        Returns:
            A `keras.callbacks.History`.
        """
        if kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` is not supported: split the videos and "
                "pass `validation_data`. Received: "
                f"validation_split={kwargs['validation_split']}"
            )
        for data, name in (
            (x, "steps_per_epoch"),
            (validation_data, "validation_steps"),
        ):
            check_examples(data)
            check_length(data, name, kwargs.get(name))
        size = batch_size or 32
        if is_dataset(x):
            x = own_share(x)
        else:
            check_batch_size(size)
            x = self._batches(x, y, sample_weight, size, shuffle, training=True)
            y = sample_weight = batch_size = None
        if is_dataset(validation_data):
            validation_data = own_share(validation_data)
        elif validation_data is not None:
            size = validation_batch_size or size
            check_batch_size(size)
            unpacked = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_data = self._batches(
                *unpacked, size, shuffle=False, training=False
            )
        with warnings.catch_warnings(), feeding_own_share():
            # From videos the path of images learns nothing, and from images
            # that of videos.
            warnings.filterwarnings(
                "ignore",
                r"Gradients do not exist .* \['embedding/(image_)?kernel'",
            )
            return super().fit(
                x,
                y,
                batch_size,
                sample_weight,
                validation_data,
                shuffle=False,
                **kwargs,
            )

    def predict(self, x=None, batch_size=None, **kwargs):
        """Computes the task's outputs, of files as well as of arrays.

        Under a `keras.distribution`, where a batch is split over devices, the
        last example is repeated until all batches are full, and what comes of
        the others is returned; a `tf.data.Dataset` has to be of full batches.
        Each of several processes is given the same videos or dataset, as
        `fit` is, and gets all that comes of them.

        Args:
            x: examples as `fit` takes them.
            batch_size: int. Defaults to `32`; for a dataset, it is its own.
            **kwargs: see `keras.Model.predict`.

        Returns:
            What the task makes of all examples. Of a classifier that is an
            array of shape `(videos, num_classes)`.
        """
        check_examples(x)
        num_examples = None
        if is_split() and is_dataset(x):
            x = own_share(x)
        elif is_split():
            x = self._named(x)
            num_examples = len(next(iter(x.values())))
            size = padded_batch_size(batch_size or 32, num_examples)
            x, batch_size = batches(x, batch_size=size, pads=True), None
        with feeding_own_share():
            outputs = super().predict(string_paths(x), batch_size, **kwargs)
        return keras.tree.map_structure(lambda y: y[:num_examples], outputs)

    def get_compile_config(self):
        """What `compile` was given, and which weights it was to train.

        Returns:
            A dict; empty before `compile`.
        """
        config = super().get_compile_config()
        if not config:
            return config
        # Of a layer's weights, its config does not say.
        return {**config, "is_trained": [w.trainable for w in self.weights]}

    def compile_from_config(self, config):
        """Compiles the task as it was when it was saved in a `.keras` file.

        Args:
            config: dict, of `get_compile_config`.
        """
        config = dict(config)
        # Before the optimizer is built, which has state for these alone.
        is_trained = config.pop("is_trained", None)
        if is_trained is not None:
            for weight, value in zip(self.weights, is_trained, strict=True):
                weight.trainable = value
        # Keras's own does nothing where `compile` is not Keras's.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def _batches(self, x, y, sample_weight, batch_size, shuffle, training):
        """This process's share of batches of arrays or lists."""
        return batches(self._named(x), y, sample_weight, batch_size, shuffle)

    def _named(self, x):
        if isinstance(x, dict):
            return x
        return {"pixel_values" if self.preprocessor is None else "videos": x}

    @classmethod
    def default_preprocessor(cls, backbone, video_converter=None):
        """The preprocessor of a task that is made from an encoder alone.

        Args:
            backbone: `ViViTBackbone`.
            video_converter: the `VideoConverter` of the preset that the
                encoder comes from, if it has one.

        Returns:
            A `VideoPreprocessor`.
        """
        raise ValueError(
            f"`{cls.__name__}` needs a `preprocessor`: this preset has none."
        )

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Saves the task as a preset: whole, or not at all.

        The state of the optimizer is no part of a preset. Files in the
        directory that belong to no preset, such as a README.md, are left
        alone. Of several processes all have to call it; the first one writes.

        Args:
            preset_dir: path of the directory; made where it is not there.
            max_shard_size: int or float. Largest weight file, in GB. Defaults
                to `10`.
        """
        with whole_weights(self):
            if is_first():
                with whole_preset(preset_dir) as aside:
                    super().save_to_preset(aside, max_shard_size=max_shard_size)

    def save_task_weights(self, filepath):
        """Saves the weights that are neither the backbone's nor an optimizer's.

        Args:
            filepath: path that ends in `.weights.h5`.
        """
        keras.saving.save_weights(
            self, filepath, objects_to_skip=[self.backbone, self.optimizer]
        )

    def load_task_weights(self, filepath):
        """Loads what `save_task_weights` saved.

        Args:
            filepath: path that ends in `.weights.h5`.
        """
        keras.saving.load_weights(
            self, filepath, objects_to_skip=[self.backbone, self.optimizer]
        )


def _video_converter(preset):
    """The video converter of a preset of whatever task, or None."""
    if preset.preprocessor is None:
        return None
    config = preset.preprocessor["config"].get("video_converter")
    return config and keras.saving.deserialize_keras_object(config)


def _is_serialized(value):
    return isinstance(value, dict) and "registered_name" in value

"""What a stage of pre-training is: data, encoder, schedule."""

import dataclasses
import json
import math
import os

from keras_longvideo.data.checks import check_int
from keras_longvideo.data.checks import check_positive
from keras_longvideo.video.resize import check_image_size

MANIFESTS = (".jsonl", ".csv")


@dataclasses.dataclass(frozen=True)
class Source:
    """One data set of a stage.

    Args:
        path: string. A manifest, `.jsonl` or `.csv`, as
            `keras_longvideo.data.read_manifest` takes it; or a shell-style
            pattern of shards, such as `"shards/*.tfrecord*"`.
        batch_size: int. Pairs of a batch, which has no other data in it.
        num_frames: int. Frames of a clip; 1 for images. Defaults to `16`.
        fps: float or None. Frames to read a second; `None` spreads them
            evenly over the video. Defaults to `None`.
        ratio: float. Share of the steps, over the sum of all sources' ratios.
            Defaults to `1.0`.
        group_size: int. So many consecutive videos stay together in a batch:
            2 where each video is followed by its hard negative. Defaults to
            `1`.
        cache: bool, whether decoded clips are kept in memory; or string, the
            path of a folder of a manifest's decoded clips that runs share, see
            `keras_longvideo.data.video_text_dataset`. Defaults to `False`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras_longvideo.training import Source

    images = Source("images.jsonl", batch_size=256, num_frames=1)
    videos = Source("temporal.jsonl", batch_size=64, group_size=2, ratio=2.0)
    ```
    """

    path: str
    batch_size: int
    num_frames: int = 16
    fps: float | None = None
    ratio: float = 1.0
    group_size: int = 1
    cache: bool | str = False

    def __post_init__(self):
        # A contrastive loss over one pair has nothing to tell apart.
        check_int("batch_size", self.batch_size, least=2)
        check_int("num_frames", self.num_frames)
        check_int("group_size", self.group_size)
        check_positive("ratio", self.ratio)
        if self.fps is not None:
            check_positive("fps", self.fps)
        if self.batch_size % self.group_size:
            raise ValueError(
                "`group_size` must divide `batch_size`. Received: "
                f"group_size={self.group_size}, batch_size={self.batch_size}"
            )
        if not isinstance(self.cache, bool) and not self.is_manifest:
            raise ValueError(
                "`cache` must be a bool where `path` names shards: only the "
                "clips of a manifest are kept in a folder. "
                f"Received: cache={self.cache!r}, path={self.path!r}"
            )

    @property
    def is_manifest(self):
        return is_manifest(self.path)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of pre-training, such as image, short or long.

    What `pretrain` needs to know; the same stage gives the same run. Defaults
    that the LongViViT paper leaves open are CLIP's, where no other source is
    named.

    Args:
        preset: string. What the retriever starts from: a directory, such as
            `preset/` in an earlier stage's output, a `"hf://org/name"`, or a
            built-in name, whose weights are random unless it has some. Of a
            `VideoTextRetriever` both towers and the vocabulary are taken;
            else the encoder is, beside a new text tower.
        train: tuple of `Source`.
        held_out: dict of strings. Names of held-out sets, and their manifest
            or shards. One caption a video counts, a manifest's first. While
            the run lasts, their frames take up room in its folder, 3 bytes a
            pixel: 50 GB for 1,000 videos of 256 frames of 256x256.
        steps: int. Batches to train on.
        learning_rate: float. The highest one: it rises from 0 over
            `warmup_steps` and falls to 0 as a cosine until the last step.
        warmup_steps: int. Defaults to `0`.
        weight_decay: float. Norms, biases, positions, learned tokens, gates
            and logits are spared. Defaults to `0.01`.
        clip_norm: float or None. Largest norm of the gradients of all weights
            together. Defaults to `1.0`.
        beta_2: float, of AdamW. Defaults to `0.98`.
        ema_momentum: float or None. With it, held-out sets are measured with,
            and the preset holds, an exponential moving average of the
            weights. Defaults to `None`: none.
        backbone: dict. Arguments of `ViViTBackbone` in place of the preset's,
            such as `num_frames`, `tubelet_size`, `attention` and `mask_rate`.
        adapt: dict. Arguments of `ViViTBackbone.adapt`, such as
            `{"last_layers": 4}`. Defaults to none: all weights are trained.
            LoRA is merged into the preset, adapters stay in it.
        text_tower: string. Size of a new text tower; see
            `keras_longvideo.models.text_tower`. Defaults to `"tiny"`. It is
            trained without dropout, as CLIP's.
        vocabulary: string or None. A file of a new tokenizer's words, one a
            line. Defaults to `None`: one of up to `vocabulary_size` words is
            made of the training captions. Shards are read from end to end
            for those, frames and all: give a file where they are large.
        vocabulary_size: int. Defaults to `1000`.
        sequence_length: int or None. Tokens that a caption is padded or cut
            to. Defaults to `None`: those of a `preset` that is a retriever,
            or 32.
        num_frames: int or None. Frames of a held-out video, and of one that
            the preset is given. Defaults to `None`, those of the backbone.
        image_size: tuple of ints or None. `(height, width)` of all frames, in
            training too. Defaults to `None`, that of the backbone.
        fps: float or None. Frames a second at which held-out videos, and
            those that the preset is given, are read, whatever the rate of
            `preset`. Defaults to `None`: spread evenly.
        masked_language_modeling: float. Weight of that auxiliary loss, see
            `VideoTextPretrainer`. Defaults to `0.0`: none.
        captioning: float. Weight of that auxiliary loss. Defaults to `0.0`.
        microbatch_size: int or None. See `VideoTextRetriever.compile`.
            Defaults to `None`.
        evaluation_batch_size: int. Defaults to `32`.
        log_every: int. Steps of a row of the log, at most. Defaults to `50`.
        evaluate_every: int. Steps from one measurement of the held-out sets
            to the next; there is always one after the last step. Defaults to
            `1000`.
        checkpoint_every: int. Steps from one checkpoint to the next. Defaults
            to `500`.
        seed: int. Of weights, batches, masks. Defaults to `0`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras_longvideo.training import Source
    from keras_longvideo.training import Stage

    stage = Stage(
        preset="runs/image/preset",
        train=(Source("train.jsonl", batch_size=64),),
        held_out={"spatial": "held_out.jsonl"},
        steps=3000,
        learning_rate=1.5e-3,
        warmup_steps=150,
        backbone={"num_frames": 16, "tubelet_size": (2, 16, 16)},
    )
    ```
    """

    preset: str
    train: tuple[Source, ...]
    held_out: dict[str, str]
    steps: int
    learning_rate: float
    warmup_steps: int = 0
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    beta_2: float = 0.98
    ema_momentum: float | None = None
    backbone: dict = dataclasses.field(default_factory=dict)
    adapt: dict = dataclasses.field(default_factory=dict)
    text_tower: str = "tiny"
    vocabulary: str | None = None
    vocabulary_size: int = 1000
    sequence_length: int | None = None
    num_frames: int | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    masked_language_modeling: float = 0.0
    captioning: float = 0.0
    microbatch_size: int | None = None
    evaluation_batch_size: int = 32
    log_every: int = 50
    evaluate_every: int = 1000
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self):
        if (
            not isinstance(self.train, tuple | list)
            or not self.train
            or not all(isinstance(source, Source) for source in self.train)
        ):
            raise ValueError(
                "`train` must be a tuple of at least one `Source`. "
                f"Received: train={self.train!r}"
            )
        for name in (
            *("steps", "vocabulary_size", "evaluation_batch_size"),
            *("log_every", "evaluate_every", "checkpoint_every"),
        ):
            check_int(name, getattr(self, name))
        for name in ("held_out", "backbone", "adapt"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(
                    f"`{name}` must be a dict. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        for name in ("sequence_length", "num_frames", "microbatch_size"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name))
        if self.image_size is not None:
            check_image_size(self.image_size)
        check_int("seed", self.seed, least=0)
        check_int("warmup_steps", self.warmup_steps, least=0)
        if self.warmup_steps >= self.steps:
            raise ValueError(
                "`warmup_steps` must be below `steps`. Received: "
                f"warmup_steps={self.warmup_steps}, steps={self.steps}"
            )
        check_positive("learning_rate", self.learning_rate)
        for name in ("weight_decay", "masked_language_modeling", "captioning"):
            _check_weight(name, getattr(self, name))
        for name in ("clip_norm", "fps"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        _check_rate("beta_2", self.beta_2)
        if self.ema_momentum is not None:
            _check_rate("ema_momentum", self.ema_momentum)
        if self.auxiliary and self.microbatch_size is not None:
            raise ValueError(
                "`microbatch_size` must be None with auxiliary losses. "
                f"Received: microbatch_size={self.microbatch_size} with "
                f"{self.auxiliary}"
            )
        for source in self.train:
            size = self.microbatch_size or source.batch_size
            if size < source.batch_size and source.batch_size % size:
                raise ValueError(
                    "`microbatch_size` must divide the `batch_size` of each "
                    "source, or not be below it. Received: "
                    f"microbatch_size={size}, batch_size={source.batch_size}"
                )

    @property
    def auxiliary(self):
        """The weights of the auxiliary losses that there are, by name."""
        names = ("masked_language_modeling", "captioning")
        weights = {name: getattr(self, name) for name in names}
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def interval(self):
        """Steps between looks at the run, so that all that is due falls on one.

        In between, nothing waits for a device.
        """
        return math.gcd(
            self.log_every, self.evaluate_every, self.checkpoint_every
        )

    def to_json(self):
        """The stage as a JSON string, by which runs are told apart."""
        return json.dumps(
            dataclasses.asdict(self),
            indent=2,
            sort_keys=True,
            default=_plain,
        )


def is_manifest(path):
    """Whether a path names a manifest, and not shards."""
    return os.fspath(path).endswith(MANIFESTS)


def _check_rate(name, value):
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(
            f"`{name}` must be in [0, 1). Received: {name}={value!r}"
        )


def _check_weight(name, value):
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if not is_number or value < 0:
        raise ValueError(
            f"`{name}` must be a number of at least 0. "
            f"Received: {name}={value!r}"
        )


def _plain(value):
    """A value that JSON does not know: a path, or a number of NumPy's."""
    return value.item() if hasattr(value, "item") else os.fspath(value)

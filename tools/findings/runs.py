"""What is trained for the findings: every run, as data."""

import dataclasses

# A finding each, the most important first: the order in which runs are done.
FINDINGS = ("a", "d", "b", "c", "g", "e", "f")
SEEDS = (0, 1, 2)
SPLITS = ("image", "spatial", "temporal", "long")

IMAGE_SIZE = (64, 64)
SHORT_FRAMES = 16
LONG_FRAMES = 256
# Layers that the video towers have here; "the last 4" of the paper's 12 are a
# third of them.
NUM_LAYERS = 4
LAST_LAYERS = 2
ADAPTER_DIM = 32
LORA_RANK = 8

MASK_RATES = (0.0, 0.25, 0.5, 0.75, 0.9)
LONG_MASK_RATE = 0.75
# Shapes of a token of an encoder of frames, which have no time in them.
FRAME_TUBELET = (1, 16, 16)
# As many tokens as coarse patches leave; see `tokens`.
COARSE = {(4, 16, 16): 0.5, (2, 32, 32): 0.75, (4, 32, 32): 0.875}
# TubeViT's tubes were made for clips of 32 frames. Of one of 16 they leave
# out a good part; these are the same shapes, set so that they reach its end.
TUBES_FOR_16_FRAMES = (
    {"size": (8, 8, 8), "stride": (8, 32, 32), "offset": (0, 0, 0)},
    {"size": (16, 4, 4), "stride": (16, 32, 32), "offset": (0, 8, 8)},
    {"size": (4, 12, 12), "stride": (8, 32, 32), "offset": (2, 16, 16)},
    {"size": (1, 16, 16), "stride": (16, 16, 16), "offset": (8, 0, 0)},
)

# The sets that a stage's runs are measured on, whatever they were trained on.
HELD_OUT = {
    "image": ("image",),
    "short": ("spatial", "temporal"),
    "scratch": ("spatial", "temporal"),
    "long": ("long",),
}

# Of each optimizer's step, how often it is one on images or on videos.
# Order is what takes longest to learn.
RATIOS = {"image": 1.0, "spatial": 1.0, "temporal": 4.0, "long": 1.0}


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of everything there is.

    Args:
        videos: dict of ints. Videos (or images) of each training set.
        held_out: int. Videos of each held-out set.
        steps: dict of ints. Optimizer's steps of each stage; of those from
            scratch see `num_steps`.
        images: int. Images in a batch.
        clips: int. Clips of 16 frames in a batch.
        long_videos: int. Long videos in a batch.
        num_layers: int. Layers of the video towers.
    """

    videos: dict
    held_out: int
    steps: dict
    images: int
    clips: int
    long_videos: int
    num_layers: int

    def num_steps(self, run):
        """Steps of a run: from scratch, those of images and short videos."""
        if not run.steps_factor:
            return 0
        if run.stage == "scratch":
            steps = self.steps["image"] + self.steps["short"]
        else:
            steps = self.steps[run.stage]
        return max(int(run.steps_factor * steps), 1)


SCALES = {
    "full": Scale(
        videos={
            "image": 8000,
            "spatial": 6000,
            "temporal": 6000,
            "long": 2000,
        },
        held_out=200,
        steps={"image": 2000, "short": 3000, "long": 800},
        images=256,
        clips=64,
        long_videos=32,
        num_layers=NUM_LAYERS,
    ),
    # For two CPU cores, in pieces of a few hours.
    "small": Scale(
        videos={
            "image": 10_000,
            "spatial": 4000,
            "temporal": 10_000,
            "long": 4000,
        },
        held_out=200,
        steps={"image": 1000, "short": 1200, "long": 600},
        images=256,
        clips=32,
        long_videos=16,
        num_layers=NUM_LAYERS,
    ),
    # Shows that all of it runs; its numbers mean nothing.
    "smoke": Scale(
        videos={"image": 16, "spatial": 8, "temporal": 8, "long": 8},
        held_out=8,
        steps={"image": 2, "short": 2, "long": 2},
        images=4,
        clips=4,
        long_videos=4,
        num_layers=LAST_LAYERS,
    ),
}

# That whose results are kept in the repository.
DEFAULT_SCALE = "small"

# What starts from a stage before forgets much of it at a higher one.
LEARNING_RATES = {
    "image": 1.5e-3,
    "short": 5e-4,
    "scratch": 1.5e-3,
    "long": 3e-4,
}
# Tokens of a caption; none is cut.
SEQUENCE_LENGTHS = {"image": 16, "short": 16, "scratch": 16, "long": 20}
WEIGHT_DECAY = 0.01
WARMUP_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class Run:
    """A model that is trained and measured, once for every seed.

    Args:
        name: string, of all seeds.
        stage: string. `"image"`, `"short"`, `"scratch"` or `"long"`: how many
            steps at which learning rate.
        start: string. The run of the same seed whose preset this one starts
            from, or None for random weights.
        sources: tuple of strings. Training sets that are mixed.
        num_frames: int. Frames of a clip, spread evenly over the video.
        backbone: dict. Arguments of `ViViTBackbone` in place of those of
            `start`.
        adapt: dict. Arguments of `ViViTBackbone.adapt`.
        losses: dict. Weights of losses beside the contrastive one.
        steps_factor: float. How many times the steps of its stage; 0 where
            the start is measured as it is.
    """

    name: str
    stage: str
    start: str | None
    sources: tuple
    num_frames: int
    backbone: dict = dataclasses.field(default_factory=dict)
    adapt: dict = dataclasses.field(default_factory=dict)
    losses: dict = dataclasses.field(default_factory=dict)
    steps_factor: float = 1.0


def _short(name, sources=("image", "spatial", "temporal"), **more):
    adapt, losses = more.pop("adapt", {}), more.pop("losses", {})
    return Run(
        f"short_{name}",
        "short",
        "image",
        sources,
        SHORT_FRAMES,
        backbone={**_SHORT_BACKBONE, **more},
        adapt=adapt,
        losses=losses,
    )


def _scratch(name, **more):
    # Other patches have no use for kernels and positions that were learned
    # with those of 16 x 16: to compare like with like, all of them start from
    # random weights, and take the steps of both stages on all the data.
    return dataclasses.replace(
        _short(name, **more),
        name=f"scratch_{name}",
        stage="scratch",
        start=None,
    )


def _long(name, start="short_joint", num_frames=LONG_FRAMES, **more):
    adapt = more.pop("adapt", {})
    return Run(
        f"long_{name}",
        "long",
        start,
        ("long",),
        num_frames,
        backbone={"num_frames": num_frames, **more},
        adapt=adapt,
    )


_SHORT_BACKBONE = {
    "num_frames": SHORT_FRAMES,
    "attention": "joint",
    "tubelet_size": (2, 16, 16),
}
_ATTENTIONS = {
    "joint": {},
    "factorized": {"attention": "factorized"},
    "frame": {"attention": "frame", "tubelet_size": FRAME_TUBELET},
}
# The paper's ways to adapt. Those "over time" alone are of an encoder that has
# attention over time apart.
_WAYS = {
    "adapters": {"adapter_dim": ADAPTER_DIM},
    "lora": {"lora_rank": LORA_RANK},
    "temporal_only": {"temporal_only": True},
    "last_layers": {"last_layers": LAST_LAYERS},
}


def scale_name(scale):
    """The key of a scale in `SCALES`."""
    return next(name for name, other in SCALES.items() if other == scale)


def command(scale):
    """The command that does all runs of a scale."""
    name = scale_name(scale)
    options = ""
    if name != DEFAULT_SCALE:
        options = f" --scale={name} --report=FOLDER"
    return f"python tools/reproduce_findings.py{options}"


def percent(rate):
    """A share as a run's name has it, as in `"mask75"`."""
    return f"{100 * rate:g}".replace(".", "_")


def masked_name(kind, rate):
    """The name of the run of a kind of attention with a share masked."""
    return f"short_{kind}" + (f"_mask{percent(rate)}" if rate else "")


def coarse_name(tubelet_size):
    """The name of the run with coarse patches."""
    return "scratch_" + "x".join(map(str, tubelet_size))


def _runs_of_findings():
    image = Run(
        "image", "image", None, ("image",), 1, {"tubelet_size": FRAME_TUBELET}
    )
    masked = {
        (kind, rate): _short(
            masked_name(kind, rate).removeprefix("short_"),
            **arguments,
            **({"mask_rate": rate} if rate else {}),
        )
        for kind, arguments in _ATTENTIONS.items()
        for rate in MASK_RATES
    }
    joint, factorized, frame = (masked[kind, 0.0] for kind in _ATTENTIONS)
    # As many tokens as without masking.
    longer = dataclasses.replace(
        masked["joint", 0.75], name="short_joint_mask75_longer", steps_factor=4
    )
    # About as much time as `longer` and the end of it.
    joint_longer = dataclasses.replace(
        joint, name="short_joint_longer", steps_factor=2
    )
    # A last part of the training on all tokens, as FLIP has it.
    unmasked_end = [
        dataclasses.replace(
            joint,
            name=f"{start.name}_unmasked_end",
            start=start.name,
            # Not what `start` has.
            backbone={"mask_rate": 0.0},
            steps_factor=0.25,
        )
        for start in (masked["joint", 0.75], longer)
    ]
    few_frames = [
        _long("joint_16_frames", num_frames=SHORT_FRAMES),
        _long("frame_16_frames", "short_frame", SHORT_FRAMES),
    ]
    # As the paper compares: on as many frames, and without a long video.
    untuned = dataclasses.replace(_long("joint_untuned"), steps_factor=0)
    # ShortViViT tuned as LongViViT is.
    last_layers_few_frames = _long(
        "last_layers_16_frames",
        num_frames=SHORT_FRAMES,
        adapt=_WAYS["last_layers"],
    )
    long = _long("joint", mask_rate=LONG_MASK_RATE)
    last_layers = {
        "mask_rate": LONG_MASK_RATE,
        "adapt": _WAYS["last_layers"],
    }
    scratch = [_scratch("joint")]
    for tubelet_size, rate in COARSE.items():
        name = f"joint_mask{percent(rate)}"
        scratch.append(_scratch(name, mask_rate=rate))
        name = coarse_name(tubelet_size).removeprefix("scratch_")
        scratch.append(_scratch(name, tubelet_size=tubelet_size))
    scratch.append(_scratch("tubevit", tubes="tubevit"))
    scratch.append(_scratch("tubes_16_frames", tubes=TUBES_FOR_16_FRAMES))

    def adapted(make, joint_from, factorized_from, **more):
        for name, way in _WAYS.items():
            over_time = "temporal_only" in way
            yield make(
                name,
                **(factorized_from if over_time else joint_from),
                **more,
                adapt=way,
            )

    return {
        "a": [image, joint, frame, masked["joint", 0.75], *few_frames],
        "d": [
            image,
            joint,
            frame,
            *few_frames,
            last_layers_few_frames,
            untuned,
            # As the paper trains LongViViT.
            _long("last_layers", **last_layers),
            _long("frame", "short_frame", **last_layers),
        ],
        "b": [image, *masked.values(), longer, *unmasked_end, joint_longer],
        "c": scratch,
        "g": [
            image,
            joint,
            _short("without_images", ("spatial", "temporal")),
            _short("without_videos", ("image",)),
        ],
        "e": [
            image,
            joint,
            factorized,
            *adapted(_short, {}, {"attention": "factorized"}),
            long,
            *adapted(
                _long,
                {},
                {"start": "short_factorized"},
                mask_rate=LONG_MASK_RATE,
            ),
            # What "over time alone" is to be compared with.
            _long("factorized", "short_factorized", mask_rate=LONG_MASK_RATE),
        ],
        "f": [
            image,
            joint,
            _short("masked_words", losses={"masked_language_modeling": 1.0}),
            _short("captions", losses={"captioning": 1.0}),
        ],
    }


RUNS_OF = _runs_of_findings()
# By name, each once, whatever findings share it.
RUNS = {run.name: run for f in FINDINGS for run in RUNS_OF[f]}


def tokens(run):
    """How many tokens of a clip the run's encoder works on in training."""
    import keras_longvideo.layers

    arguments = _arguments(run)
    if "tubes" in arguments:
        tubes = arguments["tubes"]
        if tubes == "tubevit":
            tubes = keras_longvideo.layers.TUBEVIT
        embedding = keras_longvideo.layers.TubeEmbedding(1, tubes)
        return embedding.count_tokens(run.num_frames, *IMAGE_SIZE)
    frames, height, width = arguments["tubelet_size"]
    times = run.num_frames // frames
    places = IMAGE_SIZE[0] // height * (IMAGE_SIZE[1] // width)
    kept = 1 - arguments.get("mask_rate", 0.0)
    if arguments.get("attention", "joint") == "joint":
        return round(kept * times * places)
    return times * round(kept * places)


def _arguments(run):
    """The encoder's arguments, with those that come of where it starts."""
    start = {} if run.start is None else _arguments(RUNS[run.start])
    return {**start, **run.backbone}

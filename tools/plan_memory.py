"""Tells whether a training step fits a chip, before one is rented.

Compiles the very step that `model.fit` runs, for a TPU that need not be there
or for the device at hand, and prints the compiler's own memory plan:

    python tools/plan_memory.py --preset=long_vivit_large --batch_size=16 \\
        --mask_rate=0.75 --trainable_layers=4 --topology=v5e

`--mode=encode` plans `encode_video` instead, and `--largest_batch` looks for
the largest batch that fits. TPUs need their compiler: pip install "jax[tpu]".
"""

import dataclasses
import json
import math
import os
import re
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
from absl import app
from absl import flags
from chips import GIB
from chips import chip_of
from chips import topology_devices
from matmul_flops import matmul_flops

from keras_longvideo import models

_PRESET = flags.DEFINE_string(
    "preset", "long_vivit_large", "Built-in name, directory or hf:// handle."
)
_MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "encode"], "A training step, or encode_video."
)
_NUM_FRAMES = flags.DEFINE_integer(
    "num_frames", None, "Frames of a clip; by default those of the preset."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Height and width; by default those of the preset."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 1, "Videos of a step, over all chips.", lower_bound=1
)
_MICROBATCH_SIZE = flags.DEFINE_integer(
    "microbatch_size", None, "As in VideoTextRetriever.compile."
)
_MASK_RATE = flags.DEFINE_float(
    "mask_rate", None, "Share of tokens dropped; by default the preset's."
)
_TRAINABLE_LAYERS = flags.DEFINE_integer(
    "trainable_layers", None, "Tune the last ones alone; by default all."
)
_ADAPTER_DIM = flags.DEFINE_integer(
    "adapter_dim", None, "Tune adapters of this width alone."
)
_LORA_RANK = flags.DEFINE_integer(
    "lora_rank", None, "Tune low-rank updates of this rank alone."
)
_TEMPORAL_ONLY = flags.DEFINE_bool(
    "temporal_only", False, "Tune attention over time alone."
)
_ATTENTION = flags.DEFINE_enum(
    "attention",
    None,
    ["joint", "factorized", "frame"],
    "What a token attends to; by default as the preset.",
)
_TUBELET_SIZE = flags.DEFINE_list(
    "tubelet_size",
    None,
    "Frames, height and width, such as 4,32,32; by default the preset's.",
)
_TUBES = flags.DEFINE_bool("tubes", False, "TubeViT's tubes, not tubelets.")
_REMAT = flags.DEFINE_bool(
    "remat",
    None,
    "Recompute blocks going backward; by default as the preset.",
)
_TEXT_TOWER = flags.DEFINE_enum(
    "text_tower", "base", ["tiny", "medium", "base"], "Size of the BERT."
)
_DTYPE = flags.DEFINE_string(
    "dtype", "mixed_bfloat16", "Keras dtype policy: of activations, weights."
)
_TOPOLOGY = flags.DEFINE_string(
    "topology", "v5e", "A chip (v5e, v5p, v6e), a slice (v5e:2x2), or local."
)
_PARALLEL = flags.DEFINE_enum(
    "parallel",
    "data",
    ["data", "weights", "sequence"],
    "What the chips of a slice share: the batch; the batch, the weights and "
    "the optimizer's state; or each video's tokens and the weights.",
)
_LARGEST_BATCH = flags.DEFINE_bool(
    "largest_batch", False, "Find the largest batch that fits."
)
_QUICK = flags.DEFINE_bool(
    "quick",
    True,
    "Let the compiler spend little effort on speed: several times faster to "
    "plan, with a few percent more or less memory, or with microbatches more "
    "than `fit` takes. Settle close calls with --noquick.",
)
_JSON = flags.DEFINE_bool("json", False, "Print one line of JSON alone.")
_HLO = flags.DEFINE_string("hlo", None, "File for the compiled program.")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the compiler plans for one chip, and what the step computes."""

    fits: bool
    peak_bytes: int
    memory_bytes: int
    # None where the program does not fit: the compiler then tells the peak.
    argument_bytes: int | None
    temporary_bytes: int | None
    # Of all chips together.
    flops: int
    num_devices: int
    batch_size: int
    tokens: int
    keep_tokens: int
    # The least time that arithmetic and the reading of weights take.
    roofline_seconds: float | None
    compile_seconds: float


def build_retriever():
    """The retriever that the flags describe, with random weights."""
    overrides = {}
    for flag in (_MASK_RATE, _REMAT):
        if flag.value is not None:
            overrides[flag.name] = flag.value
    if _NUM_FRAMES.value is not None:
        overrides["num_frames"] = _NUM_FRAMES.value
    if _IMAGE_SIZE.value is not None:
        overrides["image_shape"] = (_IMAGE_SIZE.value, _IMAGE_SIZE.value, 3)
    if _ATTENTION.value is not None:
        overrides["attention"] = _ATTENTION.value
    if _TUBELET_SIZE.value is not None:
        overrides["tubelet_size"] = tuple(map(int, _TUBELET_SIZE.value))
    if _TUBES.value:
        overrides["tubes"] = "tubevit"
    retriever = models.VideoTextRetriever.from_preset(
        _PRESET.value,
        load_weights=False,
        text_backbone=models.text_tower(_TEXT_TOWER.value, dtype=_DTYPE.value),
        preprocessor=None,
        dtype=_DTYPE.value,
        **overrides,
    )
    retriever.backbone.adapt(
        last_layers=_TRAINABLE_LAYERS.value,
        adapter_dim=_ADAPTER_DIM.value,
        lora_rank=_LORA_RANK.value,
        temporal_only=_TEMPORAL_ONLY.value,
    )
    retriever.compile(microbatch_size=_MICROBATCH_SIZE.value)
    retriever.optimizer.build(retriever.trainable_variables)
    return retriever


def distribute(devices):
    """The distribution of `--parallel` over the devices."""
    if _PARALLEL.value == "data":
        mesh = keras.distribution.DeviceMesh(
            (len(devices),), ["batch"], devices
        )
        return keras.distribution.DataParallel(mesh)
    shape = {"weights": (len(devices), 1), "sequence": (1, len(devices))}
    mesh = keras.distribution.DeviceMesh(
        shape[_PARALLEL.value], ["batch", "sequence"], devices
    )
    return keras.distribution.ModelParallel(
        layout_map=models.VideoTextRetriever.get_layout_map(mesh),
        batch_dim_name="batch",
    )


def shapes_of(variables, distribution, layouts):
    """What stands for variables that are on no device."""
    shapes = []
    for variable in variables:
        layout = layouts.get(variable.path)
        if layout is None:
            layout = distribution.get_variable_layout(variable)
        shapes.append(
            jax.ShapeDtypeStruct(
                variable.shape,
                variable.dtype,
                sharding=layout.backend_layout,
            )
        )
    return shapes


def video_shapes(backbone, batch_size, distribution):
    """A batch of raw clips, as `encode_video` and `fit` feed them."""
    height, width, channels = backbone.image_shape
    clip = (backbone.num_frames, height, width, channels)
    return {
        "pixel_values": _input((batch_size, *clip), "uint8", distribution),
        "frame_mask": _input(
            (batch_size, backbone.num_frames), "bool", distribution
        ),
    }


def text_shapes(batch_size, distribution, sequence_length=32):
    """A batch of captions of `VideoTextPreprocessor`'s default length."""
    shape = (batch_size, sequence_length)
    return {
        "token_ids": _input(shape, "int32", distribution),
        "padding_mask": _input(shape, "bool", distribution),
    }


def _input(shape, dtype, distribution):
    layout = distribution.get_data_layout(shape).backend_layout
    return jax.ShapeDtypeStruct(shape, dtype, sharding=layout)


def trace_step(retriever, batch_size, distribution):
    """The traced program of one step, as Keras's trainer makes it."""
    videos = video_shapes(retriever.backbone, batch_size, distribution)
    if _MODE.value == "encode":
        model = retriever.video_encoder
        state = [
            shapes_of(variables, distribution, {})
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
            )
        ]
        return jax.jit(model.predict_step).trace(state, (videos,))

    # The optimizer's variables lie where those lie that they belong to.
    slots = {}
    for variable in retriever.trainable_variables:
        name = f"{retriever.optimizer.name}/{variable.path.replace('/', '_')}"
        layout = distribution.get_variable_layout(variable)
        slots[f"{name}_momentum"] = slots[f"{name}_velocity"] = layout
    state = tuple(
        shapes_of(variables, distribution, slots)
        for variables in (
            retriever.trainable_variables,
            retriever.non_trainable_variables,
            retriever.optimizer.variables,
            retriever.metrics_variables,
        )
    )
    shardings = jax.tree.map(lambda x: x.sharding, state)
    step = jax.jit(
        retriever.train_step, donate_argnums=0, out_shardings=(None, shardings)
    )
    texts = text_shapes(batch_size, distribution)
    return step.trace(state, ({**videos, **texts},))


def plan(retriever, batch_size, devices):
    """Compiles one step and reads the compiler's plan."""
    chip = chip_of(devices[0])
    distribution = distribute(devices)
    keras.distribution.set_distribution(distribution)
    start = time.time()
    traced = trace_step(retriever, batch_size, distribution)
    keras.distribution.set_distribution(None)
    flops = matmul_flops(traced.jaxpr)
    arguments = temporary = None
    try:
        compiled = traced.lower().compile(_compiler_options(devices[0]))
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        peak = _bytes_wanted(str(e))
    else:
        memory = compiled.memory_analysis()
        arguments = memory.argument_size_in_bytes
        temporary = memory.temp_size_in_bytes
        # Outputs take the place of the arguments that they are made from.
        peak = (
            arguments
            + temporary
            + memory.output_size_in_bytes
            - memory.alias_size_in_bytes
        )
        if _HLO.value:
            with open(_HLO.value, "w") as file:
                file.write(compiled.as_text())
    seconds = None
    if chip.flops is not None:
        reading = (arguments or peak) / chip.bandwidth
        seconds = max(flops / len(devices) / chip.flops, reading)
    return Plan(
        fits=arguments is not None and peak <= chip.memory_bytes,
        peak_bytes=peak,
        memory_bytes=chip.memory_bytes,
        argument_bytes=arguments,
        temporary_bytes=temporary,
        flops=flops,
        num_devices=len(devices),
        batch_size=batch_size,
        tokens=_num_tokens(retriever.backbone),
        keep_tokens=_num_kept(retriever.backbone),
        roofline_seconds=seconds,
        compile_seconds=time.time() - start,
    )


def _compiler_options(device):
    # Of microbatches of a text tower with dropout, the compiler for TPUs
    # (libtpu 0.0.42) nests products until a thread of its own crashes.
    # `fit` needs LIBTPU_INIT_ARGS=--xla_tpu_dot_dot_fusion=false there, too.
    if _MICROBATCH_SIZE.value and device.platform == "tpu":
        return {"xla_tpu_dot_dot_fusion": False}
    return None


def _num_tokens(backbone):
    height, width, _ = backbone.image_shape
    return backbone.embedding.count_tokens(backbone.num_frames, height, width)


def _num_kept(backbone):
    """Tokens that the blocks see: those that the embedding hands out."""
    embedding = backbone.embedding
    clip = (1, backbone.num_frames, *backbone.image_shape)

    def embed(pixel_values):
        (tokens, _), _ = embedding.stateless_call(
            [v.value for v in embedding.trainable_variables],
            [v.value for v in embedding.non_trainable_variables],
            pixel_values,
            training=_MODE.value == "train",
        )
        return tokens

    tokens = jax.eval_shape(embed, jax.ShapeDtypeStruct(clip, "uint8"))
    return math.prod(tokens.shape[:-1])


def _bytes_wanted(message):
    """The memory that a program would have needed, as the compiler says."""
    number, unit = re.search(
        r"(?:Used |temporaries \()([\d.]+)([KMGT])", message
    ).groups()
    return int(float(number) * 2 ** (10 * (1 + "KMGT".index(unit))))


def largest_batch(retriever, devices):
    """The plan of the largest batch that fits, or of the smallest there is.

    Batches are multiples of the devices that share them and of the
    microbatch.
    """
    unit = len(devices) if _PARALLEL.value != "sequence" else 1
    if _MICROBATCH_SIZE.value:
        unit = _MICROBATCH_SIZE.value
    best, plans = 0, {}

    def fits(multiple):
        plans[multiple] = plan(retriever, multiple * unit, devices)
        if not _JSON.value:
            print(_line(plans[multiple]), flush=True)
        return plans[multiple].fits

    above = 1
    while fits(above):
        best, above = above, 2 * above
    while above - best > 1:
        middle = (best + above) // 2
        if fits(middle):
            best = middle
        else:
            above = middle
    return plans[best or 1]


def _line(plan):
    return (
        f"batch {plan.batch_size}: {plan.peak_bytes / GIB:.2f} of "
        f"{plan.memory_bytes / GIB:.2f} GiB, "
        + ("fits" if plan.fits else "does not fit")
    )


def report(plan):
    """Prints a plan for people."""

    def gib(size):
        return "unknown" if size is None else f"{size / GIB:8.2f} GiB"

    print(f"tokens of a video     {plan.tokens}, {plan.keep_tokens} kept")
    print(f"arguments             {gib(plan.argument_bytes)} a chip")
    print(f"temporaries           {gib(plan.temporary_bytes)} a chip")
    print(f"peak                  {gib(plan.peak_bytes)} a chip")
    print(f"memory                {gib(plan.memory_bytes)} a chip")
    print(f"matrix products       {plan.flops / 1e12:8.2f} TFLOP a step")
    if plan.roofline_seconds is not None:
        print(f"at best               {plan.roofline_seconds:8.3f} s a step")
    print(f"(compiled in {plan.compile_seconds:.0f} s; nothing was run)")
    print(_line(plan) + f" on {plan.num_devices} x {_TOPOLOGY.value}")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if _QUICK.value:
        jax.config.update("jax_exec_time_optimization_effort", -1.0)
    if _TOPOLOGY.value == "local":
        devices = jax.local_devices()
    else:
        devices = topology_devices(_TOPOLOGY.value)
    retriever = build_retriever()
    if _LARGEST_BATCH.value:
        result = largest_batch(retriever, devices)
    else:
        result = plan(retriever, _BATCH_SIZE.value, devices)
    if _JSON.value:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        report(result)


if __name__ == "__main__":
    app.run(main)

"""Times video encoders of the same size on the same number of tokens.

Ours and KerasHub's VideoPrism run on the Keras backend that KERAS_BACKEND
names, JAX by default, transformers' VivitModel on torch with its SDPA
attention:

    python tools/benchmark_encoder.py --num_frames=32

All run in one process, in turn, so that a machine whose speed drifts slows
all of them. What is not installed is left out, and named.
"""

import dataclasses
import importlib.util
import json
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from absl import app
from absl import flags
from process_memory import peak_growth

from keras_longvideo import models

_NUM_FRAMES = flags.DEFINE_integer("num_frames", 32, "Frames of a clip.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Height and width.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Clips of a step.")
_NUM_LAYERS = flags.DEFINE_integer("num_layers", 12, "Transformer blocks.")
_HIDDEN_DIM = flags.DEFINE_integer("hidden_dim", 768, "Length of a token.")
_NUM_HEADS = flags.DEFINE_integer("num_heads", 12, "Attention heads.")
_LORA_RANK = flags.DEFINE_integer(
    "lora_rank",
    None,
    "Train ours by LoRA of this rank. Defaults to all weights.",
    lower_bound=1,
)
_MODES = flags.DEFINE_multi_enum(
    "mode",
    ["forward", "train"],
    ["forward", "train"],
    "The encoder alone, or a training step: forward, backward and AdamW.",
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs of each.")
_JSON = flags.DEFINE_string("json", None, "File for the figures.")
_PLOT = flags.DEFINE_string("plot", None, "File for a picture of them.")

# Of all: tubelets of 2 frames, or as many frames of one, give equal tokens.
PATCH = 16


@dataclasses.dataclass
class Encoder:
    """An encoder: how to run it once, in a mode, until it is done."""

    name: str
    num_tokens: int
    runs: dict


def keras_encoder(name, backbone, inputs, output, num_tokens):
    """An encoder of Keras, run as `predict` and `fit` run it."""
    model = models.VideoModel(backbone.input, output)
    model.compile(keras.optimizers.AdamW(1e-5), loss="mse")
    target = np.zeros((_BATCH_SIZE.value, *output.shape[1:]), "float32")
    return Encoder(
        name,
        num_tokens,
        {
            "forward": lambda: model.predict_on_batch(inputs),
            "train": lambda: model.train_on_batch(inputs, target),
        },
    )


def ours():
    size = (_NUM_FRAMES.value, _IMAGE_SIZE.value, _IMAGE_SIZE.value, 3)
    backbone = models.ViViTBackbone(
        image_shape=size[1:],
        num_frames=size[0],
        tubelet_size=(2, PATCH, PATCH),
        hidden_dim=_HIDDEN_DIM.value,
        num_layers=_NUM_LAYERS.value,
        num_heads=_NUM_HEADS.value,
        intermediate_dim=4 * _HIDDEN_DIM.value,
    )
    if _LORA_RANK.value:
        backbone.adapt(lora_rank=_LORA_RANK.value)
    return keras_encoder(
        f"keras_longvideo ({keras.backend.backend()})",
        backbone,
        {"pixel_values": clips(size)},
        backbone.output["pooled_output"],
        _num_tokens(),
    )


def video_prism():
    """KerasHub's: attends within frames, then over time at each place."""
    import keras_hub

    num_frames = _NUM_FRAMES.value // 2
    size = (num_frames, _IMAGE_SIZE.value, _IMAGE_SIZE.value, 3)
    # VideoPrism-B has 12 spatial and 4 temporal layers: the same share.
    num_temporal = max(1, _NUM_LAYERS.value // 4)
    backbone = keras_hub.models.VideoPrismBackbone(
        num_frames=num_frames,
        patch_size=PATCH,
        hidden_dim=_HIDDEN_DIM.value,
        intermediate_dim=4 * _HIDDEN_DIM.value,
        num_heads=_NUM_HEADS.value,
        num_spatial_layers=_NUM_LAYERS.value - num_temporal,
        num_temporal_layers=num_temporal,
        num_auxiliary_layers=0,
        image_shape=size[1:],
    )
    return keras_encoder(
        f"KerasHub VideoPrism ({keras.backend.backend()})",
        backbone,
        clips(size),
        keras.ops.mean(backbone.output, axis=1),
        _num_tokens(),
    )


def vivit():
    """transformers' ViViT, with the GELU that ours has."""
    import torch
    import transformers

    config = transformers.VivitConfig(
        image_size=_IMAGE_SIZE.value,
        num_frames=_NUM_FRAMES.value,
        tubelet_size=[2, PATCH, PATCH],
        hidden_size=_HIDDEN_DIM.value,
        num_hidden_layers=_NUM_LAYERS.value,
        num_attention_heads=_NUM_HEADS.value,
        intermediate_size=4 * _HIDDEN_DIM.value,
        hidden_act="gelu",
        attn_implementation="sdpa",
    )
    model = transformers.VivitModel(config, add_pooling_layer=False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    size = (_NUM_FRAMES.value, _IMAGE_SIZE.value, _IMAGE_SIZE.value, 3)
    x = torch.from_numpy(clips(size)).permute(0, 1, 4, 2, 3).contiguous()

    def forward():
        with torch.no_grad():
            return model.eval()(x).last_hidden_state

    def train():
        output = model.train()(x).last_hidden_state.mean(1)
        loss = (output**2).mean()
        loss.backward()
        optimizer.step()
        # Freed here, so that gradients count as memory of the step.
        optimizer.zero_grad()
        return loss.item()

    return Encoder(
        "transformers ViViT (torch SDPA)",
        _num_tokens() + 1,
        {"forward": forward, "train": train},
    )


def clips(size):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (_BATCH_SIZE.value, *size)).astype("float32")


def _num_tokens():
    return (_NUM_FRAMES.value // 2) * (_IMAGE_SIZE.value // PATCH) ** 2


def measure(encoders, mode):
    """Seconds of each run, in turn; and the memory of one more run."""
    seconds = {encoder.name: [] for encoder in encoders}
    # The first run compiles.
    for _ in range(1 + _REPEATS.value):
        for encoder in encoders:
            start = time.perf_counter()
            encoder.runs[mode]()
            seconds[encoder.name].append(time.perf_counter() - start)
    memory = {}
    for encoder in encoders:
        memory[encoder.name] = peak_growth(encoder.runs[mode])
    first = np.array(seconds[encoders[0].name][1:])
    return [
        {
            "encoder": encoder.name,
            "mode": mode,
            "tokens": encoder.num_tokens,
            "seconds": float(np.median(seconds[encoder.name][1:])),
            # Above 1: ours is faster. In each round, since speeds drift.
            "ratios": (np.array(seconds[encoder.name][1:]) / first).tolist(),
            "peak_bytes": memory[encoder.name],
        }
        for encoder in encoders
    ]


def report(results):
    print(
        f"{'mode':8} {'encoder':36} {'seconds':>8} {'clips/s':>8} "
        f"{'against ours':>21} {'memory':>9}"
    )
    for r in results:
        low, middle, high = np.percentile(r["ratios"], [0, 50, 100])
        memory = "n/a"
        if r["peak_bytes"] is not None:
            memory = f"{r['peak_bytes'] / 2**30:.2f} GiB"
        print(
            f"{r['mode']:8} {r['encoder']:36} {r['seconds']:8.2f} "
            f"{_BATCH_SIZE.value / r['seconds']:8.2f} "
            f"{middle:6.2f} ({low:.2f} to {high:.2f}) {memory:>9}"
        )


def draw(results, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    modes = list(dict.fromkeys(r["mode"] for r in results))
    figure, panels = plt.subplots(
        len(modes), squeeze=False, figsize=(8, 1 + 1.6 * len(modes))
    )
    for mode, panel in zip(modes, panels[:, 0], strict=True):
        rows = [r for r in results if r["mode"] == mode]
        names = [r["encoder"] for r in rows]
        panel.barh(names, [r["seconds"] for r in rows])
        panel.invert_yaxis()
        panel.set_xlabel(f"seconds, {mode}")
    figure.tight_layout()
    figure.savefig(path)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    encoders = [ours(), video_prism()]
    if importlib.util.find_spec("transformers") and importlib.util.find_spec(
        "torch"
    ):
        encoders.append(vivit())
    else:
        print("Left out: transformers' ViViT (needs transformers and torch).")
    results = []
    for mode in dict.fromkeys(_MODES.value):
        results += measure(encoders, mode)
    report(results)
    if _JSON.value:
        with open(_JSON.value, "w") as file:
            json.dump(results, file, indent=1)
    if _PLOT.value:
        draw(results, _PLOT.value)


if __name__ == "__main__":
    app.run(main)

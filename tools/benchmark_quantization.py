"""Measures what int8 weights cost a retriever, and what they save.

Loads a preset, embeds the videos and captions of a manifest, quantizes both
towers, and embeds the same again:

    python tools/benchmark_quantization.py --preset=my_retriever \\
        --manifest=held_out/captions.jsonl

What one wrong answer is of Recall is printed beside it: a difference below a
few of these says little.
"""

import json
import os
import pathlib
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from absl import app
from absl import flags

from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import models

_PRESET = flags.DEFINE_string(
    "preset", None, "Preset of a `VideoTextRetriever`.", required=True
)
_MANIFEST = flags.DEFINE_string(
    "manifest", None, "Videos and captions to measure on.", required=True
)
_MODE = flags.DEFINE_string("mode", "int8", "As `mode` of `quantize`.")
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

METRICS = [
    f"{direction}/recall@{k}"
    for direction in ("text_to_video", "video_to_text")
    for k in (1, 5, 10)
]


def measure(retriever, manifest):
    """Embeddings of videos and texts, metrics, and bytes of weight files."""
    videos = retriever.encode_video(manifest["videos"], verbose=0)
    captions = [c for several in manifest["captions"] for c in several]
    texts = retriever.encode_text(captions)
    owners = np.repeat(
        np.arange(len(videos)), [len(c) for c in manifest["captions"]]
    )
    metrics = evaluation.retrieval_metrics(videos, texts, owners)
    with tempfile.TemporaryDirectory() as folder:
        retriever.save_to_preset(folder)
        files = pathlib.Path(folder).glob("*.weights.*")
        num_bytes = sum(file.stat().st_size for file in files)
    return videos, texts, metrics, num_bytes


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    manifest = data.read_manifest(_MANIFEST.value)
    retriever = models.VideoTextRetriever.from_preset(_PRESET.value)
    videos, texts, before, bytes_before = measure(retriever, manifest)
    retriever.quantize(_MODE.value)
    new_videos, new_texts, after, bytes_after = measure(retriever, manifest)

    report = {
        "mode": _MODE.value,
        "videos": len(videos),
        "texts": len(texts),
        "weight_bytes": [bytes_before, bytes_after],
        "metrics": {name: [before[name], after[name]] for name in METRICS},
        # Embeddings are of unit length.
        "video_cosines": np.sum(videos * new_videos, axis=1).tolist(),
        "text_cosines": np.sum(texts * new_texts, axis=1).tolist(),
    }
    print(f"{len(videos)} videos, {len(texts)} captions")
    print(f"{'':24}{'as saved':>10}{_MODE.value:>10}{'one answer':>12}")
    for name, (old, new) in report["metrics"].items():
        one = 1 / (len(texts) if name.startswith("text") else len(videos))
        print(f"{name:24}{old:>10.1%}{new:>10.1%}{one:>12.1%}")
    old, new = (f"{size / 2**20:.2f}" for size in report["weight_bytes"])
    print(f"{'weight files, MiB':24}{old:>10}{new:>10}")
    for name in ("video_cosines", "text_cosines"):
        low, mean = np.min(report[name]), np.mean(report[name])
        label = name.replace("_", " ")
        print(f"{label:24}mean {mean:.5f}, least {low:.5f}")
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    app.run(main)

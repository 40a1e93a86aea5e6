"""From the folder of a run to a preset of the package."""

import pathlib
import shutil

import h5py
import keras
import numpy as np
from preset_card import make_card

from keras_longvideo import models
from keras_longvideo.hub.preset_files import check_preset
from keras_longvideo.hub.preset_files import is_preset_file
from keras_longvideo.hub.preset_files import list_files
from keras_longvideo.models.preset_saving import whole_preset

MAX_MEGABYTES = 20.0
LEAST_COSINE = 0.9999
CAPTIONS = (
    "a red square moves to the right",
    "a small blue circle in the top left",
)


def package_preset(run, name, root, command, manifests):
    """Packages a run's preset: whole, or not at all.

    Args:
        run: path of the run.
        name: string. Name of the built-in preset.
        root: path of the folder of all packaged presets.
        command: string. What trains it, for the card.
        manifests: dict of a manifest (see `keras_longvideo.data.read_manifest`)
            for each name of a held-out set.

    Returns:
        A dict of what was measured: `cosines`, the least of videos and texts
        between the weights before and after, `scores` by the set's name, and
        `megabytes` of all packaged presets.

    Raises:
        ValueError: if float16 costs more than it may, or the presets would
            come to more than `MAX_MEGABYTES`.
    """
    run, root = pathlib.Path(run), pathlib.Path(root)
    source = run / "preset"
    check_preset(source)
    with whole_preset(root / name) as aside:
        aside = pathlib.Path(aside)
        for path in filter(is_preset_file, list_files(source)):
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".h5"):
                to_float16(source / path, aside / path)
            else:
                shutil.copy(source / path, aside / path)

        trained = models.VideoTextRetriever.from_preset(source)
        packaged = models.VideoTextRetriever.from_preset(aside)
        golden = make_golden(packaged)
        report = {
            "cosines": compare(golden, make_golden(trained)),
            "scores": {
                set_name: score(trained, packaged, manifest)
                for set_name, manifest in manifests.items()
            },
        }
        np.savez_compressed(aside / "golden.npz", **golden)
        card = make_card(aside, name, run, command, packaged, report)
        (aside / "README.md").write_text(card, encoding="utf-8")

        others = (x for x in root.iterdir() if x.name != name)
        report["megabytes"] = sum(map(megabytes, (aside, *others)))
        if report["megabytes"] > MAX_MEGABYTES:
            raise ValueError(
                f"The packaged presets would come to {report['megabytes']:.1f} "
                f"MB, and may to {MAX_MEGABYTES:.0f} MB: {name!r} alone has "
                f"{megabytes(aside):.1f} MB."
            )
    return report


def to_float16(source, target):
    """Copies a file of weights with its matrices rounded to float16.

    Biases, norms and scalars stay as they are: they are few, and the logit
    scale is the logarithm of a factor.

    Args:
        source: path of a `.weights.h5`.
        target: path of the copy.

    Raises:
        ValueError: if a value is too large for float16.
    """
    with h5py.File(source) as old, h5py.File(target, "w") as new:

        def copy(path, item):
            if isinstance(item, h5py.Group):
                copied = new.require_group(path)
            else:
                value = item[()]
                if value.dtype == "float32" and value.ndim > 1:
                    with np.errstate(over="ignore"):
                        value = value.astype("float16")
                    if not np.isfinite(value).all():
                        raise ValueError(
                            f"'{path}' in {source} has values that float16 "
                            "cannot hold."
                        )
                copied = new.create_dataset(path, data=value)
            copied.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)


def make_golden(retriever):
    """Two clips and two captions, with what a retriever makes of them.

    In both clips a square moves over a plain ground. The second one is half as
    long, so that the padding is tested with them. They pack well.

    Args:
        retriever: `VideoTextRetriever`.

    Returns:
        A dict of arrays.
    """
    converter = retriever.preprocessor.video_converter
    num_frames, (height, width) = converter.num_frames, converter.image_size
    clip = np.empty((num_frames, height, width, 3), "uint8")
    clip[:] = (50, 55, 60)
    side = height // 4
    for i, frame in enumerate(clip):
        left = (width - side) * i // max(num_frames - 1, 1)
        frame[side : 2 * side, left : left + side] = (225, 45, 45)
    blue = clip[::-1, ::-1, :, ::-1][: max(num_frames // 2, 1)]
    inputs = retriever.preprocessor(
        {"videos": [clip, blue], "captions": list(CAPTIONS)}
    )
    inputs = keras.tree.map_structure(keras.ops.convert_to_numpy, inputs)
    outputs = retriever(inputs)
    outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)
    return {"captions": np.array(CAPTIONS), **inputs, **outputs}


def compare(golden, other):
    """The least cosine between two retrievers' golden outputs, or raises."""
    cosines = {}
    for name in ("video_embeddings", "text_embeddings"):
        # They are of unit length.
        cosines[name] = float(np.min(np.sum(golden[name] * other[name], -1)))
        if cosines[name] < LEAST_COSINE:
            raise ValueError(
                f"float16 changes the {name} by more than it may: a cosine of "
                f"{cosines[name]:.6f}, and not {LEAST_COSINE}."
            )
    return cosines


def score(trained, packaged, manifest):
    """Metrics of a held-out set, or raises where float16 lost answers."""
    old, new = (measure(x, manifest) for x in (trained, packaged))
    counts = {
        "text_to_video": sum(map(len, manifest["captions"])),
        "video_to_text": len(manifest["videos"]),
    }
    for direction in counts:
        metric = f"{direction}/recall@1"
        # A whole number, but for rounding.
        lost = (old[metric] - new[metric]) * counts[direction]
        if lost > 1.5:
            raise ValueError(
                f"float16 lowers {metric} by more than one answer, from "
                f"{old[metric]:.4f} to {new[metric]:.4f}."
            )
    return {"videos": counts["video_to_text"], "float16": new, "float32": old}


def measure(retriever, manifest):
    metrics = retriever.evaluate(manifest, verbose=0)
    return {name: float(value) for name, value in metrics.items()}


def megabytes(folder):
    """Size of all files of a folder, in MB."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6

"""Fine-tunes a video classifier on a folder of labelled videos.

    python examples/video_classification.py --folder my_videos

where every label is a folder of its own, such as `my_videos/jumping/1.mp4`.
Without `--folder`, renders one: shapes that move, grow and shrink, where only
the order of the frames tells the label. It starts from the encoder of a preset
that comes with the package; `--from_scratch` shows what that is worth.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import shutil
from pathlib import Path

import keras
import numpy as np
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import models

FOLDER = flags.DEFINE_string("folder", None, "Folder of labelled videos.")
OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
PRESET = flags.DEFINE_string(
    "preset", "short_vivit_tiny_shapes", "Encoder to start from."
)
FROM_SCRATCH = flags.DEFINE_bool(
    "from_scratch", False, "Whether to leave its weights out."
)
NUM_VIDEOS = flags.DEFINE_integer("num_videos", 800, "Videos to render.")
EPOCHS = flags.DEFINE_integer("epochs", 15, "Passes over the training videos.")

RENDERED_LABELS = (
    "moves to the right",
    "moves to the left",
    "moves down",
    "moves up",
    "grows",
    "shrinks",
)
NUM_FRAMES = 16
IMAGE_SIZE = (64, 64)
VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    keras.utils.set_random_seed(0)

    # 1. Files and labels. A label is an int, the place of its folder's name.
    folder = Path(FOLDER.value or render_folder())
    class_names = sorted(x.name for x in folder.glob("[!.]*") if x.is_dir())
    if not class_names:
        raise app.UsageError(
            "--folder must hold a folder of videos for each label. "
            f"Received: {folder}"
        )
    files, labels, num_others = [], [], 0
    for label, name in enumerate(class_names):
        inside = sorted((folder / name).iterdir())
        found = [
            str(path)
            for path in inside
            if path.suffix.lower() in VIDEO_SUFFIXES
        ]
        num_others += len(inside) - len(found)
        if not found:
            raise app.UsageError(f"There are no videos in {folder / name}")
        files += found
        labels += [label] * len(found)
    if num_others:
        print(f"Left out {num_others} files that are no {VIDEO_SUFFIXES}")

    # A fifth of the videos is set aside, to measure what the model learns.
    order = np.random.default_rng(0).permutation(len(files))
    files, labels = np.array(files)[order], np.array(labels)[order]
    num_train = len(files) * 4 // 5
    if not num_train:
        raise app.UsageError(
            f"--folder must hold at least 2 videos. Received: {files}"
        )
    print(
        f"{len(class_names)} labels, {num_train} videos for training, "
        f"{len(files) - num_train} held out"
    )

    # 2. The model: an encoder and a new head. Any preset that holds an encoder
    # will do, such as a retriever's. `fps=None` spreads the frames over the
    # whole of a video; the default of one frame a second would see little of
    # videos as short as the rendered ones.
    print(
        f"Starting from {PRESET.value}"
        + " without its weights" * FROM_SCRATCH.value
    )
    classifier = models.VideoClassifier.from_preset(
        PRESET.value,
        load_weights=not FROM_SCRATCH.value,
        labels=class_names,
        preprocessor=models.VideoPreprocessor(
            models.VideoConverter(NUM_FRAMES, IMAGE_SIZE, fps=None)
        ),
    )

    # 3. Training, on paths. The default learning rate is for fine-tuning large
    # encoders; this one is small.
    classifier.compile(keras.optimizers.Adam(1e-3))
    classifier.fit(
        files[:num_train],
        labels[:num_train],
        batch_size=16,
        epochs=EPOCHS.value,
        verbose=2,
    )
    result = classifier.evaluate(
        files[num_train:], labels[num_train:], return_dict=True, verbose=0
    )
    print(
        f"\nHeld-out accuracy: {result['accuracy']:.1%} "
        f"(chance {1 / len(class_names):.1%})"
    )

    # 4. What is in this file? The classifier gives logits; a softmax turns
    # them into probabilities.
    file = files[-1]
    logits = classifier.predict(files[-1:], verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits[0]))
    best = int(np.argmax(probabilities))
    print(
        f"{Path(file).parent.name}/{Path(file).name} is "
        f'"{classifier.labels[best]}" with probability '
        f"{probabilities[best]:.2f}"
    )

    # 5. Save, and load again, with the names of the classes.
    saved = os.path.join(OUTPUT.value, "classifier")
    classifier.save_to_preset(saved)
    loaded = keras_longvideo.from_preset(saved)
    difference = np.abs(loaded.predict(files[-1:], verbose=0) - logits).max()
    print(f"Saved to {saved}; loaded again, logits differ by {difference:.0e}")


def render_folder():
    """Renders videos and sorts them into a folder for each label."""
    folder = Path(OUTPUT.value, "labelled")
    # Another seed than that of the videos that the encoder was trained on.
    manifest = data.read_manifest(
        data.render_videos(
            os.path.join(OUTPUT.value, "unsorted"),
            "temporal",
            NUM_VIDEOS.value,
            seed=100,
        )
    )
    for path, captions in zip(*manifest.values(), strict=True):
        for label in RENDERED_LABELS:
            if captions[0].endswith(label):
                (folder / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / label)
    return folder


if __name__ == "__main__":
    app.run(main)

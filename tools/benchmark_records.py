"""How fast clips are read, from videos and from records of their frames.

    python tools/benchmark_records.py --clip_frames=16,256

makes H.264 videos of as many seconds as a clip has frames, 10 frames a second,
and records of a frame a second of each; reads a clip of each of them, from
either; and trains a tiny retriever with the clips. Two figures come out:

- frames a second of one core: frames by the seconds that the processor worked,
  which other work on the machine changes little;
- of a training step, what share is spent waiting for its batch, while other
  cores (or the same ones) decode.

The records are as large as `tools/build_records.py` makes them by default.
"""

import json
import pathlib
import tempfile
import time

import keras
import keras_hub
import numpy as np
import tqdm
from absl import app
from absl import flags

from keras_longvideo import data
from keras_longvideo import models
from keras_longvideo.video import write_video

_CLIP_FRAMES = flags.DEFINE_list("clip_frames", "16,256", "Frames of a clip.")
_CLIP_SIZE = flags.DEFINE_integer("clip_size", 128, "Height and width.")
_VIDEOS = flags.DEFINE_integer("videos", 4, "Videos to make.")
_VIDEO_SIZE = flags.DEFINE_list("video_size", "360,640", "Height and width.")
_STEPS = flags.DEFINE_integer("steps", 8, "Training steps to time.")
_FIGURES_FILE = flags.DEFINE_string("figures_file", None, "JSON to write.")

FPS = 10
# Steps that compile, and fill what reads ahead.
WARM_UP = 3


def make_videos(folder, seconds):
    """Writes videos that pan over a picture; returns their manifest."""
    height, width = map(int, _VIDEO_SIZE.value)
    num_frames = seconds * FPS
    manifest = {"videos": [], "captions": []}
    for number in tqdm.trange(_VIDEOS.value, desc="Videos", unit="video"):
        rng = np.random.default_rng(number)
        size = (height + num_frames, width + num_frames, 3)
        blobs = rng.integers(0, 224, [n // 20 + 1 for n in size[:2]] + [3])
        picture = np.kron(blobs, np.ones((20, 20, 1), int))
        picture = picture[: size[0], : size[1]] + rng.integers(0, 32, size)
        windows = np.lib.stride_tricks.sliding_window_view(
            picture.astype("uint8"), (height, width, 3)
        )[:, :, 0]
        # Those on the diagonal, as a view: all of them would fill the memory.
        frames = np.einsum("ii...->i...", windows)[:num_frames]
        path = str(pathlib.Path(folder) / f"{number}.mp4")
        write_video(path, frames, fps=FPS)
        manifest["videos"].append(path)
        manifest["captions"].append([f"pattern number {number}"])
    return manifest


def frames_a_second(dataset):
    """Frames that one core reads in a second, over an epoch."""
    begun = time.process_time()
    frames = sum(int(batch["frame_mask"].numpy().sum()) for batch in dataset)
    return frames / (time.process_time() - begun)


def make_retriever(num_frames):
    """A tiny retriever, which masks long clips as the paper does."""
    size = (_CLIP_SIZE.value, _CLIP_SIZE.value)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pattern", "number"]
    long = num_frames > 32
    retriever = models.VideoTextRetriever.from_preset(
        "short_vivit_tiny",
        load_weights=False,
        **({"mask_rate": 0.75} if long else {}),
        text_backbone=models.text_tower("tiny", vocabulary_size=len(words)),
        preprocessor=models.VideoTextPreprocessor(
            models.VideoConverter(num_frames, size),
            keras_hub.tokenizers.BertTokenizer(words, lowercase=True),
            sequence_length=8,
        ),
    )
    retriever.compile(keras.optimizers.AdamW(1e-4))
    return retriever


def time_steps(retriever, dataset):
    """Seconds of a training step, and of those the ones that it waits."""
    batches = iter(dataset)
    waited = 0.0
    for step in range(WARM_UP + _STEPS.value):
        if step == WARM_UP:
            begun, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        retriever.train_on_batch(batch)
    return (time.perf_counter() - begun) / _STEPS.value, waited / _STEPS.value


def measure(num_frames, folder):
    """The figures for clips of so many frames: a row for each source."""
    manifest = make_videos(folder, num_frames)
    records = pathlib.Path(folder) / "records.tfrecord"
    data.write_records(records, manifest)
    batch_size = 4 if num_frames <= 32 else 1
    retriever = make_retriever(num_frames)
    options = {
        "num_frames": num_frames,
        "image_size": (_CLIP_SIZE.value, _CLIP_SIZE.value),
    }
    rows = []
    for source, read in (
        ("videos", lambda **kw: data.video_text_dataset(manifest, **kw)),
        ("records", lambda **kw: data.record_dataset(records, **kw)),
    ):
        # The first clip loads the libraries.
        list(read(batch_size=1, **options).take(1))
        rate = frames_a_second(
            read(batch_size=1, num_parallel_calls=1, **options)
        )
        step, waited = time_steps(
            retriever, read(batch_size=batch_size, repeat=True, **options)
        )
        rows.append(
            {
                "frames": num_frames,
                "source": source,
                "frames_a_second_of_a_core": rate,
                "batch_size": batch_size,
                "step_seconds": step,
                "waited_seconds": waited,
            }
        )
    return rows


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    rows = []
    for num_frames in map(int, _CLIP_FRAMES.value):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(num_frames, folder)
    print(
        f"{'frames':>6}  {'source':<8}{'frames/s/core':>14}{'batch':>6}"
        f"{'step':>10}{'waiting':>10}{'share':>7}"
    )
    for row in rows:
        step, waited = row["step_seconds"], row["waited_seconds"]
        print(
            f"{row['frames']:>6}  {row['source']:<8}"
            f"{row['frames_a_second_of_a_core']:>14.0f}{row['batch_size']:>6}"
            f"{step:>8.3f} s{waited:>8.3f} s{waited / step:>7.0%}"
        )
    if _FIGURES_FILE.value:
        pathlib.Path(_FIGURES_FILE.value).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    app.run(main)

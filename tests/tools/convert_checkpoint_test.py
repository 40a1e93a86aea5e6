import json
import pathlib
import subprocess
import sys

import checkpoint_conversion
import numpy as np
import pytest
from keras import ops

import keras_longvideo

torch = pytest.importorskip("torch", reason="transformers runs on torch")
transformers = pytest.importorskip(
    "transformers", reason="it is what outputs are compared with"
)

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "convert_checkpoint.py"


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    config = transformers.VivitConfig(
        image_size=16,
        num_frames=4,
        tubelet_size=[2, 8, 8],
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=20,
        num_labels=3,
    )
    model = transformers.VivitForVideoClassification(config)
    model.save_pretrained(tmp_path / "source")
    (tmp_path / "source" / "preprocessor_config.json").write_text("{}")
    return tmp_path / "source"


@pytest.mark.slow
def test_a_checkpoint_is_converted(source, tmp_path):
    output = tmp_path / "preset"
    done = subprocess.run(
        [sys.executable, TOOL, f"--source={source}", f"--output={output}"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report["differences"]) == {"tokens", "logits"}
    assert all(x < 1e-4 for x in report["differences"].values())
    clip = np.zeros((1, 4, 16, 16, 3), "uint8")
    converted = keras_longvideo.from_preset(output)
    loaded = keras_longvideo.from_preset(source)
    np.testing.assert_allclose(
        ops.convert_to_numpy(converted(clip)),
        ops.convert_to_numpy(loaded(clip)),
        atol=1e-6,
    )


def test_other_outputs_are_refused(source, tmp_path, monkeypatch):
    run = checkpoint_conversion.run_transformers

    def off(*args):
        outputs = run(*args)
        return {**outputs, "logits": outputs["logits"] + 1e-2}

    monkeypatch.setattr(checkpoint_conversion, "run_transformers", off)
    with pytest.raises(ValueError, match="was not converted.*'logits'"):
        checkpoint_conversion.convert(str(source), str(tmp_path / "preset"))
    assert not (tmp_path / "preset").exists()

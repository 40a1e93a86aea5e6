import pathlib

import pytest
import stage_configs
from findings import folders as folders_lib
from findings import runs
from findings import training_job

from keras_longvideo import data
from keras_longvideo import models

pytestmark = pytest.mark.backend_free

CONFIGS = pathlib.Path(stage_configs.__file__).with_name("configs")


@pytest.fixture(autouse=True)
def rendered(monkeypatch):
    """What configs would have rendered."""
    calls = {}

    def render_videos(directory, split, num_videos, **kwargs):
        calls[directory] = (split, num_videos, kwargs)
        return f"{directory}/captions.jsonl"

    monkeypatch.setattr(data, "render_videos", render_videos)
    return calls


def read(name, **kwargs):
    return stage_configs.read_stage(str(CONFIGS / name), **kwargs)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=str)
def test_every_config_says_how_it_is_run_and_fits_its_encoder(path, rendered):
    text = path.read_text()
    assert f"--config=tools/configs/{path.name}" in text
    stage = read(path.name)
    preset = path.name.partition("_shapes")[0]
    backbone = models.ViViTBackbone.from_preset(
        preset, load_weights=False, **stage.backbone
    )
    for source in stage.train:
        backbone.embedding.grid_of(source.num_frames, *backbone.image_shape[:2])
    backbone.adapt(**stage.adapt)
    held_out = {d for d, call in rendered.items() if call[2].get("held_out")}
    assert {f"{d}/captions.jsonl" for d in held_out} == set(
        stage.held_out.values()
    )


def test_stages_build_on_one_another():
    short, masked = (
        read(f"short_vivit_tiny_shapes{name}.py") for name in ("", "_masked")
    )
    assert masked.backbone == {**short.backbone, "mask_rate": 0.75}
    assert masked.train == short.train
    assert short.preset == "runs/image/preset"
    assert read("long_vivit_tiny_shapes.py").preset == "runs/short/preset"


@pytest.mark.parametrize(
    "name, run",
    [
        ("image_vivit_tiny_shapes", "image"),
        ("short_vivit_tiny_shapes", "short_joint"),
        ("short_vivit_tiny_shapes_masked", "short_joint_mask75_longer"),
        ("long_vivit_tiny_shapes", "long_last_layers"),
    ],
)
def test_presets_are_trained_as_runs_of_the_findings(
    name, run, rendered, tmp_path
):
    """Whose seeds tell how far apart two trainings of a preset may end."""
    stage = read(f"{name}.py")
    scale = runs.SCALES[runs.DEFAULT_SCALE]
    folders = folders_lib.Folders(tmp_path, tmp_path, scale)
    other = training_job.make_stage(runs.RUNS[run], stage.seed, folders)
    for field in (
        *("steps", "learning_rate", "warmup_steps", "weight_decay", "beta_2"),
        *("clip_norm", "ema_momentum", "sequence_length", "adapt", "auxiliary"),
    ):
        assert getattr(stage, field) == getattr(other, field), field
    for source, theirs in zip(stage.train, other.train, strict=True):
        split, num_videos, _ = rendered[str(pathlib.Path(source.path).parent)]
        assert str(folders.manifest(split)) == theirs.path
        assert num_videos == scale.videos[split]
        for field in ("batch_size", "num_frames", "ratio", "group_size"):
            assert getattr(source, field) == getattr(theirs, field), field
    configs = [
        models.ViViTBackbone.from_preset(
            name.partition("_shapes")[0], load_weights=False, **backbone
        ).get_config()
        for backbone in (stage.backbone, other.backbone)
    ]
    assert configs[0] == {**configs[1], "name": configs[0]["name"]}


def test_fields_are_set():
    stage = read(
        "image_vivit_tiny_shapes.py",
        steps=20,
        seed=3,
        settings=["warmup_steps=5", "preset=a/b", "adapt={'last_layers': 1}"],
    )
    assert (stage.steps, stage.seed, stage.warmup_steps) == (20, 3, 5)
    assert (stage.preset, stage.adapt) == ("a/b", {"last_layers": 1})


@pytest.mark.parametrize("setting", ["speed=3", "warmup_steps"])
def test_settings_that_set_nothing(setting):
    with pytest.raises(ValueError, match="`set` must be name=value"):
        read("image_vivit_tiny_shapes.py", settings=[setting])


def test_a_config_without_a_stage(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("stages = 3\n")
    with pytest.raises(ValueError, match="must be a Python file that sets"):
        stage_configs.read_stage(str(path))

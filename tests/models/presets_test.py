import errno
import json
import os
import pathlib
import shutil

import h5py
import keras
import keras_hub
import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import from_preset
from keras_longvideo import list_presets
from keras_longvideo import models

RETRIEVER_FILES = {
    "config.json",
    "metadata.json",
    "model.weights.h5",
    "preprocessor.json",
    "task.json",
    "task.weights.h5",
    "tokenizer.json",
}


@pytest.fixture
def copy(fitted, tmp_path):
    """A copy of a retriever's preset, to be changed."""
    return pathlib.Path(shutil.copytree(fitted.preset, tmp_path / "copy"))


def files(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in pathlib.Path(directory).rglob("*")
        if path.is_file()
    }


def same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_a_retriever_comes_back(tiny, fitted):
    loaded = from_preset(str(fitted.preset))
    assert type(loaded) is models.VideoTextRetriever
    same(tiny.outputs(loaded), fitted.after)
    again = models.VideoTextRetriever.from_preset(fitted.preset)
    same(tiny.outputs(again), fitted.after)
    assert loaded.preprocessor.sequence_length == 8
    assert loaded.preprocessor.video_converter.fps == 10
    assert loaded.preprocessor.tokenizer.get_vocabulary() == tiny.words
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded.log_logit_scale),
        h5py.File(fitted.preset / "task.weights.h5")["vars/0"][()],
    )


def test_a_loaded_retriever_trains_on(tiny, fitted):
    loaded = from_preset(fitted.preset)
    temperature = 1 / np.exp(float(loaded.log_logit_scale))
    tiny.compile(loaded, keras.optimizers.AdamW(1e-2))
    history = loaded.fit(tiny.pairs(), batch_size=4, epochs=3, verbose=0)
    losses = history.history["loss"]
    # From where the other one ended, temperature and all.
    assert losses[0] == pytest.approx(
        tiny.nce(fitted.after, temperature), rel=1e-4
    )
    assert losses[-1] != losses[0]


def test_a_backbone_comes_back(tiny, tmp_path):
    backbone = tiny.backbone(pooling="attention")
    backbone.save_to_preset(tmp_path / "new" / "preset")
    directory = tmp_path / "new" / "preset"
    assert set(files(directory)) == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
    }
    loaded = from_preset(directory)
    assert type(loaded) is models.ViViTBackbone
    assert loaded.get_config() == backbone.get_config()
    same(
        tiny.to_numpy(loaded(tiny.clips())),
        tiny.to_numpy(backbone(tiny.clips())),
    )


def test_of_a_task_the_encoder_can_be_had(fitted):
    encoder = models.ViViTBackbone.from_preset(fitted.preset)
    task = from_preset(fitted.preset)
    for a, b in zip(
        encoder.get_weights(), task.backbone.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_files_are_those_of_keras_hub(fitted):
    written = set(files(fitted.preset))
    assert {name for name in written if "/" not in name} == RETRIEVER_FILES
    assert "assets/tokenizer/vocabulary.txt" in written
    config = json.loads((fitted.preset / "config.json").read_text())
    assert config["registered_name"] == "keras_longvideo>ViViTBackbone"
    # KerasHub's own loader makes the same encoder of them.
    backbone = keras_hub.models.Backbone.from_preset(str(fitted.preset))
    assert isinstance(backbone, models.ViViTBackbone)
    assert backbone.hidden_dim == 16


def test_no_weights_carry_the_optimizer(fitted):
    for path in fitted.preset.glob("*.weights.h5"):
        with h5py.File(path) as weights:
            names = []
            weights.visit(names.append)
        assert names
        assert not [name for name in names if "optimizer" in name]


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16", "float32"])
def test_dtype_of_a_task(tiny, fitted, dtype):
    loaded = from_preset(fitted.preset, dtype=dtype)
    for layer in (
        loaded.backbone,
        loaded.text_backbone,
        loaded.video_encoder.get_layer("video_projection"),
    ):
        assert layer.dtype_policy.name == dtype
    weight = "bfloat16" if dtype == "bfloat16" else "float32"
    assert loaded.backbone.embedding.kernel.dtype == weight
    assert loaded.text_backbone.token_embedding.embeddings.dtype == weight
    outputs = tiny.outputs(loaded)
    for name, expected in fitted.after.items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], expected, atol=0.05)


def test_dtype_defaults_to_the_global_policy(fitted):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        loaded = from_preset(fitted.preset)
        encoder = models.ViViTBackbone.from_preset(fitted.preset)
    finally:
        keras.config.set_dtype_policy("float32")
    assert loaded.backbone.dtype_policy.name == "mixed_bfloat16"
    assert loaded.text_backbone.dtype_policy.name == "mixed_bfloat16"
    assert encoder.dtype_policy.name == "mixed_bfloat16"


def test_a_preset_saved_in_bfloat16_loads_in_float32(tiny, tmp_path):
    retriever = tiny.retriever(dtype="bfloat16")
    retriever.save_to_preset(tmp_path / "preset")
    loaded = from_preset(tmp_path / "preset")
    assert loaded.backbone.dtype_policy.name == "float32"
    assert loaded.text_backbone.dtype_policy.name == "float32"
    kernel = tiny.to_numpy(retriever.backbone.embedding.kernel)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded.backbone.embedding.kernel), kernel
    )


def test_without_weights(fitted):
    keras.utils.set_random_seed(1)  # Not the one of `fitted`.
    loaded = from_preset(fitted.preset, load_weights=False)
    trained = from_preset(fitted.preset)
    for tower in ("backbone", "text_backbone"):
        kernels = [
            (a, b)
            for a, b in zip(
                getattr(loaded, tower).get_weights(),
                getattr(trained, tower).get_weights(),
                strict=True,
            )
            if a.std() > 0  # The others start at all ones or all zeros.
        ]
        assert not any(np.array_equal(a, b) for a, b in kernels)
    assert float(loaded.log_logit_scale) == pytest.approx(np.log(1 / 0.07))
    assert loaded.preprocessor.tokenizer.vocabulary_size() == 12


def test_overrides_of_the_encoder(fitted):
    loaded = from_preset(fitted.preset, mask_rate=0.5, dropout_rate=0.1)
    assert loaded.backbone.mask_rate == 0.5
    assert loaded.backbone.dropout_rate == 0.1
    trained = from_preset(fitted.preset)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded.backbone.embedding.kernel),
        keras.ops.convert_to_numpy(trained.backbone.embedding.kernel),
    )


def test_overrides_reach_what_reads_the_videos(tiny, fitted):
    for cls, arguments in (
        (None, {}),
        (models.VideoClassifier, {"num_classes": 3}),
    ):
        load = from_preset if cls is None else cls.from_preset
        loaded = load(
            fitted.preset,
            num_frames=6,
            image_shape=(24, 16, 3),
            **arguments,
        )
        converter = loaded.preprocessor.video_converter
        assert converter.num_frames == loaded.backbone.num_frames == 6
        assert converter.image_size == (24, 16)
        assert converter.fps == tiny.converter().fps
    # One that the caller has made is theirs.
    own = tiny.preprocessor()
    loaded = from_preset(fitted.preset, num_frames=6, preprocessor=own)
    assert loaded.preprocessor.video_converter.num_frames == 4


def test_videos_are_read_as_an_encoder_that_is_given_takes_them(tiny, fitted):
    for cls, arguments in (
        (models.VideoTextRetriever, {}),
        (models.VideoClassifier, {"num_classes": 3}),
    ):
        own = tiny.backbone(num_frames=6, image_shape=(24, 16, 3))
        loaded = cls.from_preset(fitted.preset, backbone=own, **arguments)
        converter = loaded.preprocessor.video_converter
        assert (converter.num_frames, converter.image_size) == (6, (24, 16))
        assert converter.fps == tiny.converter().fps
    loaded = from_preset(
        fitted.preset, backbone=own, preprocessor=tiny.preprocessor()
    )
    assert loaded.preprocessor.video_converter.num_frames == 4


def test_overrides_of_the_task(tiny, fitted):
    preprocessor = tiny.preprocessor(sequence_length=5)
    loaded = from_preset(
        fitted.preset, preprocessor=preprocessor, loss="sigmoid"
    )
    assert loaded.preprocessor is preprocessor
    assert loaded.loss_name == "sigmoid"
    assert type(loaded) is models.VideoTextRetriever


def test_another_loss_starts_with_logits_of_its_own(tiny, fitted, tmp_path):
    loaded = from_preset(fitted.preset)
    loaded.log_logit_scale.assign(np.log(50.0))
    loaded.save_to_preset(tmp_path / "nce")
    # As SigLIP starts; with NCE's, every pair would be a "yes" at first.
    pairwise = from_preset(tmp_path / "nce", loss="sigmoid")
    scale = np.exp(keras.ops.convert_to_numpy(pairwise.log_logit_scale))
    bias = keras.ops.convert_to_numpy(pairwise.logit_bias)
    np.testing.assert_allclose([scale, bias], [10, -10], rtol=1e-6)
    pairwise.save_to_preset(tmp_path / "sigmoid")
    back = from_preset(tmp_path / "sigmoid", loss="nce")
    scale = np.exp(keras.ops.convert_to_numpy(back.log_logit_scale))
    np.testing.assert_allclose(scale, 1 / 0.07, rtol=1e-6)
    same = from_preset(tmp_path / "nce", loss="nce")
    scale = np.exp(keras.ops.convert_to_numpy(same.log_logit_scale))
    np.testing.assert_allclose(scale, 50, rtol=1e-6)


def test_a_backbone_is_not_made_of_arguments(tiny, fitted):
    with pytest.raises(ValueError, match=r"`backbone`.*\['mask_rate'\]"):
        from_preset(fitted.preset, backbone=tiny.backbone(), mask_rate=0.5)


@pytest.mark.parametrize("cls", [models.VideoTextRetriever, None])
def test_an_encoder_that_is_given_keeps_its_weights(tiny, fitted, cls):
    load = from_preset if cls is None else cls.from_preset
    own = tiny.backbone()
    before = own.get_weights()
    loaded = load(fitted.preset, backbone=own)
    assert loaded.backbone is own
    for new, old in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)
    # The rest is the preset's.
    texts = tiny.outputs(loaded)["text_embeddings"]
    np.testing.assert_array_equal(texts, fitted.after["text_embeddings"])
    classifier = models.VideoClassifier.from_preset(
        fitted.preset, backbone=own, num_classes=3
    )
    for new, old in zip(classifier.backbone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_text_encoder_that_is_given_keeps_its_weights(tiny, fitted):
    # Also one of another size, for which the saved weights would not fit.
    for own in (tiny.text_backbone(), tiny.text_backbone(hidden_dim=8)):
        before = own.get_weights()
        loaded = from_preset(fitted.preset, text_backbone=own)
        assert loaded.text_backbone is own
        for new, old in zip(own.get_weights(), before, strict=True):
            np.testing.assert_array_equal(new, old)
        videos = models.ViViTBackbone.from_preset(fitted.preset)
        for new, old in zip(
            loaded.backbone.get_weights(), videos.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(new, old)
        # No space is shared yet: the temperature, too, is that of a start.
        assert np.exp(float(loaded.log_logit_scale)) == pytest.approx(1 / 0.07)


def test_another_vocabulary_needs_another_preprocessor(tiny, fitted, tmp_path):
    # The saved tokenizer's words would be others to it.
    for size in (11, 13):
        with pytest.raises(
            ValueError,
            match=f"`preprocessor` .*tokenizer.*12 .*vocabulary_size={size}",
        ):
            from_preset(
                fitted.preset,
                text_backbone=tiny.text_backbone(vocabulary_size=size),
            )
    larger = tiny.text_backbone(vocabulary_size=13)
    own = tiny.preprocessor()
    loaded = from_preset(fitted.preset, text_backbone=larger, preprocessor=own)
    assert loaded.preprocessor is own
    bare = models.VideoTextRetriever(tiny.backbone(), tiny.text_backbone())
    bare.save_to_preset(tmp_path / "preset")
    loaded = from_preset(tmp_path / "preset", text_backbone=larger)
    assert loaded.text_backbone is larger


@pytest.mark.parametrize("projection_dim", [4, None])
def test_projections_are_of_the_saved_length(tiny, fitted, projection_dim):
    with pytest.raises(
        ValueError, match="`projection_dim` must be 8.*=" + str(projection_dim)
    ):
        from_preset(fitted.preset, projection_dim=projection_dim)
    same(
        tiny.outputs(from_preset(fitted.preset, projection_dim=8)),
        fitted.after,
    )
    # Where they start afresh, any will do.
    for arguments in (
        {"load_weights": False},
        {"text_backbone": tiny.text_backbone()},
    ):
        loaded = from_preset(
            fitted.preset, projection_dim=projection_dim, **arguments
        )
        assert loaded.projection_dim == projection_dim


@pytest.mark.parametrize(
    "cls", [models.ViViTBackbone, models.VideoTextRetriever, None]
)
def test_unknown_overrides_are_refused(fitted, cls):
    load = from_preset if cls is None else cls.from_preset
    with pytest.raises(ValueError, match="'maskrate'.*takes.*'mask_rate'"):
        load(fitted.preset, maskrate=0.5)
    with pytest.raises(ValueError, match="'num_classes'"):
        load(fitted.preset, num_classes=3)


@pytest.mark.parametrize(
    "name, message",
    [
        ("short_vivit_bse", "no preset 'short_vivit_bse'.*'short_vivit_base'"),
        ("no/such/folder", "no preset 'no/such/folder'. A preset is"),
        ("", "no preset ''. A preset is"),
        (None, "no preset None. A preset is"),
        ("hf://no_organization", "`handle` must"),
    ],
)
def test_unknown_names(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (
        from_preset,
        models.ViViTBackbone.from_preset,
        models.VideoTextRetriever.from_preset,
    ):
        with pytest.raises(ValueError, match=message):
            load(name)


def test_built_in_without_published_weights():
    with pytest.raises(ValueError, match="no published weights.*load_weights"):
        from_preset("short_vivit_base")
    encoder = from_preset("short_vivit_tiny", load_weights=False, num_frames=4)
    assert type(encoder) is models.ViViTBackbone
    assert encoder.num_frames == 4


def test_a_task_of_a_built_in_preset_needs_its_other_parts():
    with pytest.raises(ValueError, match="needs a `preprocessor`"):
        models.VideoTextRetriever.from_preset(
            "short_vivit_tiny", load_weights=False
        )
    with pytest.raises(ValueError, match="needs `num_classes`"):
        models.VideoClassifier.from_preset(
            "short_vivit_tiny", load_weights=False
        )


def test_list_presets():
    names = list_presets()
    assert names == sorted(names)
    configurations = {
        f"{context}_vivit_{size}"
        for context in ("image", "short", "long")
        for size in ("tiny", "base", "large")
    }
    trained = set(names) - configurations
    assert len(names) == len(configurations) + len(trained)
    # See packaged_presets_test.py.
    assert trained == set(list_presets("*_shapes*"))
    assert list_presets("long_*e") == ["long_vivit_base", "long_vivit_large"]
    assert list_presets("*_tiny") == [
        "image_vivit_tiny",
        "long_vivit_tiny",
        "short_vivit_tiny",
    ]
    assert list_presets("BERT*") == []
    assert keras_longvideo.list_presets is models.list_presets


# ViT-B/16 and ViT-L/16 at 256: side, width, layers, heads and MLP.
SIZES = {
    "base": (256, 768, 12, 12, 3072),
    "large": (256, 1024, 24, 16, 4096),
}
# Frames, and frames of a tubelet.
CONTEXTS = {"image": (1, 1), "short": (16, 2), "long": (256, 2)}


def count(side, dim, layers, frames, depth, mlp):
    """Parameters of a ViT over tubelets, by hand."""
    patch = 16 * 16 * 3
    # A video's tubelets, and pictures' own projection beside it.
    embedding = depth * patch * dim + dim
    if depth > 1:
        embedding += patch * dim + dim
    positions = (side // 16) ** 2 * dim + frames // depth * dim
    attention = 4 * (dim * dim + dim)
    feed_forward = dim * mlp + mlp + mlp * dim + dim
    norms = 2 * 2 * dim
    return (
        embedding
        + positions
        + layers * (attention + feed_forward + norms)
        + 2 * dim
    )


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("size", SIZES)
def test_built_in_configurations(context, size):
    from keras_longvideo.models.vivit.vivit_presets import vivit_presets

    entry = vivit_presets[f"{context}_vivit_{size}"]
    side, dim, layers, heads, mlp = SIZES[size]
    frames, depth = CONTEXTS[context]
    assert entry["config"] == {
        "image_shape": (side, side, 3),
        "num_frames": frames,
        "tubelet_size": (depth, 16, 16),
        "hidden_dim": dim,
        "num_layers": layers,
        "num_heads": heads,
        "intermediate_dim": mlp,
    }
    assert size in entry["description"]


@pytest.mark.parametrize(
    "name",
    [
        "image_vivit_tiny",
        "long_vivit_tiny",
        pytest.param("image_vivit_base", marks=pytest.mark.slow),
    ],
)
def test_parameter_counts(name):
    encoder = from_preset(name, load_weights=False)
    assert encoder.count_params() == count(
        encoder.image_shape[0],
        encoder.hidden_dim,
        encoder.num_layers,
        *CONTEXTS[name.split("_")[0]],
        encoder.intermediate_dim,
    )


def test_base_and_large_are_of_the_size_of_vit():
    assert round(count(256, 768, 12, 1, 1, 3072) / 1e6) == 86
    assert round(count(256, 1024, 24, 1, 1, 4096) / 1e6) in (303, 304)


def test_own_files_are_left_alone(tiny, fitted, copy):
    own = {
        "README.md": b"Mine.",
        "notes.json": b"{}",
        "runs/log.txt": b"1",
        ".gitattributes": b"x",
        # Named much as KerasHub's are.
        "epoch_01.weights.h5": b"a checkpoint",
        "assets/demo.gif": b"GIF",
    }
    for name, content in own.items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(content)
    from_preset(fitted.preset).save_to_preset(copy)
    received = files(copy)
    assert {name: received[name] for name in own} == own
    same(tiny.outputs(from_preset(copy)), fitted.after)


def test_nothing_of_an_older_preset_stays(tiny, copy):
    (copy / "model_00001.weights.h5").write_bytes(b"shard")
    tiny.backbone().save_to_preset(copy)
    assert set(files(copy)) == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
    }
    assert not (copy / "assets").exists()
    assert type(from_preset(copy)) is models.ViViTBackbone


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_save_changes_nothing(
    tiny, fitted, copy, monkeypatch, error
):
    before = files(copy)
    retriever = tiny.retriever()
    save = keras.saving.save_weights

    def stop(model, filepath, **kwargs):
        # The encoder's weights are there already, the task's half.
        save(model, filepath, **kwargs)
        raise error("stopped")

    monkeypatch.setattr(keras.saving, "save_weights", stop)
    with pytest.raises(error, match="stopped"):
        retriever.save_to_preset(copy)
    with pytest.raises(error, match="stopped"):
        retriever.save_to_preset(copy.parent / "new")
    monkeypatch.undo()
    assert files(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    same(tiny.outputs(from_preset(copy)), fitted.after)
    retriever.save_to_preset(copy)
    same(tiny.outputs(from_preset(copy)), tiny.outputs(retriever))


def test_a_folder_on_a_disk_of_its_own(tiny, fitted, copy, monkeypatch):
    # As a volume of a container: what lies elsewhere cannot be moved there.
    replace = os.replace

    def within(source, target):
        if copy not in pathlib.Path(source).parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(source, target)

    monkeypatch.setattr(os, "replace", within)
    (copy / "notes.txt").write_text("mine")
    retriever = tiny.retriever()
    retriever.save_to_preset(copy)
    same(tiny.outputs(from_preset(copy)), tiny.outputs(retriever))
    assert set(files(copy)) == {*files(fitted.preset), "notes.txt"}


def test_a_file_in_the_way_of_assets(tiny, fitted, copy):
    shutil.rmtree(copy / "assets")
    (copy / "assets").write_text("mine")
    before = files(copy)
    with pytest.raises(OSError):
        tiny.retriever().save_to_preset(copy)
    assert files(copy) == before


def test_a_file_in_the_way(tiny, tmp_path):
    (tmp_path / "preset").write_text("a file")
    with pytest.raises(ValueError, match="must be a directory"):
        tiny.backbone().save_to_preset(tmp_path / "preset")
    assert (tmp_path / "preset").read_text() == "a file"


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("model.weights.h5", FileNotFoundError, "no file 'model.weights.h5'"),
        ("task.weights.h5", FileNotFoundError, "no file 'task.weights.h5'"),
        ("config.json", ValueError, "holds no Keras preset"),
    ],
)
def test_missing_files(copy, name, error, message):
    (copy / name).unlink()
    with pytest.raises(error, match=message) as caught:
        from_preset(copy)
    assert str(copy) in str(caught.value)
    if error is FileNotFoundError:
        from_preset(copy, load_weights=False)


@pytest.mark.parametrize(
    "name", ["config.json", "task.json", "preprocessor.json"]
)
def test_damaged_json(copy, name):
    text = (copy / name).read_text()
    (copy / name).write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=f"is broken: {name} is no JSON"):
        from_preset(copy)


@pytest.mark.parametrize("text", ["{}", "[]", '{"a": 1}'])
def test_some_other_config(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(ValueError, match="holds no Keras preset"):
        from_preset(copy)


def test_a_model_of_keras_hub(tmp_path):
    keras_hub.models.BertBackbone(
        vocabulary_size=8,
        num_layers=1,
        num_heads=1,
        hidden_dim=2,
        intermediate_dim=2,
    ).save_to_preset(tmp_path / "bert")
    with pytest.raises(ValueError, match="a model of KerasHub, keras_hub>Bert"):
        from_preset(tmp_path / "bert")


def test_a_task_that_is_not_known(copy):
    task = json.loads((copy / "task.json").read_text())
    task["registered_name"] = "elsewhere>Captioner"
    (copy / "task.json").write_text(json.dumps(task))
    with pytest.raises(ValueError, match="not known here: elsewhere>Captioner"):
        from_preset(copy)
    # Of a task that is another one, known or not, the encoder is of use.
    classifier = models.VideoClassifier.from_preset(copy, num_classes=2)
    assert classifier.num_classes == 2


def test_damaged_weights(copy):
    path = copy / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError):
        from_preset(copy)


@pytest.mark.parametrize("tower", ["backbone", "text_backbone"])
def test_a_frozen_tower_stays_frozen(tiny, tmp_path, tower):
    retriever = tiny.retriever()
    getattr(retriever, tower).trainable = False
    expected = [w.trainable for w in retriever.weights]
    retriever.save_to_preset(tmp_path)
    loaded = from_preset(tmp_path)
    assert [w.trainable for w in loaded.weights] == expected
    made = {w.path for w in loaded.trainable_weights}
    assert made == {w.path for w in retriever.trainable_weights}


def test_a_frozen_encoder_may_be_thawed(tiny, tmp_path):
    classifier = tiny.classifier()
    classifier.backbone.trainable = False
    classifier.save_to_preset(tmp_path)
    for load in (models.ViViTBackbone.from_preset, from_preset):
        head = {"predictions/kernel", "predictions/bias"}
        assert {w.path for w in load(tmp_path).trainable_weights} <= head
        loaded = load(tmp_path, trainable=True)
        assert all(w.trainable for w in loaded.weights)
    with pytest.raises(ValueError, match=r"Unknown overrides: \['thawed'\]"):
        from_preset(tmp_path, thawed=True)

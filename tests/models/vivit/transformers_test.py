"""Models of transformers come in and go out with the same outputs."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_longvideo
from keras_longvideo import models
from keras_longvideo.video import write_video

torch = pytest.importorskip("torch", reason="transformers runs on torch")
transformers = pytest.importorskip(
    "transformers", reason="it is what outputs are compared with"
)

SMALL = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "num_labels": 5,
}
VIVITS = {
    "as_published": {"image_size": 16, "tubelet_size": [2, 8, 8]},
    "odd": {
        "image_size": [12, 24],
        "num_frames": 6,
        "tubelet_size": [3, 4, 12],
        "num_attention_heads": 1,
        "hidden_act": "gelu",
        "qkv_bias": False,
        "layer_norm_eps": 1e-2,
    },
    "frames": {
        "image_size": [8, 16],
        "num_frames": 3,
        "tubelet_size": [1, 8, 4],
        "hidden_size": 10,
        "num_attention_heads": 5,
        "hidden_act": "quick_gelu",
        "num_labels": 2,
    },
}
VIDEOMAES = {
    "as_published": {"image_size": 16, "patch_size": 8},
    "first_token": {
        "image_size": 16,
        "patch_size": 8,
        "use_mean_pooling": False,
        "layer_norm_eps": 1e-3,
    },
    "odd": {
        "image_size": [12, 24],
        "patch_size": [4, 12],
        "num_frames": 6,
        "tubelet_size": 3,
        "hidden_size": 15,
        "num_attention_heads": 5,
        "hidden_act": "gelu_pytorch_tanh",
        "qv_bias": False,
        "num_labels": 1,
    },
}
KINDS = {
    "vivit": (
        transformers.VivitConfig,
        transformers.VivitForVideoClassification,
        transformers.VivitModel,
    ),
    "videomae": (
        transformers.VideoMAEConfig,
        transformers.VideoMAEForVideoClassification,
        transformers.VideoMAEModel,
    ),
}
CASES = [
    pytest.param(kind, options, id=f"{kind}-{name}")
    for kind, table in (("vivit", VIVITS), ("videomae", VIDEOMAES))
    for name, options in table.items()
]
IMAGENET = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def shaken(cls, config):
    """A model with random weights, none at 0 or 1."""
    torch.manual_seed(0)
    model = cls(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


def make(kind, options, is_classifier=True):
    config_cls, classifier_cls, plain_cls = KINDS[kind]
    config = config_cls(**{"num_frames": 4, **SMALL, **options})
    config.id2label = {i: f"class {i}" for i in range(config.num_labels)}
    config.label2id = {v: k for k, v in config.id2label.items()}
    return shaken(classifier_cls if is_classifier else plain_cls, config)


def save(model, directory, processor=IMAGENET):
    model.save_pretrained(directory)
    if processor is not None:
        text = json.dumps(processor)
        (directory / "preprocessor_config.json").write_text(text)
    return directory


def clips(backbone_or_config, batch=2):
    x = backbone_or_config
    if hasattr(x, "image_shape"):
        shape = (x.num_frames, *x.image_shape)
    else:
        size = x.image_size
        size = (size, size) if isinstance(size, int) else size
        shape = (x.num_frames, *size, x.num_channels)
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, *shape)).astype("float32")


def theirs(model, x):
    """Tokens and logits of a model of transformers."""
    pixels = torch.from_numpy(x).permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        encoder = getattr(model, model.base_model_prefix, model)
        tokens = encoder(pixels).last_hidden_state.numpy()
        if encoder is model:
            return tokens, None
        return tokens, model(pixels).logits.numpy()


def close(received, expected):
    np.testing.assert_allclose(
        ops.convert_to_numpy(received), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("kind, options", CASES)
def test_a_classifier_comes_in(kind, options, tmp_path):
    model = make(kind, options)
    x = clips(model.config)
    tokens, logits = theirs(model, x)
    save(model, tmp_path)
    classifier = keras_longvideo.from_preset(tmp_path)
    assert type(classifier) is models.VideoClassifier
    close(classifier(x), logits)
    close(classifier.backbone(x)["sequence_output"], tokens)
    assert classifier.labels == list(model.config.id2label.values())
    backbone = models.ViViTBackbone.from_preset(tmp_path)
    close(backbone(x)["sequence_output"], tokens)
    close(
        backbone(x)["pooled_output"],
        ops.convert_to_numpy(classifier.backbone(x)["pooled_output"]),
    )


@pytest.mark.parametrize("kind, options", CASES)
def test_an_encoder_comes_in(kind, options, tmp_path):
    model = make(kind, options, is_classifier=False)
    x = clips(model.config)
    tokens, _ = theirs(model, x)
    save(model, tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        backbone = keras_longvideo.from_preset(tmp_path)
    assert type(backbone) is models.ViViTBackbone
    caught = [w for w in caught if w.category is UserWarning]
    outputs = backbone(x)
    close(outputs["sequence_output"], tokens)
    if kind == "vivit":
        assert "2 weights" in str(caught[0].message)
        assert "['pooler']" in str(caught[0].message)
        close(outputs["pooled_output"], tokens[:, 0])
    else:
        assert not caught
    if kind == "videomae" and not model.config.use_mean_pooling:
        close(outputs["pooled_output"], tokens.mean(axis=1))


def test_an_encoder_gets_a_new_head(tmp_path):
    save(make("videomae", VIDEOMAES["first_token"], False), tmp_path)
    classifier = models.VideoClassifier.from_preset(tmp_path, labels=["a", "b"])
    x = clips(classifier.backbone)
    assert classifier(x).shape == (2, 2)
    # Frames are sampled as for the published weights, if not told otherwise.
    converter = classifier.preprocessor.video_converter
    assert (converter.num_frames, converter.fps) == (4, 6.25)


def test_what_pretraining_alone_needs_is_left_out(tmp_path):
    options = {
        "image_size": 16,
        "patch_size": 8,
        "use_mean_pooling": False,
        "decoder_num_hidden_layers": 1,
        "decoder_hidden_size": 12,
        "decoder_num_attention_heads": 3,
        "decoder_intermediate_size": 20,
    }
    config = transformers.VideoMAEConfig(num_frames=4, **SMALL, **options)
    model = shaken(transformers.VideoMAEForPreTraining, config)
    x = clips(config)
    pixels = torch.from_numpy(x).permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        tokens = model.videomae(pixels).last_hidden_state.numpy()
    save(model, tmp_path)
    with pytest.warns(UserWarning, match=r"21 weights of .*'decoder'"):
        backbone = keras_longvideo.from_preset(tmp_path)
    close(backbone(x)["sequence_output"], tokens)


@pytest.mark.parametrize("kind, options", CASES)
@pytest.mark.parametrize("is_classifier", [True, False])
def test_there_and_back(kind, options, is_classifier, tmp_path):
    model = make(kind, options, is_classifier)
    x = clips(model.config)
    tokens, logits = theirs(model, x)
    save(model, tmp_path / "first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = keras_longvideo.from_preset(tmp_path / "first")
    models.export_to_transformers(ours, tmp_path / "second")
    assert {p.name for p in (tmp_path / "second").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    again, report = type(model).from_pretrained(
        tmp_path / "second", output_loading_info=True
    )
    new = {"pooler.dense.weight", "pooler.dense.bias"}
    assert set(report["missing_keys"]) <= new
    assert not report["unexpected_keys"]
    received = theirs(again.eval(), x)
    close(received[0], tokens)
    if is_classifier:
        close(received[1], logits)
        assert again.config.id2label == model.config.id2label
    loaded = keras_longvideo.from_preset(tmp_path / "second")
    keras.tree.map_structure(close, loaded(x), ops_to_numpy(ours(x)))


def ops_to_numpy(x):
    return keras.tree.map_structure(ops.convert_to_numpy, x)


def shake(model):
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + 0.2 * rng.normal(size=value.shape))
    return model


def backbone_of(**overrides):
    config = {
        "image_shape": (16, 24, 3),
        "num_frames": 4,
        "tubelet_size": (2, 8, 8),
        "hidden_dim": 12,
        "num_layers": 2,
        "num_heads": 3,
        "intermediate_dim": 20,
    }
    return shake(models.ViViTBackbone(**{**config, **overrides}))


VIVIT = {"num_prefix_tokens": 1, "pooling": "token"}
VIDEOMAE = {"positions": "fixed"}


@pytest.mark.parametrize(
    "options",
    [
        VIVIT,
        {**VIVIT, "positions": "joint", "mask_rate": 0.5},
        {**VIVIT, "activation": "quick_gelu", "output_norm_epsilon": 1e-6},
        VIDEOMAE,
    ],
)
def test_our_own_encoders_go_out(options, tmp_path):
    backbone = backbone_of(**options)
    models.export_to_transformers(backbone, tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    x = clips(backbone)
    close(backbone(x)["sequence_output"], theirs(model, x)[0])


@pytest.mark.parametrize(
    "options",
    [
        {**VIVIT, "activation": "gelu_approximate"},
        {**VIDEOMAE, "norm_after_pooling": True, "output_norm_epsilon": 1e-5},
        {**VIDEOMAE, "pooling": "token"},
    ],
)
def test_our_own_classifiers_go_out(options, tmp_path):
    classifier = shake(models.VideoClassifier(backbone_of(**options), 4))
    models.export_to_transformers(classifier, tmp_path)
    model = transformers.AutoModelForVideoClassification.from_pretrained(
        tmp_path
    ).eval()
    x = clips(classifier.backbone)
    close(classifier(x), theirs(model, x)[1])
    assert model.config.id2label == {i: f"LABEL_{i}" for i in range(4)}


@pytest.mark.slow
def test_after_lora_is_merged(tmp_path):
    backbone = backbone_of(**VIVIT)
    backbone.adapt(lora_rank=2)
    shake(backbone)
    with pytest.raises(ValueError, match=r"merge_lora\(\)` first"):
        models.export_to_transformers(backbone, tmp_path / "folder")
    backbone.merge_lora()
    models.export_to_transformers(backbone, tmp_path / "folder")
    model = transformers.AutoModel.from_pretrained(tmp_path / "folder").eval()
    x = clips(backbone)
    close(backbone(x)["sequence_output"], theirs(model, x)[0])


def test_quantized_weights_are_refused(tmp_path):
    backbone = backbone_of(**VIVIT)
    backbone.quantize("int8")
    with pytest.raises(ValueError, match="weights that are not quantized"):
        models.export_to_transformers(backbone, tmp_path / "folder")


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "positions are fixed sines and cosines.*'separate'"),
        ({**VIVIT, "attention": "frame"}, "attention='frame' .only 'joint'"),
        ({**VIVIT, "attention": "factorized"}, "attention='factorized'"),
        ({**VIVIT, "embedding_norm": True}, "embedding_norm=True"),
        ({**VIVIT, "num_prefix_tokens": 2}, "num_prefix_tokens=2 .only 1"),
        ({**VIVIT, "pooling": "mean"}, "pooling='mean' .only 'token'"),
        ({"pooling": "attention"}, "pooling='attention'"),
        ({**VIVIT, "adapter_dim": 2}, "adapter_dim=2 .only None"),
        ({**VIVIT, "tubes": "tubevit", "image_shape": (64, 64, 3)}, "tubes="),
        ({**VIVIT, "output_norm_epsilon": 0.1}, "output_norm_epsilon=0.1"),
        ({**VIVIT, "num_frames": 1}, "no single pictures"),
        (
            {**VIVIT, "mask_rate": 0.5, "mask_at_inference": True},
            "mask_at_inference=True",
        ),
        (
            {
                **VIDEOMAE,
                "norm_after_pooling": True,
                "output_norm_epsilon": 1e-5,
            },
            "export the `VideoClassifier`",
        ),
    ],
)
def test_what_cannot_be_expressed(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        models.export_to_transformers(backbone_of(**options), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_other_models_are_refused(tmp_path):
    classifier = models.VideoClassifier(
        backbone_of(**VIVIT), 3, activation="softmax"
    )
    with pytest.raises(ValueError, match="activation='softmax'"):
        models.export_to_transformers(classifier, tmp_path / "x")
    with pytest.raises(ValueError, match="of class Dense"):
        models.export_to_transformers(keras.layers.Dense(3), tmp_path / "x")


def test_trained_positions_of_videomae_stay_fixed(tmp_path):
    save(make("videomae", VIDEOMAES["as_published"]), tmp_path / "a")
    classifier = models.VideoClassifier.from_preset(tmp_path / "a")
    paths = {w.path for w in classifier.trainable_weights}
    assert not [path for path in paths if "positions" in path]
    # Others are trained, and transformers has no place for them.
    free = models.VideoClassifier.from_preset(tmp_path / "a", positions="joint")
    x = clips(free.backbone)
    close(free(x), ops.convert_to_numpy(classifier(x)))
    shake(free)
    with pytest.raises(ValueError, match="positions='joint'"):
        models.export_to_transformers(free, tmp_path / "b")


def test_other_sizes(tmp_path):
    save(make("vivit", VIVITS["as_published"]), tmp_path)
    whole = models.VideoClassifier.from_preset(tmp_path)
    table = whole.backbone.embedding.joint_positions
    classifier = models.VideoClassifier.from_preset(
        tmp_path, num_frames=8, image_shape=(32, 16, 3), attention="joint"
    )
    received = classifier.backbone.embedding.joint_positions
    assert received.shape == (4, 4, 2, 12)
    # Of places in the middle of two, half of each.
    received = ops.convert_to_numpy(received)
    table = ops.convert_to_numpy(table)
    close(received[0, 0], table[0, 0])
    close(received[1, 0], 0.75 * table[0, 0] + 0.25 * table[1, 0])
    x = np.zeros((1, 8, 32, 16, 3), "uint8")
    close(classifier(x), ops.convert_to_numpy(whole(x)))


def test_fixed_positions_are_interpolated(tmp_path):
    save(make("videomae", VIDEOMAES["as_published"]), tmp_path)
    backbone = models.ViViTBackbone.from_preset(tmp_path, num_frames=8)
    received = ops.convert_to_numpy(backbone.embedding.joint_positions)
    # The first entry is the sine of the tubelet's number, four at a time.
    sines = np.sin(np.arange(8)).reshape(2, 4)
    expected = [
        sines[0],
        0.75 * sines[0] + 0.25 * sines[1],
        0.25 * sines[0] + 0.75 * sines[1],
        sines[1],
    ]
    close(received[..., 0].reshape(4, 4), np.array(expected))


def test_a_retriever_takes_the_encoder(tiny, tmp_path):
    model = make("vivit", VIVITS["as_published"])
    save(model, tmp_path)
    retriever = models.VideoTextRetriever.from_preset(
        tmp_path,
        text_backbone=tiny.text_backbone(),
        preprocessor=tiny.preprocessor(),
    )
    x = clips(model.config)
    close(
        retriever.backbone(x)["sequence_output"],
        theirs(model, x)[0],
    )


def test_a_new_head_for_other_classes(tmp_path):
    save(make("vivit", VIVITS["as_published"]), tmp_path)
    other = models.VideoClassifier.from_preset(tmp_path, num_classes=7)
    assert (other.num_classes, other.labels) == (7, None)
    named = keras_longvideo.from_preset(tmp_path, labels=["up", "down"])
    assert (named.num_classes, named.labels) == (2, ["up", "down"])
    x = clips(named.backbone)
    close(
        named.backbone(x)["pooled_output"],
        ops.convert_to_numpy(other.backbone(x)["pooled_output"]),
    )
    with pytest.raises(ValueError, match="each of the 3 classes.*2 labels"):
        keras_longvideo.from_preset(
            tmp_path, labels=["up", "down"], num_classes=3
        )


def test_labels_are_part_of_a_preset(tmp_path):
    save(make("vivit", VIVITS["as_published"]), tmp_path / "a")
    classifier = keras_longvideo.from_preset(tmp_path / "a")
    classifier.save_to_preset(tmp_path / "b")
    again = keras_longvideo.from_preset(tmp_path / "b")
    assert again.labels == [f"class {i}" for i in range(5)]
    x = clips(again.backbone)
    close(again(x), ops.convert_to_numpy(classifier(x)))
    assert again.preprocessor.video_converter.fps == 12.5


@pytest.mark.parametrize(
    "kind, processor",
    [
        ("vivit", {"do_normalize": False}),
        ("vivit", {}),
        ("vivit", {"rescale_factor": 1 / 255, "offset": False}),
        ("videomae", IMAGENET),
        ("videomae", {"do_rescale": False, "image_std": [50.0, 60.0, 70.0]}),
    ],
)
def test_pixels_are_scaled_as_theirs(kind, processor, tmp_path):
    options = {"vivit": VIVITS, "videomae": VIDEOMAES}[kind]["as_published"]
    model = make(kind, options)
    save(model, tmp_path / "a", processor)
    classifier = models.VideoClassifier.from_preset(tmp_path / "a")
    raw = np.random.default_rng(0).integers(0, 256, (1, 4, 16, 16, 3))
    raw = raw.astype("uint8")
    pixels = processed(kind, processor, raw)
    close(classifier(raw), theirs(model, pixels)[1])
    models.export_to_transformers(classifier, tmp_path / "b")
    written = json.loads(
        (tmp_path / "b" / "preprocessor_config.json").read_text()
    )
    np.testing.assert_allclose(
        processed(kind, written, raw), pixels, atol=1e-5, rtol=1e-5
    )


def processed(kind, processor, raw):
    """Pixels as transformers' own processor makes them."""
    if kind == "vivit":
        from transformers.models.vivit import image_processing_vivit as module

        cls = module.VivitImageProcessor
    else:
        from transformers.models.videomae import (
            image_processing_pil_videomae as module,
        )

        cls = module.VideoMAEImageProcessorPil
    options = {k: v for k, v in processor.items() if not k.endswith("_type")}
    options.update(do_resize=False, do_center_crop=False)
    video = [list(frame) for frame in [raw[0]]][0]
    pixels = cls(**options)(video, return_tensors="np")["pixel_values"]
    return np.asarray(pixels, "float32").transpose(0, 1, 3, 4, 2)


def test_without_a_processor_pixels_are_as_for_published_weights(tmp_path):
    save(make("vivit", VIVITS["as_published"]), tmp_path / "a", None)
    with pytest.warns(UserWarning, match="no 'preprocessor_config.json'"):
        backbone = models.ViViTBackbone.from_preset(tmp_path / "a")
    assert backbone.scale == pytest.approx(1 / 127.5)
    assert backbone.offset == -1
    save(make("videomae", VIDEOMAES["as_published"]), tmp_path / "b", None)
    with pytest.warns(UserWarning, match="Pass `scale` and `offset`"):
        backbone = models.ViViTBackbone.from_preset(tmp_path / "b")
    red = (np.array([0, 255]) * backbone.scale[0] + backbone.offset[0]).tolist()
    assert red == pytest.approx([-0.485 / 0.229, (1 - 0.485) / 0.229])


def test_a_picture_is_a_video_that_stands_still(tmp_path):
    options = {**VIVITS["as_published"], "num_frames": 2}
    save(make("vivit", options), tmp_path)
    backbone = models.ViViTBackbone.from_preset(tmp_path)
    picture = clips(backbone)[:, :1]
    close(
        backbone(picture)["pooled_output"],
        ops.convert_to_numpy(
            backbone(np.repeat(picture, 2, axis=1))["pooled_output"]
        ),
    )


def test_files_are_classified(tmp_path):
    save(make("vivit", VIVITS["as_published"]), tmp_path / "model")
    classifier = keras_longvideo.from_preset(tmp_path / "model")
    video = np.full((20, 32, 48, 3), 100, "uint8")
    path = os.fspath(tmp_path / "video.mp4")
    write_video(path, video, fps=25)
    logits = classifier.predict([path], verbose=0)
    assert logits.shape == (1, 5)
    assert classifier.labels[int(logits[0].argmax())].startswith("class")


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16", "float16"])
def test_in_half_precision(dtype, tmp_path):
    model = make("vivit", VIVITS["as_published"])
    x = clips(model.config)
    save(model.to(torch.bfloat16), tmp_path)
    logits = theirs(model.float(), x)[1]
    classifier = keras_longvideo.from_preset(tmp_path, dtype=dtype)
    assert classifier.backbone.dtype_policy.name == dtype
    received = ops.convert_to_numpy(classifier(x))
    np.testing.assert_allclose(received, logits, atol=0.1)
    exact = keras_longvideo.from_preset(tmp_path)
    close(exact(x), logits)


def test_shards(tmp_path):
    model = make("vivit", VIVITS["as_published"])
    save(model, tmp_path)
    model.save_pretrained(tmp_path, max_shard_size="6KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    x = clips(model.config)
    close(keras_longvideo.from_preset(tmp_path)(x), theirs(model, x)[1])
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=shards[1].name):
        keras_longvideo.from_preset(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return save(make("vivit", VIVITS["as_published"]), tmp_path / "model")


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def change_tensors(folder, change):
    from safetensors.numpy import load_file
    from safetensors.numpy import save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_other_models_of_transformers(folder):
    change_config(folder, model_type="bert")
    with pytest.raises(ValueError, match="'bert'.*'videomae', 'vivit'"):
        keras_longvideo.from_preset(folder)


def test_an_unknown_activation(folder):
    change_config(folder, hidden_act="relu")
    with pytest.raises(ValueError, match="hidden_act='relu'"):
        keras_longvideo.from_preset(folder)


def test_pickles_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="pytorch_model.bin, are not"):
        keras_longvideo.from_preset(folder)
    keras_longvideo.from_preset(folder, load_weights=False)


def test_a_damaged_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="broken: model.safetensors can't"):
        keras_longvideo.from_preset(folder)


@pytest.mark.parametrize(
    "name",
    [
        "vivit.encoder.layer.1.output.dense.bias",
        "vivit.embeddings.cls_token",
        "vivit.layernorm.weight",
        "classifier.bias",
    ],
)
def test_missing_weights(folder, name):
    change_tensors(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=name.removeprefix("vivit.")):
        keras_longvideo.from_preset(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"intermediate_size": 21}, "mlp_intermediate/kernel.*12, 21"),
        ({"num_frames": 8}, "joint_positions.*4, 2, 2, 12.*8, 12"),
        ({"id2label": {"0": "a"}}, r"predictions/kernel.*12, 1.*12, 5"),
    ],
)
def test_weights_of_another_size(folder, change, message):
    change_config(folder, **change)
    with pytest.raises(ValueError, match=message):
        keras_longvideo.from_preset(folder)


@pytest.mark.parametrize("kind", ["vivit", "videomae"])
def test_numbers_are_checked(kind, tmp_path, monkeypatch):
    from keras_longvideo.models.vivit import from_transformers

    cases = {"vivit": VIVITS, "videomae": VIDEOMAES}[kind]
    folder = save(make(kind, cases["as_published"]), tmp_path / "model")
    value = from_transformers._value

    # A map that is read in torch's order has the right shape, if square.
    def wrong(tensors, name, shape):
        if name is not None and name.endswith(
            "1.attention.output.dense.weight"
        ):
            return tensors[name].reshape(shape)
        return value(tensors, name, shape)

    monkeypatch.setattr(from_transformers, "_value", wrong)
    with pytest.raises(ValueError, match="does not compute what transf"):
        keras_longvideo.from_preset(folder)


def test_an_interrupted_export_changes_nothing(folder, monkeypatch):
    import safetensors.numpy

    classifier = keras_longvideo.from_preset(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    for place in (folder, folder.parent / "new"):
        with pytest.raises(KeyboardInterrupt):
            models.export_to_transformers(classifier, place)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert os.listdir(folder.parent) == ["model"]


def test_a_preset_of_keras_replaces_one_of_transformers(folder):
    classifier = keras_longvideo.from_preset(folder)
    shutil.copytree(folder, folder.parent / "copy")
    classifier.save_to_preset(folder.parent / "copy")
    again = keras_longvideo.from_preset(folder.parent / "copy")
    assert again.labels == classifier.labels


SCRIPT = """
import sys

sys.modules["torch"] = sys.modules["transformers"] = None

import keras_longvideo

print(keras_longvideo.from_preset(sys.argv[1]).labels)
"""


@pytest.mark.backend_free
@pytest.mark.slow
def test_loading_needs_neither_transformers_nor_torch(folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'class 4'" in done.stdout

"""What the written model card says."""

import pytest
import yaml

from keras_longvideo.hub import model_card

pytestmark = pytest.mark.backend_free

HANDLE = "hf://someone/some_model"


def front_matter(card):
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def test_classifier(preset):
    card = model_card(preset, HANDLE, license="apache-2.0")
    assert front_matter(card) == {
        "library_name": "keras-hub",
        "pipeline_tag": "video-classification",
        "license": "apache-2.0",
        "tags": ["keras", "keras-longvideo", "video"],
    }
    for text in (
        "\n# some_model\n",
        "`ViViTVideoClassifier` on a `ViViTBackbone`",
        f'keras_longvideo.from_preset("{HANDLE}")',
        "| Parameters of the backbone | 1,234,567 |",
        "| `num_frames` | `32` |",
        "| `image_shape` | `[64, 48, 3]` |",
        "| `tubelet_size` | `[2, 16, 16]` |",
        '| `pooling` | `"mean"` |',
        "| `dtype` | `bfloat16` |",
    ):
        assert text in card
    assert "vivit_backbone" not in card
    assert "which license" not in card


def test_backbone_alone(preset):
    (preset / "task.json").unlink()
    (preset / "metadata.json").unlink()
    card = model_card(preset, HANDLE)
    matter = front_matter(card)
    assert matter["pipeline_tag"] == "feature-extraction"
    assert "license" not in matter
    assert "A `ViViTBackbone`, saved as" in card
    assert "Parameters" not in card
    assert "under which license it comes" in card


def test_bad_license(preset):
    with pytest.raises(ValueError, match="`license`.*'Apache 2.0'"):
        model_card(preset, HANDLE, license="Apache 2.0")


def test_own_sections_of_a_built_in_preset(preset):
    card = model_card(
        preset,
        "some_model",
        sections={"Data": "Rendered shapes.\n", "Limits": "No real footage."},
    )
    assert "\n# some_model\n" in card
    assert 'keras_longvideo.from_preset("some_model")' in card
    assert card.endswith(
        "\n\n## Data\n\nRendered shapes.\n\n## Limits\n\nNo real footage.\n"
    )
    assert "not known" not in card


def test_an_empty_section(preset):
    with pytest.raises(ValueError, match=r"`sections`.*\['Limits'\]"):
        model_card(preset, HANDLE, sections={"Data": "Shapes.", "Limits": " "})


@pytest.mark.parametrize("handle", ["Some Model", "someone/some_model", None])
def test_neither_handle_nor_name(preset, handle):
    with pytest.raises(ValueError, match="`handle` must"):
        model_card(preset, handle)

import dataclasses
import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("compiles JAX programs", allow_module_level=True)

import jax
import plan_memory
from absl.testing import flagsaver

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "plan_memory.py"
GIB = 2**30

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason='needs the compiler for TPUs: pip install "jax[tpu]"',
)


def run(*flags, check=True):
    """Runs the tool as a user does."""
    return subprocess.run(
        [sys.executable, str(TOOL), *flags],
        capture_output=True,
        text=True,
        timeout=1500,
        check=check,
    )


def plan(*flags):
    return json.loads(run("--json", *flags).stdout.splitlines()[-1])


def plan_here(batch_size=4, **flags):
    """The plan of a tiny encoder for this CPU, in this process."""
    if not flagsaver.flags.FLAGS.is_parsed():
        flagsaver.flags.FLAGS(["plan_memory"])
    tiny = {"preset": "short_vivit_tiny", "text_tower": "tiny"}
    with flagsaver.flagsaver(**{**tiny, **flags}):
        result = plan_memory.plan(
            plan_memory.build_retriever(), batch_size, jax.local_devices()
        )
    return dataclasses.asdict(result)


def test_flops_of_encoding_are_those_of_the_formula():
    result = plan_here(batch_size=2, mode="encode", mask_rate=0.5)
    tokens, dim, layers, width = 8 * 4 * 4, 128, 4, 512
    block = 8 * tokens * dim**2 + 4 * tokens**2 * dim + 4 * tokens * dim * width
    embedding = 2 * tokens * (2 * 16 * 16 * 3) * dim
    projection = 2 * dim * 256
    assert result["flops"] == 2 * (embedding + layers * block + projection)
    # Nothing is masked outside of training.
    assert result["tokens"] == result["keep_tokens"] == tokens


def test_flags_change_the_plan_as_they_should():
    everything = plan_here(batch_size=8)
    assert everything["fits"] and everything["num_devices"] == 1
    # Weights, and two of AdamW's for each: 4 bytes each.
    assert everything["argument_bytes"] > 3 * 4 * 1.5e6
    masked = plan_here(batch_size=8, mask_rate=0.75)
    # As a preset that was trained with masking has it.
    as_saved = plan_here(batch_size=8, preset="short_vivit_tiny_shapes_masked")
    assert as_saved["keep_tokens"] == masked["keep_tokens"]
    assert masked["keep_tokens"] * 4 == everything["keep_tokens"]
    assert masked["flops"] < everything["flops"]
    assert masked["temporary_bytes"] < everything["temporary_bytes"]
    microbatches = plan_here(batch_size=8, microbatch_size=2)
    frozen = plan_here(batch_size=8, trainable_layers=1)
    assert microbatches["flops"] > everything["flops"] > frozen["flops"]
    assert frozen["temporary_bytes"] < everything["temporary_bytes"]


# Of a clip of 8 x 64 x 64: 4 x 4 x 4 tubelets of 2 x 16 x 16.
VARIANTS = {
    "frame": ({"attention": "frame", "tubelet_size": [1, 16, 16]}, 128),
    "factorized": ({"attention": "factorized"}, 64),
    "coarse": ({"tubelet_size": [4, 32, 32]}, 8),
    "tubes": ({"tubes": True}, 4 + 4 + 4 + 16),
    "adapters": ({"adapter_dim": 8}, 64),
    "lora": ({"lora_rank": 2}, 64),
    "temporal": ({"attention": "factorized", "temporal_only": True}, 64),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_paper(name):
    variant, tokens = VARIANTS[name]
    clip = {"num_frames": 8, "image_size": 64, "mask_rate": 0.75}
    result = plan_here(**clip, **variant)
    assert result["tokens"] == tokens and result["fits"]
    assert result["keep_tokens"] * 4 == tokens
    if name in ("adapters", "lora", "temporal"):
        # Without AdamW's two of most weights, and the products of their
        # gradients.
        attention = {k: v for k, v in variant.items() if k == "attention"}
        full = plan_here(**clip, **attention)
        saved = full["argument_bytes"] - result["argument_bytes"]
        assert saved > 2 * 4 * 0.7e6
        assert result["flops"] < full["flops"]


def test_few_places_are_dropped_as_the_masking_drops_them():
    """A share of the places of a frame is rounded, not that of all tokens."""
    clip = {"num_frames": 8, "image_size": 48, "mask_rate": 0.75}
    assert plan_here(**clip)["keep_tokens"] == 9
    assert plan_here(**clip, attention="frame")["keep_tokens"] == 4 * 2


def test_the_tool_says_whether_it_fits():
    flags = ("--preset=short_vivit_tiny", "--num_frames=4", "--image_size=32")
    flags += ("--text_tower=tiny", "--topology=local", "--mode=encode")
    text = run(*flags).stdout
    assert "batch 1: " in text and "fits on 1 x local" in text
    keys = {"fits", "peak_bytes", "memory_bytes", "flops", "num_devices"}
    assert {*keys, "keep_tokens"} <= set(plan(*flags))


def test_a_chip_that_there_is_not():
    failed = run("--topology=v99", check=False)
    assert failed.returncode != 0
    assert "`topology` must be 'local', a chip such as 'v5e'" in failed.stderr


@needs_libtpu
@pytest.mark.slow
def test_the_largest_batch_is_the_largest():
    flags = (
        "--preset=short_vivit_tiny",
        "--text_tower=tiny",
        "--mode=encode",
        "--num_frames=2048",
        "--image_size=512",
        "--topology=v5e",
    )
    best = plan(*flags, "--largest_batch")
    assert best["fits"] and best["batch_size"] >= 2
    assert plan(*flags, f"--batch_size={best['batch_size'] + 1}")["fits"] is (
        False
    )


# Lengths of a token, a tubelet and a feed-forward layer in ViT-B, ViT-L and
# BERT, and its vocabulary: axes that are no axis of tokens.
WIDTHS = {768, 1024, 1536, 3072, 4096, 30522}


def plan_for_tpu(tmp_path, *flags):
    """A plan; and checks that nothing in it grows as tokens squared."""
    program = tmp_path / "program.txt"
    result = plan(*flags, f"--hlo={program}")
    if result["fits"]:
        tokens = result["keep_tokens"] // result["num_devices"]
        shapes = set(re.findall(r"\w+\[([\d,]+)\]", program.read_text()))
        for shape in shapes:
            axes = [x for x in map(int, shape.split(",")) if x not in WIDTHS]
            of_tokens = [x for x in axes if x >= tokens]
            assert len(of_tokens) < 2, f"an array of shape [{shape}]"
    return result


VIT_B = ("--preset=short_vivit_base", "--batch_size=8", "--topology=v5e")


@needs_libtpu
@pytest.mark.slow
def test_masking_saves_activations(tmp_path):
    """ViT-B, 16 frames, batch 8, all layers tuned."""
    everything = plan_for_tpu(tmp_path, *VIT_B)
    masked = plan_for_tpu(tmp_path, *VIT_B, "--mask_rate=0.75")
    assert everything["temporary_bytes"] > 3 * masked["temporary_bytes"]


@needs_libtpu
@pytest.mark.slow
def test_freezing_saves_activations(tmp_path):
    """ViT-B, 128 frames, 75 % masked: all layers, and the last four.

    Four of twelve layers keep a third; what a backward pass works with is the
    same for both.
    """
    flags = (
        "--preset=long_vivit_base",
        "--num_frames=128",
        "--batch_size=8",
        "--mask_rate=0.75",
        "--topology=v5e",
    )
    everything = plan_for_tpu(tmp_path, *flags)
    last = plan_for_tpu(tmp_path, *flags, "--trainable_layers=4")
    assert everything["temporary_bytes"] > 2.5 * last["temporary_bytes"]


VIT_L = (
    "--preset=long_vivit_large",
    "--mask_rate=0.75",
    "--trainable_layers=4",
    "--remat",
    "--topology=v5e",
)


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [("--batch_size=16",), ("--batch_size=64", "--microbatch_size=8")]
)
def test_large_batches_of_256_frames_fit(tmp_path, flags):
    assert plan_for_tpu(tmp_path, *VIT_L, *flags)["fits"]


@needs_libtpu
@pytest.mark.slow
def test_an_hour_fits_one_chip(tmp_path):
    result = plan_for_tpu(tmp_path, *VIT_L, "--num_frames=3600")
    assert result["keep_tokens"] == 115_200
    assert result["fits"] and result["peak_bytes"] <= 12 * GIB


@needs_libtpu
@pytest.mark.slow
def test_an_hour_unmasked_is_encoded_by_four_chips(tmp_path):
    result = plan_for_tpu(
        tmp_path,
        "--preset=long_vivit_large",
        "--num_frames=3600",
        "--mode=encode",
        "--topology=v5e:2x2",
        "--parallel=sequence",
    )
    assert result["tokens"] == 460_800 and result["num_devices"] == 4
    assert result["fits"]

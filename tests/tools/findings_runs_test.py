"""The list of the findings' runs, and the folders that they lie in."""

import dataclasses
import json

import pytest
from findings import claims
from findings import folders as folders_lib
from findings import plots
from findings import results
from findings import runs
from findings import training_job

import keras_longvideo

pytestmark = pytest.mark.backend_free

SMOKE = runs.SCALES["smoke"]


def test_every_run_starts_from_one_that_comes_before_it():
    seen = set()
    for run in runs.RUNS.values():
        assert run.start is None or run.start in seen
        seen.add(run.name)
    assert set(runs.RUNS_OF) == set(runs.FINDINGS) == set("abcdefg")


def test_runs_of_one_name_are_one_run():
    for several in runs.RUNS_OF.values():
        for run in several:
            assert runs.RUNS[run.name] == run
    # And no two names have one recipe.
    recipes = [
        json.dumps({**results.recipe(run, SMOKE)["runs"][0], "name": None})
        for run in runs.RUNS.values()
    ]
    assert len(set(recipes)) == len(recipes)


@pytest.mark.parametrize("finding", runs.FINDINGS)
def test_a_finding_has_the_runs_of_its_claims(finding):
    names = {run.name for run in runs.RUNS_OF[finding]}
    of_claims = [c.terms for c in claims.CLAIMS if c.finding == finding]
    assert of_claims
    for terms in of_claims:
        assert set(terms) <= names


def test_runs_of_a_claim_take_as_many_steps_at_the_same_rate():
    for claim in claims.CLAIMS:
        compared = [runs.RUNS[name] for name in claim.terms]
        assert len({run.stage for run in compared}) == 1
        if not claim.text.startswith(claims.BEYOND):
            # Or none at all.
            assert {run.steps_factor for run in compared} <= {0, 1}


def test_what_is_drawn_are_runs():
    # Of others nothing would be drawn, without a word.
    assert {run for _, run, _ in plots.MORE_STEPS.values()} <= set(runs.RUNS)


def test_tokens_of_what_is_compared_at_equal_tokens():
    count = {name: runs.tokens(run) for name, run in runs.RUNS.items()}
    # 8 x 4 x 4 tubelets of 2 x 16 x 16 in 16 frames of 64 x 64.
    assert count["short_joint"] == count["scratch_joint"] == 128
    assert count["short_frame"] == 256 and count["image"] == 16
    assert count["scratch_4x16x16"] == count["scratch_joint_mask50"] == 64
    assert count["scratch_2x32x32"] == count["scratch_joint_mask75"] == 32
    assert count["scratch_4x32x32"] == count["scratch_joint_mask87_5"] == 16
    # Four tubes, four, four and sixteen; and with twice as many of two kinds.
    assert count["scratch_tubevit"] == 28
    assert count["scratch_tubes_16_frames"] == 36
    # A tenth of 16 places is 2, in each of 8 times or 16 frames.
    assert count["short_factorized_mask90"] == 16
    assert count["short_frame_mask90"] == 32
    assert count["long_joint"] == 128 * 16 / 4
    # Four times the steps on a quarter of the tokens, and then all of them.
    longer = runs.RUNS["short_joint_mask75_longer"]
    assert count[longer.name] * longer.steps_factor == 128
    assert count["short_joint_mask75_longer_unmasked_end"] == 128
    assert count["short_joint_longer"] == 128
    assert runs.RUNS["short_joint_longer"].steps_factor == 2


@pytest.mark.parametrize(
    "name", [run.name for run in runs.RUNS.values() if run.steps_factor]
)
def test_every_run_with_steps_is_a_stage(name, tmp_path):
    run = runs.RUNS[name]
    for scale in runs.SCALES.values():
        folders = folders_lib.Folders(tmp_path, tmp_path / "report", scale)
        stage = training_job.make_stage(run, 1, folders)
        assert stage.seed == 1 and stage.steps == scale.num_steps(run)
        assert stage.steps % stage.interval == 0
        assert stage.evaluate_every <= stage.steps
        assert scale.held_out % stage.evaluation_batch_size == 0
        if run.start is None:
            assert stage.preset in keras_longvideo.list_presets()
            assert stage.vocabulary is not None
        else:
            assert stage.preset == str(folders.preset(run.start, 1))
        json.loads(stage.to_json())


def test_another_recipe_lies_in_another_folder(tmp_path, monkeypatch):
    full, smoke = (
        folders_lib.Folders(tmp_path, tmp_path, runs.SCALES[name])
        for name in ("full", "smoke")
    )
    assert full.run("image", 0) != smoke.run("image", 0)
    assert full.set_of("image") != smoke.set_of("image")
    before = full.run("short_joint", 0), full.run("long_joint", 0)
    rates = {**runs.LEARNING_RATES, "short": 0.5}
    monkeypatch.setattr(runs, "LEARNING_RATES", rates)
    # With it all that starts from it, and nothing else.
    assert full.run("short_joint", 0) != before[0]
    assert full.run("long_joint", 0) != before[1]
    image = full.run("image", 0)
    monkeypatch.undo()
    assert full.run("image", 0) == image
    # Longer training on long videos is nothing to the others.
    scale = runs.SCALES["full"]
    scale = dataclasses.replace(
        scale,
        steps={**scale.steps, "long": 1},
        videos={**scale.videos, "long": 2},
    )
    longer = folders_lib.Folders(tmp_path, tmp_path, scale)
    assert longer.run("short_joint", 0) == before[0]
    assert longer.run("long_joint", 0) != before[1]

"""The verdicts and the table of the findings, and the tool that makes them."""

import json
import math

import pytest
import scipy.stats
from absl import app
from absl.testing import flagsaver
from findings import claims
from findings import folders as folders_lib
from findings import plots
from findings import processes
from findings import report
from findings import results
from findings import runs
from findings import training_job
from findings import verdicts

import keras_longvideo
from keras_longvideo.data.wording import WORDS

pytestmark = pytest.mark.backend_free

SMOKE = runs.SCALES["smoke"]


# Verdicts.


def result(run, seed, **scores):
    """A result, of Recall@1 in percent."""
    return {
        "run": run,
        "seed": seed,
        "metrics": {
            f"{name}/text_to_video/recall@1": score / 100
            for name, score in scores.items()
        },
        "steps": 10,
        "seconds": 3.0,
        "device": "an abacus",
        "oracles": {
            name: {
                "single_frame": 0.5,
                "shuffled_frames": 0.6,
                "sixteen_frames": 0.7,
            }
            for name in scores
        },
        "recipe": results.recipe(runs.RUNS[run], SMOKE),
    }


def seeds_of(run, metric, scores):
    return [result(run, i, **{metric: score}) for i, score in enumerate(scores)]


A, B = "short_joint", "short_frame"


def judge(a, b, metric="temporal", **bounds):
    claim = verdicts.Claim("a", "", "", metric, {A: 1, B: -1}, **bounds)
    found = {A: seeds_of(A, metric, a), B: seeds_of(B, metric, b)}
    return verdicts.judge(claim, found)


# Of 50, 52, 54 the variance is 4, of 20, 20, 20 it is 0: the difference of 32
# has a standard error of sqrt(4 / 3) = 1.1547. Its spread is one run's, of 3
# seeds: 2 degrees of freedom, for which tables of Student's t have 4.303.
@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ({"least": 20.0}, "yes"),
        ({"least": 27.0}, "yes"),
        ({"least": 27.1}, "rather yes"),
        ({"least": 32.1}, "rather no"),
        ({"least": 37.0}, "no"),
        ({"least": 26.0, "most": 36.9}, "rather yes"),
        ({"least": 26.0, "most": 37.0}, "yes"),
        ({"most": 27.0}, "no"),
    ],
)
def test_a_verdict_is_decided_by_mean_and_spread(bounds, holds):
    verdict = judge([50, 52, 54], [20, 20, 20], **bounds)
    assert verdict.value == pytest.approx(32)
    assert verdict.margin == pytest.approx(4.303 * 1.1547, rel=1e-3)
    assert (verdict.num_seeds, verdict.holds) == (3, holds)


def test_a_verdict_needs_two_seeds_of_each_run():
    verdict = judge([50, 52, 54], [20], least=0.0)
    assert verdict.value == pytest.approx(32)
    assert (verdict.margin, verdict.num_seeds) == (None, 1)
    assert verdict.holds == "open"
    assert judge([50, 52], [], least=0.0) == verdicts.Verdict(
        None, None, 0, "open"
    )
    # Of one degree of freedom: 12.706.
    verdict = judge([50, 52], [20, 20], least=0.0)
    assert verdict.margin == pytest.approx(12.706, rel=1e-3)
    assert verdict.holds == "yes"


def test_each_run_has_its_own_spread_and_number_of_seeds():
    # Variances of 4 over 3 and of 18 over 2 seeds: 4/3 and 9 for the means,
    # and by Welch and Satterthwaite (31/3)^2 / ((4/3)^2 / 2 + 9^2) degrees.
    first, second = [50, 52, 54], [17, 23]
    expected = scipy.stats.ttest_ind(first, second, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    verdict = judge(first, second, least=0.0)
    assert expected.df == pytest.approx(1.304, rel=1e-3)
    assert verdict.margin == pytest.approx((high - low) / 2)
    assert judge([50, 50], [20, 20], least=30.0).margin == 0


def test_a_claim_may_compare_differences():
    runs_ = ("short_joint_mask75", "short_joint")
    others = ("short_frame_mask75", "short_frame")
    claim = next(c for c in claims.CLAIMS if set(c.terms) == {*runs_, *others})
    scores = {
        "short_joint_mask75": [(69, 49), (71, 51)],
        "short_joint": [(70, 50), (72, 52)],
        "short_frame_mask75": [(50, 20), (50, 20)],
        "short_frame": [(60, 30), (60, 30)],
    }
    found = {
        run: [
            result(run, seed, spatial=spatial, temporal=temporal)
            for seed, (spatial, temporal) in enumerate(several)
        ]
        for run, several in scores.items()
    }
    # Means of both sets: 59 and 61, 60 and 62, 35, 45. Masking costs joint 1
    # point and frames 10; two variances of 2 over two seeds make the error,
    # with 2 degrees of freedom.
    verdict = verdicts.judge(claim, found)
    assert verdict.value == pytest.approx(10 - 1)
    assert verdict.margin == pytest.approx(4.303 * math.sqrt(2), rel=1e-3)
    assert verdict.holds == "yes"


# The table.


def write(folder, made):
    folder.mkdir(parents=True, exist_ok=True)
    path = results.path_of(folder, made["run"], made["seed"])
    path.write_text(json.dumps(made))


def test_the_report_tells_of_partial_results(tmp_path):
    for seed, temporal in enumerate((50, 52, 54)):
        made = result("short_joint", seed, spatial=60, temporal=temporal)
        write(tmp_path / "results", made)
    for seed in range(3):
        made = result("short_frame", seed, spatial=62 + seed, temporal=20)
        write(tmp_path / "results", made)
    made = result("short_factorized", 0, spatial=61, temporal=40)
    write(tmp_path / "results", made)
    made = result("image", 0, image=30)
    made["oracles"]["image"] = {"single_frame": 1.0}
    write(tmp_path / "results", made)
    # Of an earlier recipe.
    made = result("short_lora", 0, spatial=99, temporal=99)
    made["recipe"]["weight_decay"] = 123
    write(tmp_path / "results", made)
    (tmp_path / "notes.md").write_text("## Why\n\nFor reasons.\n")

    path = report.write_report(tmp_path, SMOKE)
    lines = path.read_text("utf-8").splitlines()
    text = "\n".join(lines)
    total = 3 * len(runs.RUNS)
    assert f"8 of {total} runs are done. 1 files" in text
    rows = [line for line in lines if line.startswith("| (")]
    assert len(rows) == len(claims.CLAIMS)
    assert rows[0].endswith("| +32.0 ± 5.0 | 3 | **yes** |")
    # 60 less 63, 1 or less either way: the range ends at -3.
    assert rows[1].endswith("| -3.0 ± 2.5 | 3 | **rather yes** |")
    assert rows[2].endswith("| - | 0 | **open** |")
    assert (
        "| `short_joint` | a, b, d, e, f, g | `image` | 128 |  | 60.0 ± 0.0 "
        "| 52.0 ± 2.0 |  | 3 | 10 | 3 |" in lines
    )
    assert (
        "| `short_factorized` | b, e | `image` | 128 |  | 61.0 | 40.0 |  | 1 "
        "| 10 | 3 |" in lines
    )
    assert "| `image` | a, b, d, e, f, g | random weights | 16 | 30.0 |" in text
    assert "| *image* | 100.0 | - | - |" in lines
    assert "| *temporal* | 50.0 | 60.0 | 70.0 |" in lines
    assert "For reasons." in lines and "99" not in text
    assert "an abacus" in text
    assert "reproduce_findings.py --scale=smoke --report=FOLDER" in lines[-4]
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert {"video_first.png", "masking.png"} <= drawn
    assert "long.png" not in drawn and all(f"({n})" in text for n in drawn)


def test_all_plots_are_drawn(tmp_path):
    found = {}
    for i, (name, run) in enumerate(runs.RUNS.items()):
        held_out = runs.HELD_OUT[run.stage]
        found[name] = [
            result(name, seed, **dict.fromkeys(held_out, i + seed))
            for seed in range(2)
        ]
    captions = plots.draw_all(found, tmp_path)
    assert len(captions) == 6
    for name in captions:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / name).stat().st_size < 100_000


def test_bars_are_drawn_where_there_are_some_to_compare(tmp_path):
    scores = {"spatial": 90, "temporal": 60}
    found = {"short_joint": [result("short_joint", 0, **scores)]}
    assert set(plots.draw_all(found, tmp_path)) <= {"masking.png"}
    found["short_frame"] = [result("short_frame", 0, **scores)]
    assert "video_first.png" in plots.draw_all(found, tmp_path)


def test_a_report_without_results(tmp_path):
    path = report.write_report(tmp_path, SMOKE)
    total = 3 * len(runs.RUNS)
    assert f"0 of {total} runs are done." in path.read_text("utf-8")
    assert not list(tmp_path.glob("*.png"))


# The tool.


@pytest.fixture
def tool(tmp_path):
    import reproduce_findings

    if not flagsaver.flags.FLAGS.is_parsed():
        flagsaver.flags.FLAGS(["reproduce_findings"])
    with flagsaver.flagsaver(
        findings_output=str(tmp_path / "output"),
        report=str(tmp_path / "report"),
        scale="smoke",
    ):
        yield reproduce_findings


def test_what_is_done_is_not_done_again(tool, tmp_path):
    folders = folders_lib.Folders(
        tmp_path / "output", tmp_path / "report", SMOKE
    )
    everything = tool.choose(runs.FINDINGS, [0, 1, 2], folders)
    assert len(everything) == len(set(everything)) == 3 * len(runs.RUNS)
    # "a" and "d" with all seeds before the others with one.
    main = {run.name for f in ("a", "d") for run in runs.RUNS_OF[f]}
    seeds = [seed for seed in (0, 1, 2) for _ in main]
    first, others = everything[: len(seeds)], everything[len(seeds) :]
    assert {name for name, _ in first} == main
    assert [seed for _, seed in first] == seeds
    assert [seed for _, seed in others] == sorted(seed for _, seed in others)
    names = [name for name, _ in everything]
    assert names.index("short_frame") < names.index("long_last_layers")

    chosen = tool.choose(["d"], [1], folders)
    assert chosen[0] == ("image", 1) and ("long_last_layers", 1) in chosen
    for name, seed in chosen:
        if name != "long_last_layers":
            write(folders.results, result(name, seed))
    # The results are there, and the presets they came of are not.
    assert tool.choose(["d"], [1], folders) == [
        ("image", 1),
        ("short_joint", 1),
        ("long_last_layers", 1),
    ]
    folders.preset("short_joint", 1).mkdir(parents=True)
    assert len(tool.choose(["d"], [1], folders)) == 3
    # Whole, from here on.
    (folders.preset("short_joint", 1) / "config.json").touch()
    assert tool.choose(["d"], [1], folders) == [("long_last_layers", 1)]
    write(folders.results, result("long_last_layers", 1))
    assert tool.choose(["d"], [1], folders) == []


def test_failed_runs_are_shown_with_their_last_lines(
    tool, tmp_path, monkeypatch, capsys
):
    folders = folders_lib.Folders(
        tmp_path / "output", tmp_path / "report", SMOKE
    )

    class Worker:
        def __init__(self, command, log_of, environment):
            assert command[-1] == "--serve"
            self.log_of = log_of

        def do(self, job):
            self.log_of(job).write_text("one\ntwo\nout of memory\n")
            return not job.startswith("short_joint:")

        def stop(self):
            pass

    monkeypatch.setattr(processes, "ProcessWorker", Worker)
    chosen = tool.choose(["d"], [0], folders)
    ends = tool.train_all(chosen, folders, num_workers=2, time_limit=None)
    failed = {name for (name, _), how in ends.items() if how == "failed"}
    assert failed == {
        *("short_joint", "long_last_layers", "long_joint_16_frames"),
        *("long_last_layers_16_frames", "long_joint_untuned"),
    }
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    at = next(i for i, x in enumerate(lines) if "short_joint:0 failed:" in x)
    assert [x.strip() for x in lines[at + 1 : at + 4]] == [
        "one",
        "two",
        "out of memory",
    ]
    # What did not begin has no log.
    assert "it did not begin: what it starts from failed" in "\n".join(lines)


def test_full_results_do_not_take_the_place_of_small_ones(tool):
    with (
        flagsaver.flagsaver(scale="full", report="docs/findings"),
        pytest.raises(app.UsageError, match="--report of its own"),
    ):
        tool.main(["reproduce_findings.py"])
    with pytest.raises(app.UsageError, match=r"Unexpected.*\['1'\]"):
        tool.main(["reproduce_findings.py", "1"])
    with pytest.raises(app.UsageError, match=r"Received: \['z'\]"):
        tool.choose(["a", "z"], [0], None)


def vocabulary():
    return folders_lib.VOCABULARY.read_text("utf-8").splitlines()


def test_the_vocabulary_has_all_words_of_the_sets():
    assert set(WORDS) <= set(vocabulary())
    assert len(vocabulary()) == len(set(vocabulary()))


@pytest.mark.slow
def test_runs_are_trained(tool, tmp_path):
    folders = folders_lib.Folders(
        tmp_path / "output", tmp_path / "report", SMOKE
    )
    names = ("image", "short_joint", "long_joint_untuned")
    folders_lib.prepare_sets(folders, [runs.RUNS[name] for name in names])
    for name in names:
        training_job.train(runs.RUNS[name], 0, folders)
    found, others = results.read(folders.results, SMOKE)
    assert set(found) == set(names) and not others
    made = found["short_joint"][0]
    for split in ("spatial", "temporal"):
        assert 0 <= made["metrics"][f"{split}/text_to_video/recall@1"] <= 1
        assert 0 < made["oracles"][split]["single_frame"] <= 1
    assert made["steps"] == 2 and made["seconds"] > 0
    # Trained again, as a start of others, it leaves the result that is there.
    path = folders.result(made["run"], 0)
    path.write_text(json.dumps({**made, "device": "another"}))
    training_job.train(runs.RUNS[made["run"]], 0, folders)
    assert json.loads(path.read_text())["device"] == "another"
    preset = keras_longvideo.from_preset(folders.preset(made["run"], 0))
    assert preset.backbone.tubelet_size == (2, 16, 16)
    assert preset.backbone.num_layers == SMOKE.num_layers
    # The words of all sets are known from the first stage on.
    assert preset.preprocessor.tokenizer.get_vocabulary() == vocabulary()
    # That preset, as it is, on longer videos with longer captions.
    measured = found["long_joint_untuned"][0]
    assert (measured["steps"], measured["loss"]) == (0, None)
    manifest = folders.manifest("long", is_held_out=True)
    longer = keras_longvideo.from_preset(
        folders.preset("short_joint", 0), num_frames=256
    )
    longer.preprocessor.sequence_length = 20
    expected = longer.evaluate(
        keras_longvideo.data.read_manifest(manifest), verbose=0
    )
    for name, score in expected.items():
        assert measured["metrics"][f"long/{name}"] == pytest.approx(score)
    assert not folders.run("long_joint_untuned", 0).exists()
    report.write_report(folders.findings, SMOKE)

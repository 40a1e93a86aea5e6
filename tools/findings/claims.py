"""What the paper claims, and the rule that decides whether it holds here."""

import dataclasses
import math
import statistics

import scipy.stats

from findings import runs

# How sure a "yes" or "no" is to be, as far as chance between seeds goes.
CONFIDENCE = 0.95

# Points of what the paper calls large without a number: a fall "well below",
# or something that is "lost".
LARGE = 10.0

# What is measured, and the held-out sets whose Recall@1 it is the mean of.
METRICS = {
    "image": ("image",),
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "short": ("spatial", "temporal"),
    "long": ("long",),
}

# How claims begin that are not the paper's.
BEYOND = "Not of the paper:"

YES, RATHER_YES, RATHER_NO, NO = "yes", "rather yes", "rather no", "no"
OPEN = "open"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper, as a sum of scores and the range it should be in.

    Args:
        finding: string. Its letter.
        text: string. What the paper claims.
        seen_as: string. What is compared here, in words.
        metric: string. A key of `METRICS`.
        terms: dict. The factor of each run's score in the sum.
        least: float. Percentage points that the sum should at least be.
        most: float. Percentage points that it should at most be.
    """

    finding: str
    text: str
    seen_as: str
    metric: str
    terms: dict
    least: float = -math.inf
    most: float = math.inf


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a claim holds here.

    Args:
        value: float or None. The sum, in points; None with a run missing.
        margin: float or None. Half of its confidence interval; None with a
            single seed.
        num_seeds: int. Of the run that has the fewest.
        holds: string.
    """

    value: float | None
    margin: float | None
    num_seeds: int
    holds: str


def scores_of(results, run, metric):
    """A run's scores, in percent, of all seeds that have them.

    Args:
        results: dict of a list of results for each run.
        run: string. Its name.
        metric: string. A key of `METRICS`.

    Returns:
        A list of floats.
    """
    keys = [f"{name}/text_to_video/recall@1" for name in METRICS[metric]]
    return [
        100 * statistics.fmean(result["metrics"][key] for key in keys)
        for result in results.get(run, [])
        if all(key in result["metrics"] for key in keys)
    ]


def judge(claim, results):
    """Decides by mean and spread over the seeds whether a claim holds.

    The sum has a confidence interval as Welch's t-test has it: each run
    with its own spread and number of seeds. "Yes": all of the interval is in
    the range. "No": none of it is. Else "rather yes" or "rather no", as the
    sum itself is in the range or not. Fewer than two seeds decide nothing.

    Args:
        claim: `Claim`.
        results: dict of a list of results for each run.

    Returns:
        A `Verdict`.
    """
    scores = {run: scores_of(results, run, claim.metric) for run in claim.terms}
    num_seeds = min(map(len, scores.values()))
    if not num_seeds:
        return Verdict(None, None, 0, OPEN)
    value = sum(
        factor * statistics.fmean(scores[run])
        for run, factor in claim.terms.items()
    )
    if num_seeds < 2:
        return Verdict(value, None, num_seeds, OPEN)
    margin = _margin(
        [
            (
                factor**2 * statistics.variance(several) / len(several),
                len(several),
            )
            for several, factor in zip(
                scores.values(), claim.terms.values(), strict=True
            )
        ]
    )
    low, high = value - margin, value + margin
    if claim.least <= low and high <= claim.most:
        holds = YES
    elif high < claim.least or claim.most < low:
        holds = NO
    elif claim.least <= value <= claim.most:
        holds = RATHER_YES
    else:
        holds = RATHER_NO
    return Verdict(value, margin, num_seeds, holds)


def _margin(parts):
    """Half of the confidence interval of a sum of means.

    Args:
        parts: list of `(variance, n)`: of each mean, and over how many.
    """
    variance = sum(v for v, _ in parts)
    if not variance:
        return 0.0
    # Welch and Satterthwaite's.
    degrees = variance**2 / sum(v**2 / (n - 1) for v, n in parts)
    quantile = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, degrees)
    return float(quantile * math.sqrt(variance))


def _better(finding, text, seen_as, metric, run, other, least=0.0):
    return Claim(finding, text, seen_as, metric, {run: 1, other: -1}, least)


def _claims():
    joint, frame, long = "short_joint", "short_frame", "long_joint"
    yield _better(
        "a",
        "Video-first wins where the order of frames matters.",
        "*temporal*: joint over frame-level, by 20 points or more",
        "temporal",
        joint,
        frame,
        least=20.0,
    )
    yield Claim(
        "a",
        "Where single frames suffice, the two are level.",
        "*spatial*: joint less frame-level, within 3 points",
        "spatial",
        {joint: 1, frame: -1},
        least=-3.0,
        most=3.0,
    )
    yield _better(
        "a",
        "Video-first wins on long videos.",
        "*long*, 16 frames each: joint over frame-level",
        "long",
        "long_joint_16_frames",
        "long_frame_16_frames",
    )
    high = f"_mask{runs.percent(0.75)}"
    for metric in ("spatial", "temporal"):
        yield _better(
            "b",
            "Masking 75 % costs joint attention about a point.",
            f"*{metric}*: 75 % masked less unmasked, -2 points or more",
            metric,
            joint + high,
            joint,
            least=-2.0,
        )
    for start, text, name in (
        (
            joint + high,
            "a last part of the training on all tokens wins",
            "75 % masked",
        ),
        (
            f"{joint}{high}_longer",
            "training for as many tokens, and a last part on all of them, win",
            "75 % masked for four times the steps",
        ),
    ):
        for metric in ("spatial", "temporal"):
            yield _better(
                "b",
                f"{BEYOND} {text} back what masking costs.",
                f"*{metric}*: {name}, then a quarter of the steps on all, "
                "less unmasked, -2 points or more",
                metric,
                f"{start}_unmasked_end",
                joint,
                least=-2.0,
            )
    for metric in ("spatial", "temporal"):
        yield _better(
            "b",
            f"{BEYOND} in about as much time, masking costs little.",
            f"*{metric}*: 75 % masked for four times the steps, then a quarter "
            "of the steps on all, less unmasked for twice the steps, -2 points "
            "or more",
            metric,
            f"{joint}{high}_longer_unmasked_end",
            f"{joint}_longer",
            least=-2.0,
        )
    for kind, name in (("factorized", "factorised"), ("frame", "frame-level")):
        yield Claim(
            "b",
            f"Masking costs {name} encoders more than joint ones.",
            f"mean of *spatial* and *temporal*: what 75 % costs {name}, less "
            "what it costs joint",
            "short",
            {
                joint + high: 1,
                joint: -1,
                f"short_{kind}{high}": -1,
                f"short_{kind}": 1,
            },
            least=0.0,
        )
    for tubelet_size, rate in runs.COARSE.items():
        shape = "x".join(map(str, tubelet_size))
        yield _better(
            "c",
            "At as many tokens, masking loses less than coarse patches.",
            f"mean of *spatial* and *temporal*: {rate:.1%} masked over {shape}",
            "short",
            f"scratch_joint_mask{runs.percent(rate)}",
            runs.coarse_name(tubelet_size),
        )
    for run, name in (
        ("tubevit", "TubeViT, 32 tokens over 28"),
        ("tubes_16_frames", "tubes set for 16 frames, 32 tokens over 36"),
    ):
        yield _better(
            "c",
            "At about as many tokens, masking loses less than TubeViT.",
            f"mean of *spatial* and *temporal*: 75 % masked over {name}",
            "short",
            f"scratch_joint_mask{runs.percent(0.75)}",
            f"scratch_{run}",
        )
    for run, tuned in (
        ("long_joint_16_frames", "tuned in all layers"),
        ("long_last_layers_16_frames", "tuned in its last layers, too"),
    ):
        yield _better(
            "d",
            "LongViViT, on 256 frames, is better than ShortViViT on 16.",
            f"*long*: LongViViT over ShortViViT {tuned}, by 10 points or more",
            "long",
            "long_last_layers",
            run,
            least=10.0,
        )
    yield _better(
        "d",
        "LongViViT is better than ImageViT trained on long videos.",
        "*long*, 256 frames each: LongViViT over ImageViT",
        "long",
        "long_last_layers",
        "long_frame",
    )
    for name, are in (("adapters", "are"), ("LoRA", "is")):
        yield _better(
            "e",
            f"From image to short, {name} {are} well below tuning all.",
            f"*temporal*: all over {name}, by {LARGE:g} points or more",
            "temporal",
            joint,
            f"short_{name.lower()}",
            least=LARGE,
        )
    yield _better(
        "e",
        "From image to short, tuning attention over time alone is well below "
        "tuning all.",
        "*temporal*, factorised: all over attention over time alone, by "
        f"{LARGE:g} points or more",
        "temporal",
        "short_factorized",
        "short_temporal_only",
        least=LARGE,
    )
    yield _better(
        "e",
        "From image to short, adapters are better than LoRA.",
        "*temporal*: adapters over LoRA",
        "temporal",
        "short_adapters",
        "short_lora",
    )
    yield _better(
        "e",
        f"{BEYOND} from image to short, tuning the last layers alone is well "
        "below tuning all.",
        f"*temporal*: all over the last {runs.LAST_LAYERS} of "
        f"{runs.NUM_LAYERS} layers, by {LARGE:g} points or more",
        "temporal",
        joint,
        "short_last_layers",
        least=LARGE,
    )
    yield _better(
        "e",
        "From short to long, tuning the last layers loses nothing.",
        f"*long*: the last {runs.LAST_LAYERS} of {runs.NUM_LAYERS} layers "
        "less all, -2 points or more",
        "long",
        "long_last_layers",
        long,
        least=-2.0,
    )
    for run, text, seen_as, full in (
        ("adapters", "adapters lose", "adapters less all", long),
        ("lora", "LoRA loses", "LoRA less all", long),
        (
            "temporal_only",
            "tuning attention over time alone loses",
            "factorised, attention over time alone less all",
            "long_factorized",
        ),
    ):
        yield _better(
            "e",
            f"{BEYOND} from short to long, {text} nothing.",
            f"*long*: {seen_as}, -2 points or more",
            "long",
            f"long_{run}",
            full,
            least=-2.0,
        )
    for run, name in (
        ("masked_words", "Masked language modelling"),
        ("captions", "Captioning"),
    ):
        yield Claim(
            "f",
            f"{name} as a second loss does not help.",
            "mean of *spatial* and *temporal*: with it less without, "
            "1 point or less",
            "short",
            {f"short_{run}": 1, joint: -1},
            most=1.0,
        )
    yield _better(
        "g",
        "Without images beside the videos, what single frames show is lost.",
        f"*spatial*: with images over without, by {LARGE:g} points or more",
        "spatial",
        joint,
        "short_without_images",
        least=LARGE,
    )
    yield _better(
        "g",
        "Without videos, the order of frames is not learned.",
        f"*temporal*: with videos over without, by {LARGE:g} points or more",
        "temporal",
        joint,
        "short_without_videos",
        least=LARGE,
    )


CLAIMS = tuple(_claims())

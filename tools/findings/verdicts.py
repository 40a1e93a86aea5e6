"""The rule that decides whether a claim holds here."""

import dataclasses
import math
import statistics

import scipy.stats

# How sure a "yes" or "no" is to be, as far as chance between seeds goes.
CONFIDENCE = 0.95

# What is measured, and the held-out sets whose Recall@1 it is the mean of.
METRICS = {
    "image": ("image",),
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "short": ("spatial", "temporal"),
    "long": ("long",),
}

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

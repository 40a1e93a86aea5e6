"""What ideal observers could reach at most on a rendered set.

An oracle sees all that captions speak of in the frames that it is given, and
nothing else. Videos that it sees the same of are all one to it.
"""

from collections import Counter

import numpy as np


def see(scene, num_samples=16):
    """What each oracle sees of a scene.

    Args:
        scene: A `Scene`.
        num_samples: Int, the evenly spaced frames of the last oracle.

    Returns:
        Dict of tuples: what any one frame may show, all frames in no order,
        and some frames, evenly spaced over the video and in order, without
        those that show nothing. Entries can be compared and hashed.
    """
    frames = [scene.glimpses[picture] for picture in scene.order]
    frames = [None if glimpse is None else str(glimpse) for glimpse in frames]
    step = len(frames) / num_samples
    at = ((np.arange(num_samples) + 0.5) * step).astype(int)
    return {
        "single_frame": tuple(sorted(set(frames) - {None}) or [None]),
        "shuffled_frames": tuple(
            sorted((str(glimpse), n) for glimpse, n in Counter(frames).items())
        ),
        "sixteen_frames": tuple(frames[i] for i in at if frames[i] is not None),
    }


def oracle_scores(seen):
    """The Recall@1 that each oracle may expect on a set.

    It knows what it sees of the right video, and picks at random among all
    videos of which it sees the same. With a single frame it is given, of each
    video, the frame that fewest videos share.

    Args:
        seen: List with what `see` returns for each video.

    Returns:
        Dict of floats, 0 to 1: the mean over videos of 1 / (number of videos
        of which the oracle sees the same).
    """
    frames = [each["single_frame"] for each in seen]
    holders = Counter(glimpse for several in frames for glimpse in several)
    scores = {
        "single_frame": _mean(
            1 / min(holders[glimpse] for glimpse in several)
            for several in frames
        )
    }
    for name in ("shuffled_frames", "sixteen_frames"):
        groups = Counter(each[name] for each in seen)
        scores[name] = _mean(1 / groups[each[name]] for each in seen)
    return scores


def _mean(values):
    return round(float(np.mean(list(values))), 4)

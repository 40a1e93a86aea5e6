"""What ideal observers could reach at most on a rendered set.

An oracle sees all that captions speak of in the frames that it is given, and
nothing else. Videos that it sees the same of are all one to it.
"""

from collections import Counter

import numpy as np

# How often a scene is staged again to learn what else its caption may look
# like.
NUM_RESTAGED = 64


def see(scene):
    """What the oracles see of a scene.

    Args:
        scene: A `Scene`.

    Returns:
        Dict of tuples, which can be compared and hashed: all that one frame
        or another shows, and how many frames show what, in no order.
    """
    frames = [str(scene.glimpses[picture]) for picture in scene.order]
    return {
        "single_frame": tuple(sorted(set(frames))),
        "shuffled_frames": tuple(sorted(Counter(frames).items())),
    }


def see_sixteen(scene):
    """What 16 frames, evenly spaced, show of what captions speak of.

    Args:
        scene: A `Scene` whose glimpses differ wherever its frames do.

    Returns:
        Tuple of strings, in the order of the frames, without those that show
        nothing.
    """
    num_frames = len(scene.order)
    at = ((np.arange(16) + 0.5) * num_frames / 16).astype(int)
    glimpses = [scene.glimpses[picture] for picture in scene.order[at]]
    return tuple(str(glimpse) for glimpse in glimpses if glimpse is not None)


def score_frames(seen):
    """The Recall@1 that oracles of frames without order may expect.

    They know what they see of the right video, and pick at random among all
    videos of which they see the same. With a single frame an oracle is given,
    of each video, the frame that shows what fewest videos show.

    Args:
        seen: List with what `see` returns for each video.

    Returns:
        Dict of floats, 0 to 1: the mean over videos of 1 / (number of videos
        of which the oracle sees the same).
    """
    shown = Counter(
        glimpse for each in seen for glimpse in each["single_frame"]
    )
    groups = Counter(each["shuffled_frames"] for each in seen)
    return {
        "single_frame": _mean(
            1 / min(shown[glimpse] for glimpse in each["single_frame"])
            for each in seen
        ),
        "shuffled_frames": _mean(
            1 / groups[each["shuffled_frames"]] for each in seen
        ),
    }


def score_sixteen(seen, possible):
    """The Recall@1 that an oracle of 16 frames may expect, estimated.

    Of the videos that can be what a caption says, it takes the one that shows
    most of it, and picks at random where several do.

    Args:
        seen: List with what `see_sixteen` returns for each video.
        possible: List with the set of what `see_sixteen` may return for
            videos under the caption of each video, its own included.

    Returns:
        Float, 0 to 1.
    """
    credits = []
    for own, can_be in zip(seen, possible, strict=True):
        most = max(len(other) for other in seen if other in can_be)
        best = sum(len(each) == most and each in can_be for each in seen)
        credits.append((len(own) == most) / best)
    return _mean(credits)


def _mean(values):
    return round(float(np.mean(list(values))), 4)

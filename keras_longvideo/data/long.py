"""The long split: what came before what, after a bell, and how many times.

The scene is quiet but for short events, minutes apart. Every video comes with
a twin of the very same pictures in another order, under another caption.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import Thing
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.splits import Split
from keras_longvideo.data.splits import draw_backdrop
from keras_longvideo.data.splits import draw_distractors
from keras_longvideo.data.splits import name
from keras_longvideo.data.splits import select_things
from keras_longvideo.data.wording import COUNTS
from keras_longvideo.data.wording import Meaning

BELL = "bell"
BELL_FRAMES = 3
# Flashes share these frames, however many they are: no frame tells how many.
FLASHING_FRAMES = 12
# The fewest quiet frames between two flashes, and two events.
FLASH_GAP = 6
EVENT_GAP = 12


def _order(things, num_frames, rng):
    """One thing, and much later the other."""
    first, second = rng.integers(4, 9, size=2)
    blocks = [(things[0], first), (things[1], second)]
    twin_blocks = blocks[::-1]
    # At least this much of the video lies between them.
    gap = int(0.45 * num_frames)
    starts, twin_starts = (
        _place([length for _, length in each], gap, num_frames, rng, outer=0)
        for each in (blocks, twin_blocks)
    )
    return _timeline(blocks, starts, num_frames), _timeline(
        twin_blocks, twin_starts, num_frames
    )


def _bell(things, num_frames, rng):
    """Three events; a bell rings before the first or the second thing's."""
    other = _unlike(things, rng)
    blocks = [(t, rng.integers(4, 9)) for t in (*things, other)]
    blocks = [blocks[i] for i in rng.permutation(3)]
    # Room for the bell before each.
    starts = BELL_FRAMES + _place(
        [BELL_FRAMES + length for _, length in blocks],
        EVENT_GAP,
        num_frames,
        rng,
    )
    quiet = _timeline(blocks, starts, num_frames)
    timelines = []
    for thing in things:
        timeline = list(quiet)
        start = next(
            s for s, (t, _) in zip(starts, blocks, strict=True) if t == thing
        )
        timeline[start - BELL_FRAMES : start] = [BELL] * BELL_FRAMES
        timelines.append(timeline)
    return timelines


def _flashes(counted, num_frames, rng):
    """Things that each flash a number of times, in any order."""
    blocks = [
        (thing, FLASHING_FRAMES // count)
        for thing, count in counted
        for _ in range(count)
    ]
    blocks = [blocks[i] for i in rng.permutation(len(blocks))]
    starts = _place([n for _, n in blocks], FLASH_GAP, num_frames, rng)
    return _timeline(blocks, starts, num_frames)


def _place(lengths, gap, num_frames, rng, outer=4):
    """Draws where blocks start: `gap` frames or more apart, `outer` from ends.

    The frames that are left over are spread at random.
    """
    needed = np.array(lengths) + gap
    spare = num_frames - needed.sum() + gap - 2 * outer
    offsets = np.sort(rng.integers(spare + 1, size=len(lengths)))
    return outer + offsets + np.cumsum(needed) - needed


def _timeline(blocks, starts, num_frames):
    """What is to be seen in every frame: a thing, or `None`."""
    timeline = [None] * num_frames
    for (thing, length), start in zip(blocks, starts, strict=True):
        timeline[start : start + length] = [thing] * length
    return timeline


def _unlike(things, rng):
    """Draws a thing that shares no colour and no shape with others."""
    options = [
        thing
        for held_out in (False, True)
        for thing in select_things(0, held_out)
        if not any(
            thing.color == other.color or thing.shape == other.shape
            for other in things
        )
    ]
    return options[rng.integers(len(options))]


def _recipes(held_out):
    """Recipes `(sentence, things, counts)`."""
    ordered = combinations(select_things(0, held_out), 2)
    rung = combinations(select_things(1, held_out), 2)
    counted = select_things(2, held_out)
    tallied = combinations(select_things(3, held_out), 2)
    return [
        [("long before", pair, ()) for pair in ordered],
        [("bell", pair, ()) for pair in rung],
        [
            ("count", (thing,), counts)
            for thing in counted
            for counts in ((1, 3), (2, 4))
        ],
        [
            ("tally", pair, counts)
            for pair in tallied
            for counts in ((1, 3), (2, 4))
        ],
    ]


def _stage(recipe, num_frames, rng):
    sentence, things, counts = recipe
    names = tuple(name(thing) for thing in things)
    parts, twin_parts = names, names[::-1]
    if sentence == "long before":
        timelines = _order(things, num_frames, rng)
    elif sentence == "bell":
        timelines = _bell(things, num_frames, rng)
    elif sentence == "count":
        parts, twin_parts = ((*names, COUNTS[count]) for count in counts)
        timelines = [
            _flashes([(things[0], count)], num_frames, rng) for count in counts
        ]
    else:
        parts, twin_parts = (
            (names[0], COUNTS[n], names[1], COUNTS[m])
            for n, m in (counts, counts[::-1])
        )
        timelines = [
            _flashes(zip(things, each, strict=True), num_frames, rng)
            for each in (counts, counts[::-1])
        ]
    timeline, twin_timeline = timelines
    named = (BELL, *things)
    glimpses = tuple(str(g) if g in named else None for g in timeline)
    sprites = tuple(
        _show(thing, [shown == thing for shown in timeline], rng)
        for thing in dict.fromkeys(timeline)
        if isinstance(thing, Thing)
    )
    scene = Scene(
        Meaning(sentence, parts),
        draw_backdrop(rng),
        sprites,
        draw_distractors(sprites, num_frames, rng, count=2, num_places=8),
        order=np.arange(num_frames),
        glimpses=glimpses,
        bell=np.array([shown == BELL for shown in timeline]),
    )
    # Pictures are alike but for what they show, so that the twin's order can
    # take any that shows the right thing.
    shown = {None: 0, BELL: 1} | {s.thing: i + 2 for i, s in enumerate(sprites)}
    ranks, twin_ranks = (
        np.argsort([shown[each] for each in line], kind="stable")
        for line in (timeline, twin_timeline)
    )
    order = np.empty(num_frames, int)
    order[twin_ranks] = ranks
    twin = replace(scene, meaning=Meaning(sentence, twin_parts), order=order)
    return scene, twin


def _show(thing, there, rng):
    return Sprite(
        thing,
        poses(
            len(there),
            *rng.uniform(0.4, 0.6, size=2),
            radius=rng.uniform(0.24, 0.32),
            opacity=np.array(there, float),
        ),
    )


LONG = Split(
    _recipes,
    _stage,
    num_frames=256,
    # Room for six flashes, and for three events with a bell.
    min_frames=96,
    fps=1,
    needs=(
        "Many frames over the whole video, in order: events take a few frames "
        "each, so that frames spread thinly miss most of them. A video and its "
        "twin hold the same frames in another order."
    ),
)

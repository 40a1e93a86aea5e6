"""What the splits promise about their scenes, before any encoding."""

from dataclasses import replace

import numpy as np
import pytest

from keras_longvideo.data.rendering import SPLITS
from keras_longvideo.data.scenes import COLORS
from keras_longvideo.data.scenes import SHAPES
from keras_longvideo.data.scenes import Backdrop
from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import Thing
from keras_longvideo.data.scenes import draw
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.spatial import PLACES

pytestmark = pytest.mark.backend_free

SIZE = (64, 64)
SCENES = ["spatial", "temporal", "long"]


def stage_all(name, held_out, num_frames=None, seed=0, every=1):
    """Stages recipes: a list, one list of pairs of scenes a kind."""
    split = SPLITS[name]
    rng = np.random.default_rng(seed)
    return [
        [
            split.stage(recipe, num_frames or split.min_frames, rng)
            for recipe in kind[::every]
        ]
        for kind in split.recipes(held_out)
    ]


def pairs_of(name, held_out=True, num_frames=None, every=1):
    kinds = stage_all(name, held_out, num_frames, every=every)
    return [pair for kind in kinds for pair in kind]


def captions_of(name, held_out):
    return [
        str(scene.meaning)
        for pair in pairs_of(name, held_out)
        for scene in pair
    ]


def plain(sprites, num_pictures=1):
    """A scene of sprites on a plain backdrop without noise."""
    return Scene(
        meaning=None,
        backdrop=Backdrop(np.full((2, 2, 3), 40.0), noise=0.0, noise_seed=0),
        sprites=tuple(sprites),
        distractors=(),
        order=np.arange(num_pictures),
        glimpses=(None,) * num_pictures,
    )


def clean(scene):
    """A scene without what makes its colours hard to find."""
    backdrop = plain(()).backdrop
    return replace(scene, backdrop=backdrop, distractors=())


def draw_thing(color="red", shape="circle", **pose):
    pose = {"x": 0.5, "y": 0.5, "radius": 0.3} | pose
    return draw(plain([Sprite(Thing(color, shape), poses(1, **pose))]), SIZE)[0]


def mask_of(frame, color):
    """The pixels of a frame that show a colour, without those on an edge."""
    return (frame == COLORS[color]).all(-1)


def centre_of(mask):
    """(x, y) in parts of the frame."""
    down, right = np.nonzero(mask)
    return np.array([right.mean() + 0.5, down.mean() + 0.5]) / mask.shape


def colour_counts(frame):
    """How many pixels show each colour of `COLORS`."""
    return [mask_of(frame, color).sum() for color in COLORS]


def sorted_frames(frames):
    """A set of frames in an order of its own."""
    return sorted(frame.tobytes() for frame in frames)


def test_a_circle_is_where_and_as_large_as_its_pose_says():
    frame = draw_thing(x=0.25, y=0.75, radius=0.2)
    mask = mask_of(frame, "red")
    np.testing.assert_allclose(centre_of(mask), [0.25, 0.75], atol=0.005)
    assert mask.sum() == pytest.approx(np.pi * (0.9 * 0.2 * 64) ** 2, rel=0.15)
    assert tuple(frame[48, 16]) == COLORS["red"]
    assert tuple(frame[5, 60]) == (40, 40, 40)


def test_positive_angles_turn_clockwise():
    # A moon is hollow on its right; a quarter turn brings that down.
    upright = draw_thing(shape="moon")
    turned = draw_thing(shape="moon", angle=np.pi / 2)
    np.testing.assert_array_equal(turned, np.rot90(upright, k=-1))
    assert upright[32, 50].tolist() == [40, 40, 40]
    assert turned[50, 32].tolist() == [40, 40, 40]


def test_shapes_keep_their_shape_in_wide_frames():
    sprite = Sprite(Thing("red", "square"), poses(1, 0.5, 0.5, 0.3))
    frame = draw(plain([sprite]), (32, 96))[0]
    down, right = np.nonzero(mask_of(frame, "red"))
    assert np.ptp(down) == np.ptp(right)


def test_no_two_shapes_look_alike():
    # In the smallest size that any split draws.
    masks = [mask_of(draw_thing(shape=s, radius=0.11), "red") for s in SHAPES]
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert (mask != other).sum() > 0.15 * mask.sum()


def test_things_may_stand_over_the_edge():
    inside, outside = draw_thing(x=0.9), draw_thing(x=-0.5)
    assert mask_of(inside, "red")[:, -1].any()
    assert not mask_of(outside, "red").any()
    # What is left of it stands where it would stand on a wider picture.
    whole = draw(
        plain([Sprite(Thing("red", "circle"), poses(1, 0.45, 0.5, 0.3))]),
        (64, 128),
    )[0]
    np.testing.assert_array_equal(inside, whole[:, :64])


def test_noise_and_backdrop_are_mild():
    for pair in pairs_of("spatial", every=20):
        frame = draw(pair[0], SIZE)[0].astype(int)
        backdrop = draw(replace(pair[0], sprites=(), distractors=()), SIZE)[0]
        assert 10 < backdrop.mean() < 100
        assert 0.5 < np.diff(backdrop.astype(int), axis=0).std() < 12
        # Things stand out from it.
        assert np.abs(frame - backdrop).max() > 100


@pytest.mark.parametrize("held_out", [False, True])
def test_temporal_twins_hold_the_same_frames_reversed(held_out):
    for scene, twin in pairs_of("temporal", held_out, 7, every=11):
        frames, twin_frames = draw(scene, SIZE), draw(twin, SIZE)
        np.testing.assert_array_equal(twin_frames, frames[::-1])
        assert scene.meaning != twin.meaning
        # The order can be seen: forwards and backwards differ.
        assert not np.array_equal(frames[0], frames[-1])


def test_long_twins_hold_the_same_frames_in_another_order():
    for scene, twin in pairs_of("long", num_frames=256, every=12):
        frames, twin_frames = draw(scene, (16, 16)), draw(twin, (16, 16))
        assert sorted_frames(frames) == sorted_frames(twin_frames)
        assert not np.array_equal(frames, twin_frames)
        assert scene.meaning != twin.meaning


def test_spatial_twins_have_the_same_colours_and_differ_in_any_frame():
    for scene, twin in pairs_of("spatial", every=5):
        # Whole colours: some things stand nearer to a pixel's edge.
        counts, twin_counts = (
            np.array(colour_counts(draw(clean(each), SIZE)[0]))
            for each in (scene, twin)
        )
        assert ((counts > 0) == (twin_counts > 0)).all()
        frame, twin_frame = draw(scene, SIZE)[0], draw(twin, SIZE)[0]
        assert (np.abs(frame - twin_frame.astype(int)) > 50).sum() > 100
        assert scene.meaning != twin.meaning


@pytest.mark.parametrize("num_frames", [2, 16])
def test_temporal_events_are_what_their_captions_say(num_frames):
    for scene in sum(pairs_of("temporal", num_frames=num_frames), ()):
        words = str(scene.meaning).split()
        frames = draw(clean(scene), SIZE)
        first, last = (mask_of(frames[i], words[1]) for i in (0, -1))
        if "towards" in words or "away" in words:
            assert_distance_changes(scene, closer="towards" in words)
        elif "moves" in words:
            (x, y), (new_x, new_y) = centre_of(first), centre_of(last)
            direction = {
                "right": new_x - x,
                "left": x - new_x,
                "down": new_y - y,
                "up": y - new_y,
            }
            assert direction[words[-1]] > 0.4
        elif "grows" in words:
            assert last.sum() > 2 * first.sum()
        elif "shrinks" in words:
            assert first.sum() > 2 * last.sum()
        elif "turns" in words:
            turn = np.diff(scene.sprites[0].poses[scene.order, 3])
            sign = 1 if words[-1] == "clockwise" else -1
            assert (sign * turn >= 0).all()
            # Small enough a step not to look like one the other way.
            assert num_frames == 2 or np.abs(turn).max() < np.pi / 4
        elif "appears" in words:
            assert last.any() and not first.any()
        elif "disappears" in words:
            assert first.any() and not last.any()
        elif "enters" in words or "leaves" in words:
            assert first.any() == ("leaves" in words) != last.any()
            path = scene.sprites[0].poses[scene.order, 0]
            outside = path[0] if "enters" in words else path[-1]
            assert outside < 0 if words[-1] == "left" else outside > 1
        else:
            assert words[3] == "then"
            other = words[5]
            assert first.any() and mask_of(frames[-1], other).any()
            if other != words[1]:
                assert not last.any()
                assert not mask_of(frames[0], other).any()


def assert_distance_changes(scene, closer):
    mover, other = (sprite.poses[scene.order, :2] for sprite in scene.sprites)
    distance = np.hypot(*(mover - other).T)
    change = distance[0] - distance[-1]
    assert (change if closer else -change) > 0.25
    assert (other == other[0]).all()


def test_spatial_captions_can_be_read_off_any_single_frame():
    for scene in sum(pairs_of("spatial", num_frames=4), ()):
        for frame in draw(clean(scene), SIZE):
            assert_frame_shows(frame, scene)


def assert_frame_shows(frame, scene):
    things = [sprite.thing for sprite in scene.sprites]
    caption = str(scene.meaning)
    if len(things) == 1:
        mask = mask_of(frame, things[0].color)
        place = min(
            PLACES, key=lambda p: np.abs(centre_of(mask) - PLACES[p]).sum()
        )
        extent = np.ptp(np.nonzero(mask), axis=1).max() / 64
        size = "small" if extent < 0.25 else "large"
        assert caption == f"a {size} {things[0]} {place}"
    elif things[0].color != things[1].color:
        first, second = (centre_of(mask_of(frame, t.color)) for t in things)
        right, down = second - first
        if "corners" in caption:
            assert (
                caption
                == f"a {things[0]} and a {things[1]} in opposite corners"
            )
            assert min(abs(right), abs(down)) > 0.3
            return
        relation = "above" if down > right else "to the left of"
        assert caption == f"a {things[0]} {relation} a {things[1]}"
        assert max(right, down) > 0.25
        assert max(right, down) > 2 * min(right, down)


def events_of(scene):
    """What is seen of a long scene's frames: (name, start, length) in order.

    Read off the pixels: of a border, and of the colours of the big things.
    """
    frames = draw(clean(scene), SIZE)
    colors = {sprite.thing.color: sprite.thing for sprite in scene.sprites}
    shown = []
    for frame in frames:
        inside = frame.copy()
        inside[:8] = inside[-8:] = 0
        big = [c for c in colors if mask_of(inside, c).sum() > 150]
        border = mask_of(frame, "white")[0].all()
        shown.append("bell" if border else str(colors[big[0]]) if big else None)
    starts = [i for i in range(1, len(shown)) if shown[i] != shown[i - 1]]
    runs = zip([0, *starts], [*starts, len(shown)], strict=True)
    return [(shown[a], a, b - a) for a, b in runs if shown[a] is not None]


def test_long_events_are_what_their_captions_say():
    numbers = {"once": 1, "twice": 2, "three": 3, "four": 4}
    told = set()
    for scene in sum(pairs_of("long", num_frames=256, every=11), ()):
        caption = str(scene.meaning)
        if len({s.thing.color for s in scene.sprites}) < len(scene.sprites):
            continue  # These tell events by their colours.
        events = events_of(scene)
        words = caption.split()
        first = " ".join(words[1:3])
        if "later" in words:
            told.add("order")
            (a, start, length), (b, later, _) = events
            assert caption == f"a {a} and much later a {b}"
            assert later - start - length >= 115
        elif "bell" in words:
            told.add("bell")
            names = [name for name, _, _ in events]
            at = names.index("bell")
            assert names[at + 1] == first
            assert sum(events[at][1:]) == events[at + 1][1]
            other = " ".join(words[9:11])
            assert names.count(other) == names.count("bell") == 1
            assert len(events) == 4
        else:
            told.add("count")
            said = [numbers[word] for word in words if word in numbers]
            counted = [
                [length for name, _, length in events if name == thing]
                for thing in dict.fromkeys([first, *(n for n, _, _ in events)])
            ]
            assert [len(lengths) for lengths in counted] == said
            assert all(sum(lengths) == 12 for lengths in counted)
    assert told == {"order", "bell", "count"}


def test_distractors_share_no_colour_and_no_shape_with_what_captions_name():
    for name in SCENES:
        for pair in pairs_of(name, every=9):
            for scene in pair:
                for distractor in scene.distractors:
                    assert distractor.poses[:, 2].max() < 0.08
                    for sprite in scene.sprites:
                        thing = distractor.thing
                        assert thing.color != sprite.thing.color
                        assert thing.shape != sprite.thing.shape
            # Twins have the same ones.
            assert pair[0].distractors is pair[1].distractors


@pytest.mark.parametrize("name", SPLITS)
def test_captions_are_unique_and_never_shared_with_training(name):
    train = captions_of(name, held_out=False)
    held_out = captions_of(name, held_out=True)
    assert len(held_out) >= 200
    assert len(set(train)) == len(train)
    assert len(set(held_out)) == len(held_out)
    assert not set(train) & set(held_out)


@pytest.mark.parametrize("name", SPLITS)
def test_held_out_combinations_are_never_shown_in_training(name):
    def recipes(held_out):
        return SPLITS[name].recipes(held_out)

    for kind, held_out in zip(recipes(False), recipes(True), strict=True):
        shown, new = (
            {recipe[1] for recipe in each} for each in (kind, held_out)
        )
        assert not shown & new
        # Yet nothing that is held out is new in itself.
        for part in ("color", "shape"):
            assert {getattr(t, part) for things in new for t in things} <= {
                getattr(t, part) for things in shown for t in things
            }

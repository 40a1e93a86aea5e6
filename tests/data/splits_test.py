"""What the splits promise about their scenes, before any encoding."""

import numpy as np
import pytest

from keras_longvideo.data.rendering import SPLITS
from keras_longvideo.data.scenes import COLORS
from keras_longvideo.data.scenes import SHAPES
from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import Thing
from keras_longvideo.data.scenes import draw
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.spatial import PLACES
from keras_longvideo.data.spatial import RELATIONS

pytestmark = pytest.mark.backend_free

SIZE = (64, 64)


def stage_all(split, held_out, num_frames=4, seed=0):
    """Stages every recipe: a list, one list of tuples of scenes a kind."""
    rng = np.random.default_rng(seed)
    return [
        [split.stage(recipe, num_frames, rng) for recipe in kind]
        for kind in split.recipes(held_out)
    ]


def captions_of(split, held_out):
    return [
        scene.caption
        for kind in stage_all(split, held_out)
        for scenes in kind
        for scene in scenes
    ]


def draw_thing(color="red", shape="circle", **pose):
    pose = {"x": 0.5, "y": 0.5, "radius": 0.3} | pose
    sprite = Sprite(Thing(color, shape), poses(1, **pose))
    return draw(Scene("", (40, 40, 40), (sprite,)), SIZE)[0]


def mask_of(frame, color):
    """The pixels of a frame that show a colour, without those on an edge."""
    return (frame == COLORS[color]).all(-1)


def centre_of(mask):
    """(x, y) in parts of the frame."""
    down, right = np.nonzero(mask)
    return np.array([right.mean() + 0.5, down.mean() + 0.5]) / mask.shape


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
    frame = draw(Scene("", (40, 40, 40), (sprite,)), (32, 96))[0]
    down, right = np.nonzero(mask_of(frame, "red"))
    assert np.ptp(down) == np.ptp(right)


def test_no_two_shapes_look_alike():
    # In the smallest size that any split draws.
    masks = [mask_of(draw_thing(shape=s, radius=0.11), "red") for s in SHAPES]
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert (mask != other).sum() > 0.15 * mask.sum()


@pytest.mark.parametrize("held_out", [False, True])
def test_temporal_twins_hold_the_same_frames_reversed(held_out):
    kinds = stage_all(SPLITS["temporal"], held_out, num_frames=7)
    for scenes in (pair for kind in kinds for pair in kind[:9]):
        scene, twin = scenes
        frames, twin_frames = draw(scene, SIZE), draw(twin, SIZE)
        np.testing.assert_array_equal(twin_frames, frames[::-1])
        assert scene.caption != twin.caption
        # The order can be seen: forwards and backwards differ.
        assert not np.array_equal(frames[0], frames[-1])


@pytest.mark.parametrize("num_frames", [2, 16])
def test_temporal_events_are_what_their_captions_say(num_frames):
    kinds = stage_all(SPLITS["temporal"], True, num_frames)
    scenes = [scene for kind in kinds for pair in kind for scene in pair]
    for scene in scenes:
        words = scene.caption.split()
        frames = draw(scene, SIZE)
        first, last = (mask_of(frames[i], words[1]) for i in (0, -1))
        if "moves" in words:
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
            turn = np.diff(scene.sprites[0].poses[:, 3])
            sign = 1 if words[-1] == "clockwise" else -1
            assert (sign * turn >= 0).all()
            # Small enough a step not to look like one the other way.
            assert num_frames == 2 or np.abs(turn).max() < np.pi / 4
        elif "appears" in words:
            assert last.any() and not first.any()
        elif "disappears" in words:
            assert first.any() and not last.any()
        else:
            other = words[5]
            assert first.any() and mask_of(frames[-1], other).any()
            if other != words[1]:
                assert not last.any()
                assert not mask_of(frames[0], other).any()


def test_spatial_captions_can_be_read_off_any_single_frame():
    kinds = stage_all(SPLITS["spatial"], True)
    for scene in (scenes[0] for kind in kinds for scenes in kind):
        for frame in draw(scene, SIZE):
            assert_frame_shows(frame, scene)


def assert_frame_shows(frame, scene):
    things = [sprite.thing for sprite in scene.sprites]
    if len(things) == 1:
        mask = mask_of(frame, things[0].color)
        place = min(
            PLACES, key=lambda p: np.abs(centre_of(mask) - PLACES[p]).sum()
        )
        extent = np.ptp(np.nonzero(mask), axis=1).max() / 64
        size = "small" if extent < 0.25 else "large"
        assert scene.caption == f"a {size} {things[0]} {place}"
    elif things[0].color != things[1].color:
        first, second = (centre_of(mask_of(frame, t.color)) for t in things)
        apart = dict(zip(RELATIONS, (second - first)[::-1], strict=True))
        relation = max(apart, key=apart.get)
        assert scene.caption == f"a {things[0]} {relation} a {things[1]}"
        assert apart[relation] > 0.25


@pytest.mark.parametrize("name", SPLITS)
def test_captions_are_unique_and_never_shared_with_training(name):
    train = captions_of(SPLITS[name], held_out=False)
    held_out = captions_of(SPLITS[name], held_out=True)
    assert len(held_out) >= 100
    assert len(set(train)) == len(train)
    assert len(set(held_out)) == len(held_out)
    assert not set(train) & set(held_out)


@pytest.mark.parametrize("name", SPLITS)
def test_held_out_combinations_are_never_shown_in_training(name):
    def combinations(held_out):
        kinds = stage_all(SPLITS[name], held_out)
        return {
            (kind, sprite.thing)
            for kind, stagings in enumerate(kinds)
            for scenes in stagings
            for sprite in scenes[0].sprites
        }

    train, held_out = combinations(False), combinations(True)
    assert not train & held_out
    # Yet nothing that is held out is new in itself.
    assert {thing for _, thing in held_out} <= {thing for _, thing in train}
    for part in ("color", "shape"):
        assert {(kind, getattr(thing, part)) for kind, thing in held_out} <= {
            (kind, getattr(thing, part)) for kind, thing in train
        }


@pytest.mark.parametrize("name", SPLITS)
def test_held_out_captions_have_no_new_word(name):
    train = " ".join(captions_of(SPLITS[name], held_out=False)).split()
    held_out = " ".join(captions_of(SPLITS[name], held_out=True)).split()
    assert set(held_out) <= set(train)

"""Draws scenes of moving coloured shapes as frames, with NumPy alone."""

from dataclasses import dataclass

import numpy as np

from keras_longvideo.data.wording import Meaning

COLORS = {
    "red": (225, 45, 45),
    "green": (50, 185, 70),
    "blue": (55, 95, 235),
    "yellow": (240, 215, 50),
    "purple": (165, 60, 205),
    "white": (245, 245, 245),
}


# Each shape is a signed distance in a plane with y pointing down, scaled so
# that the shape fits the unit circle: negative inside, positive outside.
def _circle(x, y):
    return np.hypot(x, y) - 0.9


def _square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.75


def _triangle(x, y):
    sides = np.sin(np.pi / 3) * np.abs(x) - 0.5 * y
    return np.maximum(y, sides) - 0.5


def _cross(x, y):
    x, y = np.abs(x), np.abs(y)
    upright = np.maximum(x - 0.3, y - 0.9)
    level = np.maximum(x - 0.9, y - 0.3)
    return np.minimum(upright, level)


def _star(x, y):
    # All ten edges fall onto one when folded into a tenth of the circle.
    tenth = np.pi / 5
    angle = np.arctan2(x, -y)
    folded = np.abs((angle + tenth) % (2 * tenth) - tenth)
    length = np.hypot(x, y)
    tip, notch = np.array([1.0, 0.0]), 0.45 * np.array(_unit(tenth))
    along, across = (notch - tip) / np.hypot(*(notch - tip))
    x, y = length * np.cos(folded) - tip[0], length * np.sin(folded)
    return x * across - y * along


def _moon(x, y):
    bite = np.hypot(x - 0.45, y) - 0.75
    return np.maximum(_circle(x, y), -bite)


def _unit(angle):
    return np.cos(angle), np.sin(angle)


SHAPES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "moon": _moon,
}


@dataclass(frozen=True)
class Thing:
    """What a caption names, as in "red circle"."""

    color: str
    shape: str

    def __str__(self):
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Sprite:
    """A thing and its pose in every picture.

    Attributes:
        thing: The `Thing` to draw.
        poses: Float array `(num_frames, 5)`; see `poses`.
    """

    thing: Thing
    poses: np.ndarray


@dataclass(frozen=True)
class Backdrop:
    """What lies behind the things: a gradient, a texture and noise.

    Attributes:
        corners: Float array `(rows, columns, 3)` of RGB, 0 to 255, spread over
            the frame and blended in between.
        noise: Float, the standard deviation of each pixel's own noise, of 255.
        noise_seed: Int.
    """

    corners: np.ndarray
    noise: float
    noise_seed: int


@dataclass(frozen=True)
class Scene:
    """What a video means and everything needed to draw it.

    Pictures are drawn first, and shown in an order: two scenes that differ in
    nothing but `order` hold exactly the same pictures.

    Attributes:
        meaning: `Meaning`, what its captions say.
        backdrop: `Backdrop`.
        sprites: Tuple of `Sprite`s that the captions speak of, drawn in this
            order.
        distractors: Tuple of `Sprite`s behind them, which no caption names.
        order: Int array `(num_frames,)`, the picture that each frame shows.
        glimpses: Tuple with an entry for each picture: what it shows of all
            that captions speak of, hashable, or `None` for nothing.
        bell: Bool array `(num_frames,)`, the pictures with a white border, or
            `None` for none.
    """

    meaning: Meaning
    backdrop: Backdrop
    sprites: tuple
    distractors: tuple
    order: np.ndarray
    glimpses: tuple
    bell: np.ndarray | None = None


def poses(num_frames, x, y, radius, angle=0.0, opacity=1.0):
    """Collects a thing's pose in every picture.

    Each argument is one value, or one for each picture.

    Args:
        num_frames: Int, the number of pictures.
        x: Centre, in widths of the frame from its left edge.
        y: Centre, in heights of the frame from its top edge.
        radius: Of the circle around the shape, in the frame's shorter side.
        angle: Clockwise turn in radians. Defaults to `0.0`.
        opacity: 0 (not there) to 1. Defaults to `1.0`.

    Returns:
        Float array `(num_frames, 5)`.
    """
    columns = [x, y, radius, angle, opacity]
    return np.stack([np.broadcast_to(c, num_frames) for c in columns], axis=1)


def draw(scene, image_size):
    """Draws a scene, with smooth edges.

    Args:
        scene: A `Scene`.
        image_size: `(height, width)` in pixels.

    Returns:
        uint8 array `(num_frames, height, width, 3)`.
    """
    num_frames = len(scene.order)
    pictures = np.empty((num_frames, *image_size, 3), np.float32)
    pictures[:] = _spread(scene.backdrop.corners, image_size)
    for sprite in (*scene.distractors, *scene.sprites):
        _draw_sprite(pictures, sprite)
    if scene.bell is not None:
        _draw_border(pictures, scene.bell)
    _add_noise(pictures, scene.backdrop)
    return pictures.astype(np.uint8)[scene.order]


def _spread(corners, image_size):
    """Blends a grid of colours over a frame: `(height, width, 3)`."""
    for axis, side in enumerate(image_size):
        last = corners.shape[axis] - 1
        at = np.linspace(0, last, side)
        weights = np.maximum(1 - np.abs(at[:, None] - np.arange(last + 1)), 0)
        corners = np.moveaxis(
            np.tensordot(weights, corners, (1, axis)), 0, axis
        )
    return corners


def _draw_sprite(pictures, sprite):
    """Blends a sprite into pictures, touching only the pixels around it."""
    seen = np.flatnonzero(sprite.poses[:, 4])
    # Things that stand still are computed once.
    distinct, which = np.unique(sprite.poses[seen], axis=0, return_inverse=True)
    if not len(seen):
        return
    tops, lefts, covers = _coverage(
        distinct, SHAPES[sprite.thing.shape], pictures.shape[1:3]
    )
    color = np.array(COLORS[sprite.thing.color], np.float32)
    height, width = covers.shape[1:]
    for picture, pose in zip(seen, which.reshape(-1), strict=True):
        top, left = tops[pose], lefts[pose]
        patch = pictures[picture, top : top + height, left : left + width]
        patch += covers[pose][..., None] * (color - patch)


def _coverage(poses, shape, image_size):
    """How much of the pixels around it a thing covers, in each pose.

    Returns:
        Tuple of the patches' top and left edges, and the covered part of
        every pixel, `(num_poses, patch_height, patch_width)`.
    """
    frame = np.array(image_size)
    x, y, radius, angle, opacity = poses.astype(np.float32).T[..., None, None]
    radius = radius * min(image_size)
    side = 2 * int(np.ceil(radius.max())) + 3
    height, width = np.minimum(side, frame)
    x, y = x * image_size[1], y * image_size[0]
    left = np.clip(np.rint(x - width / 2), 0, image_size[1] - width)
    top = np.clip(np.rint(y - height / 2), 0, image_size[0] - height)
    right = np.arange(width, dtype=np.float32) + 0.5 + left - x
    down = np.arange(height, dtype=np.float32)[:, None] + 0.5 + top - y
    cos, sin = _unit(angle)
    distance = shape(
        (right * cos + down * sin) / radius,
        (down * cos - right * sin) / radius,
    )
    # A pixel on the very edge is half covered.
    cover = opacity * np.clip(0.5 - distance * radius, 0.0, 1.0)
    edges = (edge.reshape(-1).astype(int) for edge in (top, left))
    return *edges, cover


def _draw_border(pictures, where):
    """Lays a white border around some pictures."""
    height, width = pictures.shape[1:3]
    thick = max(round(0.11 * min(height, width)), 1)
    border = np.ones((height, width), bool)
    border[thick:-thick, thick:-thick] = False
    for picture in np.flatnonzero(where):
        pictures[picture, border] = COLORS["white"]


def _add_noise(pictures, backdrop):
    """Adds noise to float pictures, and makes them fit for uint8."""
    rng = np.random.default_rng(backdrop.noise_seed)
    # A few fields of noise in turns: drawing 256 would take most of the time.
    shape = (min(len(pictures), 16), *pictures.shape[1:])
    fields = backdrop.noise * rng.standard_normal(shape, np.float32) + 0.5
    turns = rng.integers(len(fields), size=len(pictures))
    if len(fields) == len(pictures):
        turns = np.arange(len(pictures))
    for picture, turn in zip(pictures, turns, strict=True):
        picture += fields[turn]
    np.clip(pictures, 0, 255, out=pictures)

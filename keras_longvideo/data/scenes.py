"""Draws scenes of moving coloured shapes as frames, with NumPy alone."""

from dataclasses import dataclass

import numpy as np

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
    """A thing and its pose in every frame.

    Attributes:
        thing: The `Thing` to draw.
        poses: Float array `(num_frames, 5)`; see `poses`.
    """

    thing: Thing
    poses: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A caption and everything needed to draw its video.

    Attributes:
        caption: The text.
        background: RGB of the plain background, 0 to 255.
        sprites: Tuple of `Sprite`, drawn in this order.
    """

    caption: str
    background: tuple
    sprites: tuple


def poses(num_frames, x, y, radius, angle=0.0, opacity=1.0):
    """Collects a thing's pose in every frame.

    Each argument is one value, or one for each frame.

    Args:
        num_frames: Int, the number of frames.
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
    num_frames = len(scene.sprites[0].poses)
    frames = np.empty((num_frames, *image_size, 3), np.float32)
    frames[:] = scene.background
    for sprite in scene.sprites:
        color = np.array(COLORS[sprite.thing.color], np.float32)
        cover = _coverage(sprite, image_size)[..., None]
        frames += cover * (color - frames)
    return np.rint(frames).astype(np.uint8)


def _coverage(sprite, image_size):
    """How much of every pixel a sprite covers, `(num_frames, height, width)`"""
    height, width = image_size
    columns = sprite.poses.astype(np.float32).T[..., None, None]
    x, y, radius, angle, opacity = columns
    radius = radius * min(image_size)
    right = np.arange(width, dtype=np.float32) + 0.5 - x * width
    down = np.arange(height, dtype=np.float32)[:, None] + 0.5 - y * height
    cos, sin = _unit(angle)
    distance = SHAPES[sprite.thing.shape](
        (right * cos + down * sin) / radius,
        (down * cos - right * sin) / radius,
    )
    # A pixel on the very edge is half covered.
    return opacity * np.clip(0.5 - distance * radius, 0.0, 1.0)

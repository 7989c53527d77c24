"""A canvas for flat shapes with smooth edges and soft shadows, and the colours and curves to draw them with.

Read next: mnist.py, another set of images.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIDE = 64  # the unit of length is a 64th of the side of a picture, whatever its size
OVERSAMPLING = 4
NECK = np.array([32, 56])  # what is drawn is tilted about it, and enlarged
ENLARGED = 1.07

Colour = tuple[int, int, int]
Points = Sequence[Sequence[float]] | np.ndarray  # (n, 2): x to the right and y down, before the tilt

BLACK: Colour = (0, 0, 0)
DUSK: Colour = (70, 44, 96)  # what shadows tend to


class Canvas:
    """A picture to draw on in units of a 64th of its side; it grows by OVERSAMPLING, for smooth edges."""

    def __init__(self, image: Image.Image, tilt: float):
        self.image = image.resize([OVERSAMPLING * side for side in image.size], Image.Resampling.NEAREST)
        self.draw = ImageDraw.Draw(self.image)
        self.scale = self.image.size[0] / SIDE
        cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        self.tilted = ENLARGED * self.scale * np.array([[cos, sin], [-sin, cos]])

    def pixels(self, points: Points) -> list[float]:
        return ((np.asarray(points) - NECK) @ self.tilted + self.scale * NECK).ravel().tolist()

    def fill(self, colour: Colour, *outlines: Points) -> None:
        for points in outlines:
            self.draw.polygon(self.pixels(points), colour)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        self.draw.line(self.pixels(points), colour, max(1, round(width * self.scale)), joint="curve")

    def mask(self, *outlines: Points) -> Image.Image:
        """What lies within any of the outlines."""
        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        for points in outlines:
            draw.polygon(self.pixels(points), 255)
        return mask

    def paint(self, mask: Image.Image, colour: Colour, opacity: float = 1, fade: Sequence[float] = ()) -> None:
        """Where the mask is; with `fade`, from nothing at the first height to all of the opacity at the second."""
        if fade:
            mask = ImageChops.multiply(mask, ramp(self.image.size[0], round(fade[0]), round(fade[1])))
        if box := mask.getbbox():
            self.image.paste(colour, box, faint(mask.crop(box), opacity))

    def glow(self, x: float, y: float, rx: float, ry: float, colour: Colour, opacity: float) -> None:
        """A soft spot."""
        x, y = self.pixels([(x, y)])
        width, height = round(2 * rx * self.scale), round(2 * ry * self.scale)
        self.image.paste(colour, (round(x - width / 2), round(y - height / 2)), faint(spot(width, height), opacity))


def faint(mask: Image.Image, opacity: float) -> Image.Image:
    return mask if opacity >= 1 else ImageChops.multiply(mask, Image.new("L", mask.size, round(255 * opacity)))


@lru_cache(maxsize=256)
def ramp(size: int, start: int, end: int) -> Image.Image:
    rows = (np.arange(size) * SIDE / size - start) / (end - start)
    return Image.fromarray((255 * rows.clip(0, 1)).astype(np.uint8)[:, None].repeat(size, axis=1))


@lru_cache
def spot(width: int, height: int) -> Image.Image:
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    return Image.fromarray((255 * (1 - x**2 - y**2).clip(0) ** 1.5).astype(np.uint8))


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """From `a` (share 0) to `b` (share 1)."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b, strict=True))


def shadow(colour: Colour, depth: float, tone: Colour = DUSK) -> Colour:
    """The colour out of the light: darker, and a little towards the tone."""
    return mix(mix(colour, BLACK, 0.45 * depth), tone, 0.42 * depth)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def curve(points: Points, closed: bool = True) -> np.ndarray:
    """A smooth line through the points (Catmull & Rom 1974); a point given twice is a corner."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    return (CUBICS @ np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)).reshape(-1, 2)


T = np.linspace(0, 1, 6)[:, None]
CUBICS = np.hstack([-T + 2 * T**2 - T**3, 2 - 5 * T**2 + 3 * T**3, T + 4 * T**2 - 3 * T**3, T**3 - T**2]) / 2
TURN = np.linspace(0, 2 * np.pi, 29)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    return CIRCLE * [rx, ry] + [x, y]

"""Several thousand cartoon faces, drawn here, for the image study when the user gives no pictures.

Every face is determined by its row of FACTORS, most of them continuous, so that what a model finds can be compared with
what was drawn. `draw_face` paints a face from back to front; its parts follow below in that order.

Read next: painting.py, the canvas.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageChops
from rich.console import Console
from rich.progress import track

from data import painting, replacing, shown
from data.painting import (
    CIRCLE,
    DUSK,
    OVERSAMPLING,
    SIDE,
    Canvas,
    Colour,
    Points,
    curve,
    ellipse,
    faint,
    hsv,
    mix,
    ramp,
    shadow,
    spot,
)

CACHE = Path(__file__).parent / "cache"
COUNT = 5000

WHITE: Colour = (255, 255, 255)
ROSE: Colour = (190, 62, 74)  # and those on skin
SKINS = np.array([(255, 238, 228), (255, 224, 204), (249, 205, 174), (231, 174, 137), (190, 132, 100), (134, 90, 70)])
HAIRS: dict[str, Colour] = {
    "black": (70, 62, 88), "brown": (112, 76, 64), "chestnut": (166, 104, 70), "auburn": (206, 102, 68),
    "blond": (252, 214, 132), "silver": (216, 222, 240), "rose": (254, 168, 196), "red": (236, 92, 96),
    "blue": (104, 156, 240), "teal": (86, 200, 208), "lavender": (188, 158, 244), "mint": (148, 226, 182),
}

# A pair: a number, uniform from low to high. A dict: one of its names, as often as the weight says.
FACTORS: dict[str, tuple[float, float] | dict[str, int]] = {
    # light to deep
    "skin": (0, 1), "face_width": (-1, 1), "blush": (0, 1),
    # degrees, clockwise; the head turns to the left or the right of the picture
    "tilt": (-7, 7), "turn": (-1, 1),
    "hair_cut": {"short": 3, "bob": 3, "long": 4, "ponytail": 2, "twin tails": 3, "spiky": 2, "buns": 2, "curly": 3},
    "fringe": {"blunt": 1, "parted": 1, "swept": 1, "jagged": 1},
    "hair_colour": dict.fromkeys(HAIRS, 1),
    # dark to light
    "hair_shade": (-1, 1), "hair_length": (-1, 1),
    # around the circle of colours
    "eye_hue": (0, 1), "clothes_hue": (0, 1), "background_hue": (0, 1),
    # to the left or the right of the picture; up or down
    "gaze_x": (-1, 1), "gaze_y": (-1, 1), "eye_size": (0.88, 1.12), "eye_open": (0.62, 1),
    # worried to cross
    "brow_slant": (-1, 1), "brow_height": (-1, 1),
    # frown to smile
    "smile": (-0.5, 1), "mouth_open": (0, 1), "mouth_width": (-1, 1),
    "glasses": {"none": 15, "round": 1},
    # from the left or the right of the picture; strength
    "light_side": (-1, 1), "light": (0.2, 1),
}


def draw_factors(count: int, seed: int = 0) -> pd.DataFrame:
    """The factors of `count` faces, a column each: floats, or for a choice the number of its name (int64).

    One seed gives the same factors on every machine, and the first of many faces are those of few.
    """
    uniform = np.random.RandomState(seed).random_sample((count, len(FACTORS)))
    columns = {}
    for (name, kind), u in zip(FACTORS.items(), uniform.T, strict=True):
        if isinstance(kind, dict):
            edges = np.cumsum(list(kind.values())) / sum(kind.values())
            columns[name] = edges.searchsorted(u, side="right")
        else:
            columns[name] = (kind[0] + (kind[1] - kind[0]) * u).round(4)
    return pd.DataFrame(columns)


def drawn_faces(count: int = COUNT, seed: int = 0, workers: int | None = None) -> tuple[np.ndarray, pd.DataFrame]:
    """`count` faces, uint8 (count, 64, 64, 3), and their factors; on a terminal a bar shows the time left.

    workers  processes that draw (default: one per processor); the faces do not depend on it. They are spawned, so
             that a script which calls this needs the usual `if __name__ == "__main__"`.
    """
    factors = draw_factors(count, seed)
    rows = factors.to_dict("records")
    console = Console(stderr=True)
    # Spawned, not forked: a fork would copy a lock that another thread may hold. Only the parent handles Ctrl-C.
    context, ignore = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(workers, context, signal.signal, ignore) as pool:
        faces = track(pool.map(_pixels, rows, chunksize=50), "drawing faces", count, console=console, transient=True,
                      disable=not console.is_terminal)
        return np.stack(list(faces)), factors


def _pixels(factors: Mapping[str, float]) -> np.ndarray:
    return np.array(draw_face(factors))


def load_drawn_faces(count: int = COUNT, seed: int = 0, workers: int | None = None, cache: str | Path = CACHE,
                     log: Callable[[str], None] = print) -> tuple[np.ndarray, pd.DataFrame]:
    """As `drawn_faces`, but from the cache if these faces were drawn before.

    They are drawn again after an edit of this file or of painting.py, with another version of Pillow, and when the
    cached files are damaged.
    """
    sources = b"".join(Path(file).read_bytes() for file in (__file__, painting.__file__))
    version = hashlib.sha256(sources + Image.__version__.encode()).hexdigest()[:12]
    folder = Path(cache, f"drawn_faces-{count}-{seed}-{version}")
    try:
        with open(folder / "images.npz", "rb") as file, np.load(file) as arrays:
            images = arrays["images"]  # BadZipFile if a checksum is wrong
        factors = pd.read_csv(folder / "factors.csv")
        if images.shape == (count, SIDE, SIDE, 3) and factors.equals(draw_factors(count, seed)):
            return images, factors
        log(f"{folder}: does not hold the faces that its name says; they are drawn again")
    except Exception as error:  # what a damaged archive raises is undocumented
        if folder.exists():
            log(f"{folder}: is damaged ({shown(str(error))}); the faces are drawn again")
    log(f"Drawing {count:,} faces (seed {seed}), once")
    images, factors = drawn_faces(count, seed, workers)
    try:
        save(folder, images, factors)
    except OSError as error:
        log(f"{folder}: {error.strerror or error}; the faces are not kept for the next time")
    return images, factors


def save(folder: str | Path, images: np.ndarray, factors: pd.DataFrame) -> None:
    """Write images.npz (its one array: "images") and factors.csv; a choice is a number, in the order of FACTORS."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "images.npz") as beside:
        np.savez(beside, images=images)
    with replacing(folder / "factors.csv") as beside:
        factors.to_csv(beside, index=False)


def draw_face(factors: Mapping[str, float], size: int = SIDE) -> Image.Image:
    """One face as an RGB picture (size, size), from one row of `draw_factors`."""
    f = {name: list(kind)[factors[name]] if isinstance(kind, dict) else factors[name] for name, kind in FACTORS.items()}
    hair, tone = HAIRS[f["hair_colour"]], f["hair_shade"]
    hair = mix(hair, WHITE, 0.2 * tone) if tone > 0 else shadow(hair, -0.38 * tone)
    skin = tuple(round(np.interp(f["skin"] * (len(SKINS) - 1), range(len(SKINS)), part)) for part in SKINS.T)

    canvas = Canvas(background(f, size), f["tilt"])
    draw_hair_behind(canvas, f, hair)
    draw_body(canvas, f, skin)
    draw_head(canvas, f, skin, hair)
    for side in (-1, 1):
        draw_eye(canvas, f, skin, hair, side)
    draw_mouth(canvas, f, skin)
    draw_hair_in_front(canvas, f, hair)
    draw_brows(canvas, f, hair)
    return lit(canvas.image.reduce(OVERSAMPLING), f)


def flipped(points: Points) -> np.ndarray:
    """The same on the other half of the face, in the other direction."""
    return (np.asarray(points) * [-1, 1] + [SIDE, 0])[::-1]


def both(right: Points) -> list[list[float]]:
    """Down the right half, and up the left."""
    return np.vstack([right, flipped(right)]).tolist()


def background(f: Mapping, size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), hsv(f["background_hue"], 0.18, 1))
    image.paste(hsv(f["background_hue"] + 0.06, 0.34, 0.95), mask=ramp(size, 8, 64))
    glow = round(1.2 * size)
    image.paste(WHITE, (size // 2 - glow // 2, round(0.4 * size) - glow // 2), faint(spot(glow, glow), 0.5))
    return image


# The right half of what is seen behind the head.
BEHIND = {
    "short": [(34, 7.5), (43, 9.5), (51, 18), (53, 30), (51.5, 39), (46, 46), (36, 48)],
    "bob": [(34, 7.2), (44, 9.6), (52.5, 19), (55, 32), (56, 43), (53.5, 51), (47, 54), (36, 52)],
    "long": [(34, 7.2), (44, 9.6), (52.5, 19), (54.5, 32), (56, 44), (58, 57), (58, 70), (36, 72)],
}
TAILS = {
    "ponytail": [(42, 9), (50, 4), (58, 9), (62, 21), (61, 33), (53, 49), (53, 49), (54, 40), (53, 28), (49, 19)],
    "twin tails": [(49, 17), (55, 14), (61, 20), (63, 32), (62, 44), (54, 58), (54, 58), (55, 45), (54, 35), (51, 26)],
}
SPIKES = [(35, 3), (46.5, 4), (56.5, 11), (60.5, 23), (59.5, 35.5), (53, 47)]
DENTS = [(39, 9), (48, 12), (53, 19), (54.5, 29), (52, 40), (45, 46)]


def draw_hair_behind(canvas: Canvas, f: Mapping, hair: Colour) -> None:
    """All of the hair that the head hides, and the silhouette."""
    cut, x, longer = f["hair_cut"], -0.7 * f["turn"], f["hair_length"]

    def grown(points: Points) -> np.ndarray:
        """Longer, and a little wider, the farther from the crown."""
        p = np.asarray(points, float)
        return p + longer * ((p[:, 1:] - 30) / 25).clip(0) ** 2 * [1.5 * (cut == "long"), 4]

    shapes = [curve(both(grown(BEHIND.get(cut, BEHIND["short"]))))]
    if cut == "spiky":
        tips = [32, 30] + (np.array(SPIKES) - [32, 30]) * (1 + 0.09 * longer)
        shapes = [curve(both([p for tip, dent in zip(tips, DENTS, strict=True) for p in (tip, tip, dent)]))]
    elif cut == "buns":
        shapes += [ellipse(side, 12, 6.6 + 0.9 * longer, 6.6 + 0.9 * longer) for side in (16, 48)]
    elif cut == "curly":
        shapes += [ellipse(32 + (18.5 + 2 * longer) * p, 28.5 + (16 + 2 * longer) * q, 8.2, 8) for p, q in CIRCLE[1::2]]
    elif cut in TAILS:
        tail = curve(grown(TAILS[cut]))
        shapes += [tail, flipped(tail)] if cut == "twin tails" else [tail]
    shapes = [shape + [x, 0] for shape in shapes]
    for shape in shapes:
        canvas.line(shape, shadow(hair, 0.9), 1.1)
    canvas.fill(hair, *shapes)
    mask = canvas.mask(*shapes)
    canvas.paint(mask, shadow(hair, 0.6), fade=(14, 44))
    canvas.paint(mask, mix(hair, WHITE, 0.25), 0.8, fade=(20, 8))
    ribbon = hsv(f["clothes_hue"], 0.55, 0.95)
    for p, q in {"twin tails": [(50, 17.5), (14, 17.5)], "ponytail": [(47.5, 10.5)]}.get(cut, []):
        canvas.fill(shadow(ribbon, 0.6), ellipse(p + x, q, 2.7, 2.9))
        canvas.fill(ribbon, ellipse(p + x, q, 2.1, 2.3))


def draw_body(canvas: Canvas, f: Mapping, skin: Colour) -> None:
    """The neck in the shadow of the head, and what is seen of the clothes."""
    cloth = hsv(f["clothes_hue"], 0.42, 0.93)
    canvas.fill(shadow(skin, 0.32, ROSE), curve(both([(32, 48), (37, 49), (37.2, 57), (42, 61), (40, 70)])))
    shoulders = curve(both([(32, 63), (37.5, 59.5), (37.5, 59.5), (46, 61), (52, 65), (55, 76), (32, 78)]))
    canvas.line(shoulders, shadow(cloth, 0.9), 1.1)
    canvas.fill(cloth, shoulders)
    canvas.line(curve([(26, 59.6), (29, 62.2), (32, 63.4), (35, 62.2), (38, 59.6)], closed=False), WHITE, 1.3)


def draw_head(canvas: Canvas, f: Mapping, skin: Colour, hair: Colour) -> None:
    """Ears and face, with the crescent of shadow away from the light and that of the fringe on the forehead."""
    wide, x = 0.9 * f["face_width"], 0.4 * f["turn"]
    shade, edge = shadow(skin, 0.27, ROSE), shadow(skin, 0.75, ROSE)
    for side in (-1, 1):
        centre = 32 + x + side * (16.2 + wide)
        for colour, rx, ry in ((edge, 3.2, 4.4), (skin, 2.6, 3.8), (shade, 1.4, 2.3)):
            canvas.fill(colour, ellipse(centre, 40, rx, ry))
    face = curve(both([(34, 12), (42 + wide, 15), (48.5 + wide, 25), (49 + wide, 36), (48.2 + wide, 43.5),
                       (44.4 + wide, 50.2), (38 + 0.7 * wide, 54.9), (33, 56.9)])) + [x, 0]
    mask = canvas.mask(face)
    canvas.line(face, edge, 1.1)
    canvas.fill(skin, face)
    unlit = ImageChops.subtract(mask, canvas.mask(face + [3.6 * f["light_side"], -1.2]))
    canvas.paint(unlit, shade, 0.35 + 0.65 * f["light"])
    canvas.paint(mask, mix(shade, hair, 0.1), 0.85, fade=(38, 29))
    for side in (-1, 1):
        canvas.glow(32 + 1.6 * f["turn"] + 11.4 * side, 47.8, 5.2, 3.4, (255, 116, 124), 0.1 + 0.55 * f["blush"])


def draw_eye(canvas: Canvas, f: Mapping, skin: Colour, hair: Colour, side: int) -> None:
    iris, lash, k = hsv(f["eye_hue"], 0.68, 0.92), mix((48, 30, 52), hair, 0.12), 1.16 * f["eye_size"]
    wide = k * (1 - 0.07 * side * f["turn"])  # the farther eye is the narrower
    centre = np.array([32 + 1.9 * f["turn"] + side * (9.2 + 0.3 * f["face_width"]), 41])

    def at(points: Points, closed: bool = False) -> np.ndarray:
        """From the eye's own frame, whose x runs outwards."""
        return curve(centre + np.asarray(points) * [side * wide, k], closed)

    upper = [(p, q * f["eye_open"]) for p, q in ((-4.3, 0.2), (-3.2, -3.3), (-0.2, -5.2), (3.0, -4.3), (4.9, -0.8))]
    lower = [(4.0, 2.9), (1.4, 4.7), (-1.6, 4.6), (-3.6, 2.8)]
    opening = canvas.mask(at([*upper, *lower], closed=True))
    x, y = centre + [1.25 * f["gaze_x"], 0.9 * f["gaze_y"]]

    def within(rx: float, ry: float) -> Image.Image:
        return ImageChops.darker(opening, canvas.mask(ellipse(x, y, rx * wide, ry * k)))

    inner = within(3.0, 4.25)
    canvas.paint(opening, WHITE)
    canvas.paint(within(3.55, 4.8), shadow(iris, 0.95))
    canvas.paint(inner, iris)
    canvas.paint(inner, shadow(iris, 1), fade=(y + 1.5, y - 5))
    canvas.paint(inner, mix(iris, WHITE, 0.55), fade=(y + 0.5, y + 5))
    canvas.paint(within(1.35, 2.1), shadow(iris, 1.25))
    canvas.paint(opening, DUSK, 0.6, fade=(centre[1] - 1, centre[1] - 6))
    gleam = 1.4 * f["light_side"]
    canvas.fill(WHITE, ellipse(x + gleam, y - 1.8 * f["eye_open"], 1.25 * k, 1.45 * k))
    canvas.fill(mix(iris, WHITE, 0.85), ellipse(x - 1.1 * gleam, y + 2.2, 0.7 * k, 0.75 * k))
    above = [(p + 0.25, q - thick) for (p, q), thick in zip(upper, (0.2, 1.0, 1.3, 1.5, 1.9), strict=True)]
    canvas.fill(lash, np.vstack([at([*upper, (6.1, -1.7)]), at([(6.1, -1.7), *above[::-1]])]))
    canvas.line(at(lower), mix(lash, skin, 0.4), 0.5)
    canvas.line(at([(0.85 * p, q - 2.2) for p, q in upper[1:]]), shadow(skin, 0.55, ROSE), 0.5)
    if f["glasses"] == "round":
        rim = ellipse(*centre, 6.9, 6.9)
        canvas.paint(canvas.mask(rim), WHITE, 0.14)
        for frame in (rim, [centre - [6.9 * side, 0], (32 + 1.9 * f["turn"], 40)]):
            canvas.line(frame, (84, 62, 82), 0.8)


def draw_mouth(canvas: Canvas, f: Mapping, skin: Colour) -> None:
    """With the nose. The smile bends the lips; they part in the upper half of `mouth_open`."""
    x, turn = 32 + 1.9 * f["turn"], f["turn"]
    canvas.line([(x + 0.2 * turn - 0.5, 47.2), (x + 0.5 * turn + 0.4, 47.7)], shadow(skin, 0.7, ROSE), 0.7)
    w, bend, gap = 3.9 + 1.2 * f["mouth_width"], 2 * f["smile"] + 0.3, 4.6 * max(0, f["mouth_open"] - 0.45)
    y = 51.4 - 0.5 * bend - 0.3 * gap
    lip = [(x + w * p, y + q * bend) for p, q in ((-1, -0.3), (-0.5, 0.6), (0, 0.85), (0.5, 0.6), (1, -0.3))]
    below = [(x + w * p, y + q * bend + r * gap) for p, q, r in ((0.7, 0.3, 0.75), (0, 0.85, 1.25), (-0.7, 0.3, 0.75))]
    opening = canvas.mask(curve([lip[0], *lip, lip[-1], *below]))
    tongue = canvas.mask(ellipse(x, y + 0.85 * bend + 1.45 * gap, 0.75 * w, 0.8 * gap))
    canvas.paint(opening, (150, 48, 62))
    canvas.paint(ImageChops.darker(opening, tongue), (240, 128, 132))
    canvas.line(curve(lip, closed=False), mix(shadow(skin, 0.9, ROSE), (120, 30, 40), 0.4), 0.75)


# The lower edge of the fringe, from the right temple to the left one; twice where it comes to a point.
FRINGES = {
    "blunt": both([(51, 40), (51, 40), (48, 33), (44, 33.5), (44, 33.5), (41, 31.6), (37, 33), (37, 33), (32, 31)]),
    "parted": both([(51, 42), (51, 42), (47.8, 35), (43, 30.5), (37, 25.5), (32, 18)]),
    "swept": [(51, 42), (51, 42), (49, 36), (46.5, 32), (45.5, 35), (45.5, 35), (42, 33), (38.5, 30), (37.5, 32.5),
              (37.5, 32.5), (33, 29.5), (27, 25), (23, 18), (23, 18), (20, 26), (16, 32), (13, 41), (13, 41)],
    "jagged": [(51, 40), (51, 40), (48, 31), (46.5, 35), (46.5, 35), (42.5, 28), (41, 34.5), (41, 34.5), (35.5, 27),
               (33.5, 35.5), (33.5, 35.5), (28.5, 26.5), (26.5, 34.5), (26.5, 34.5), (21.5, 27.5), (19.5, 35),
               (19.5, 35), (16, 30), (13, 40), (13, 40)],
}
WHORLS = {"blunt": (32, 5), "parted": (32, 10), "swept": (23, 10), "jagged": (32, 5)}  # where the strands come from
CROWN = [(12, 30), (14, 20), (20, 12), (27, 8.5), (32, 7.8), (37, 8.5), (44, 12), (50, 20), (52, 30)]
LOCKS = {"short": 44, "bob": 53, "long": 62, "ponytail": 51, "twin tails": 50, "spiky": 43, "buns": 51, "curly": 42}
GLOSS = [(15.5, 25), (21, 19), (32, 16), (43, 19), (48.5, 25), (43.5, 22), (36, 20), (29, 22), (20.5, 21)]


def draw_hair_in_front(canvas: Canvas, f: Mapping, hair: Colour) -> None:
    """Fringe and side locks, darker towards the tips, with the ring of light that glossy hair has."""
    fringe, whorl, shift = FRINGES[f["fringe"]], np.array(WHORLS[f["fringe"]]), [0.9 * f["turn"], 0]
    tip = LOCKS[f["hair_cut"]] + 2.5 * f["hair_length"]
    lock = curve([(51.5, 24), (53, 33), (52.6, 42), (50.6, tip), (50.6, tip), (49.6, 41), (47, 33), (46, 25)])
    for edge in (lock, flipped(lock), curve(fringe, closed=False)):
        canvas.line(edge + shift, shadow(hair, 0.9), 0.9)
    shapes = [shape + shift for shape in (lock, flipped(lock), curve([*fringe, *CROWN]))]
    canvas.fill(hair, *shapes)
    mask = canvas.mask(*shapes)
    canvas.paint(mask, shadow(hair, 0.5), 0.9, fade=(24, 46))
    canvas.paint(mask, mix(hair, WHITE, 0.25), 0.8, fade=(20, 8))
    for end in fringe:
        if fringe.count(end) == 1:
            strand = [whorl + (end - whorl) * way for way in ((0.45, 0.45), (0.82, 0.67), (1, 1))]
            canvas.line(curve(strand, closed=False) + shift, shadow(hair, 0.5), 0.4)
    gloss = ImageChops.darker(mask, canvas.mask(curve(GLOSS) + shift + [3 * f["light_side"], 0]))
    canvas.paint(gloss, mix(hair, (255, 250, 240), 0.48), 0.3 + 0.5 * f["light"])


def draw_brows(canvas: Canvas, f: Mapping, hair: Colour) -> None:
    brow = np.array([(4.9, 1.5 * f["brow_slant"]), (8.9, -0.9), (13.3, 0.3 - 1.5 * f["brow_slant"])])
    for side in (-1, 1):
        place = brow * [side, 1] + [32 + 1.9 * f["turn"], 32.6 - 1.3 * f["brow_height"]]
        canvas.line(curve(place, closed=False), shadow(hair, 1.15), 0.95)


def lit(image: Image.Image, f: Mapping) -> Image.Image:
    """Warm from the side of the light, dusk from the other."""
    left = f["light_side"] < 0
    far = ramp(image.size[0], 4, 60).transpose(Image.Transpose.ROTATE_90 if left else Image.Transpose.ROTATE_270)
    strength = abs(f["light_side"]) * f["light"]
    image.paste((255, 236, 190), mask=faint(ImageChops.invert(far), 0.16 * strength))
    image.paste(DUSK, mask=faint(far, 0.25 * strength))
    return image

"""Any folder of pictures, as small squares of one size in memory.

Read next: drawn_faces.py, the pictures that are drawn when the user gives none.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import PIL
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from data import BadInput, replacing, shown

CACHE = Path(__file__).parent / "cache" / "images"
FEW = 1000
MOST_PIXELS = 2**26  # 200 MB decoded
MOST_BYTES = 2**28
BROKEN = "broken, or of a kind that Pillow cannot decode"
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # the notes say what matters
EXTENSIONS = Image.registered_extensions()
# PostScript is a program: Pillow would let Ghostscript run it, without a limit of time.
FORMATS = [name for name in Image.OPEN if name != "EPS"]


class Deep(NamedTuple):
    """A picture of 16 bits: its square (size, size, 1) float32, on which 65535 is 255; and its brightest pixel."""

    square: np.ndarray
    brightest: int


class TooSmall(str):
    """Why a picture is skipped, and `side`, the length of its shorter side."""

    def __new__(cls, size: int, side: int):
        reason = super().__new__(cls, f"smaller than {size} x {size} pixels")
        reason.side = side
        return reason


@dataclass(frozen=True)
class Images:
    """n square images of one size.

    pixels     (n, size, size, C) uint8; C = 3: red, green, blue; C = 1: grey, 0 is black
    source     short name for titles and metrics
    simulated  True when a program drew them
    notes      sentences for the log
    names      n paths relative to the folder that was read, or None
    """

    pixels: np.ndarray
    source: str
    simulated: bool = False
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.pixels)


def split(n: int, seed: int, test_share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test images, shuffled: n -> (n - m,) and (m,), m = round(test_share n).

    The same for the same n and seed. Raises BadInput where one of the two would be empty.
    """
    m = round(test_share * n)
    if not 0 < m < n:
        raise BadInput(f"images: {n} cannot be split into training and test images")
    order = np.random.default_rng(seed).permutation(n)
    return order[m:], order[:m]


def read_images(
    folder: str | Path, size: int = 32, workers: int | None = None, log: Callable[[str], None] = print
) -> Images:
    """Every picture in a folder and in the folders inside, in any format that Pillow reads, as size x size pixels.

    They are made upright (EXIF), put on white where transparent, and 16 bits are scaled to 8 (see `_select`); of an
    animation the first frame is used.
    Grey if all pictures are grey, even when stored as RGB; otherwise all are RGB. Colour profiles are not
    applied. The square in the middle is averaged (see `shrink`), never enlarged. Of pictures that are then
    equal pixel for pixel only the first stays, so that none is in the training and in the test set.
    The order is that of the relative paths, whatever the number of workers (threads; None: one per core).

    Files that cannot be used are skipped; the notes say how many, and why. Damage that a decoder does not notice is
    found by the checksums of a PNG file; JPEG and most other formats have none. The result is kept in data/cache under
    a hash of all names and bytes, so that an unchanged folder is not decoded again.

    Raises BadInput for a folder that is missing, not a folder, empty, or without one usable picture.
    """
    if size < 1:
        raise BadInput(f"size: {size} is not a number of pixels")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}: name a folder of pictures") from None
    folder = Path(folder)
    files = sorted(_walk(folder))
    if not files:
        raise BadInput(f"{folder}: holds no file")

    log(f"Reading {shown(folder)}, files: {len(files)}.")
    paths = [folder / name for name in files]
    key = hashlib.sha256(Path(__file__).read_bytes())
    key.update(json.dumps([PIL.__version__, size, files, _each(_digest, paths, "Hashing", workers)]).encode())
    kept = CACHE / f"{key.hexdigest()[:32]}.npz"
    try:
        pixels, names, notes = _load(kept)
    except Exception:  # not there, or damaged: what a broken archive raises is undocumented
        with warnings.catch_warnings():  # here, since a filter is for all threads
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # of a picture within a file, as in ICO
            squares = _each(lambda path: _read(path, size), paths, "Decoding", workers)
        pixels, names, notes = _select(files, squares, size)
        if not names:
            raise BadInput(f"{folder}: not one usable picture. {' '.join(notes)}") from None
        try:
            _save(kept, pixels, names, notes)
        except OSError as error:
            log(f"{kept.parent}: {error.strerror or error}: the images are not kept for the next time.")
    if len(names) < FEW:
        notes += (f"Images: {len(names)}, which is few for a variational autoencoder: it will overfit.",)
    return Images(pixels, shown(folder.resolve().name), False, notes, names)


def shrink(x: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle of x, averaged over size x size equal areas: (h, w, C) -> (size, size, C) float32.

    A pixel that the edge of an area cuts counts on each side for its share there. (Pillow's BOX filter gives all of it
    to one side, which at 92 -> 32 pixels is wrong by up to 46 grey levels in noise.)
    """
    h, w, channels = x.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    x = x[top : h - top, left : w - left]  # or one pixel more; the weights of a long strip would fill the memory
    h, w, _ = x.shape
    strips = [share[a:b] @ x[a:b].reshape(b - a, -1) for share, a, b in zip(*_shares(h, side, size), strict=True)]
    columns, _, _ = _shares(w, side, size)
    return columns @ np.reshape(strips, (size, w, channels))


@lru_cache(16)  # as most pictures of a folder are of one size
def _shares(length: int, side: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The middle `side` of `length` pixels in `size` equal stretches: what each averages, from pixel a to pixel b.

    share (size, length) float32, rows sum to 1; a, b (size,) int
    """
    edges = (length - side) / 2 + np.arange(size + 1) * side / size
    low, high, pixel = edges[:-1, None], edges[1:, None], np.arange(length)
    overlap = np.minimum(high, pixel + 1) - np.maximum(low, pixel)
    share = (np.maximum(overlap, 0) * (size / side)).astype(np.float32)
    return share, np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)


def _walk(folder: Path) -> Iterator[str]:
    """The relative paths of all files, also through links, and of folders that cannot be opened; no folder twice."""
    seen, closed = set(), []
    for where, folders, files in os.walk(folder, followlinks=True, onerror=lambda error: closed.append(error.filename)):
        at = os.stat(where)
        if (at.st_dev, at.st_ino) in seen:
            folders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        folders.sort()
        for name in files:
            yield Path(where, name).relative_to(folder).as_posix()
    for name in closed:
        yield Path(name).relative_to(folder).as_posix()


def _each(function: Callable, items: list, words: str, workers: int | None) -> list:
    """[function(item) for item in items], in threads: Pillow, hashlib and numpy release Python's lock."""
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    with _libraries_are_quiet() as stderr:
        console = Console(file=stderr)
        try:
            results = pool.map(function, items)
            if console.is_terminal:
                results = track(results, words, len(items), console=console, transient=True)
            return list(results)
        finally:
            pool.shutdown(cancel_futures=True)  # what was not started when Ctrl-C came


@contextmanager
def _libraries_are_quiet() -> Iterator[TextIO]:
    """Inside, what a library writes to the number of stderr is lost, as libtiff does for each damaged file. Yields a
    file that goes there all the same.
    """
    try:
        number = os.dup(2)
    except OSError:  # it is closed
        yield sys.stderr
        return
    with os.fdopen(number, "w") as stderr, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield stderr
        finally:
            os.dup2(number, 2)


def _bytes(path: Path) -> bytes | str:
    """The content of a file, or why it is not read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "a folder that cannot be opened"
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait forever
            return "not a file with content"
        return path.read_bytes() if status.st_size <= MOST_BYTES else f"larger than {MOST_BYTES:,} bytes"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _digest(path: Path) -> str:
    content = _bytes(path)
    return content if isinstance(content, str) else hashlib.sha256(content).hexdigest()


def _read(path: Path, size: int) -> np.ndarray | str:
    """One picture as (size, size, 3) uint8, or why it is skipped."""
    content = _bytes(path)
    if isinstance(content, str):
        return content
    too_large = f"more than {MOST_PIXELS:,} pixels"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:  # the header alone
            if image.width * image.height > MOST_PIXELS:
                return too_large
            if min(image.size) < size:
                return TooSmall(size, min(image.size))
            image.verify()  # the checksums in a PNG file, which decoding does not look at
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            x, deep = _decode(image), image.mode.startswith("I")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return too_large
    except Image.UnidentifiedImageError:
        of_an_image = path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
        return BROKEN if of_an_image else "not an image that Pillow reads"
    except Exception:  # what a decoder raises on a damaged file is undocumented
        return BROKEN
    if x is None:
        return "numbers that are not from 0 to 65535, or fractions not from 0 to 1, so that white is unknown"
    if deep:
        return Deep(shrink(x, size), round(float(x.max()) * 65535 / 255))
    return _rounded(shrink(x, size), size)


def _rounded(square: np.ndarray, size: int) -> np.ndarray:
    return np.broadcast_to(np.rint(square).astype(np.uint8), (size, size, 3))


def _decode(image: Image.Image) -> np.ndarray | None:
    """(h, w, C) from 0 to 255, where C is 1 or 3; None when it is not known which number is white."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        white = 1 if image.mode == "F" else 65535
        x = np.asarray(image, np.float32)[..., None]
        return x * np.float32(255 / white) if ((x >= 0) & (x <= white)).all() else None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    x = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return x.reshape(*x.shape[:2], -1)


def _select(
    files: list[str], squares: list[np.ndarray | str], size: int
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Pixels, names and notes: without the skipped, without duplicates, in one channel if that is enough.

    Pictures of 16 bits often use only 8, 10, 12 or 14 of them. White is the end of the smallest of these ranges that
    holds the brightest pixel of all such pictures.
    """
    deep = [square for square in squares if isinstance(square, Deep)]
    brightest = max((square.brightest for square in deep), default=0)
    bits = next(bits for bits in (8, 10, 12, 14, 16) if brightest < 2**bits)
    squares = [_rounded(square.square * np.float32(65535 / (2**bits - 1)), size) if isinstance(square, Deep) else square
               for square in squares]
    first: dict[bytes, str] = {}  # pixels and the first file that has them
    skipped: dict[str, list[str]] = {}
    copies = []
    for name, square in zip(files, squares, strict=True):
        if isinstance(square, str):
            skipped.setdefault(square, []).append(name)
        elif (same := first.setdefault(square.tobytes(), name)) != name:
            copies.append((name, same))
    pixels = np.frombuffer(bytearray().join(first), np.uint8).reshape(-1, size, size, 3)
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1].copy()
    smallest = min((square.side for square in squares if isinstance(square, TooSmall)), default=0)
    notes = [f"Skipped, {why}: {len(names)} (such as '{shown(names[0])}')."
             + f" With --size {smallest} they are used." * isinstance(why, TooSmall) for why, names in skipped.items()]
    if deep and bits < 16:
        notes.append(f"Pictures of 16 bits, with no pixel above {brightest}: {len(deep)}. White is taken to be "
                     f"{2**bits - 1}, as with {bits} bits.")
    if copies:
        name, same = map(shown, copies[0])
        notes.append(f"Exact duplicates, left out before the split: {len(copies)} ('{name}' is equal to '{same}').")
    return pixels, tuple(first.values()), tuple(notes)


def _load(path: Path) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    with path.open("rb") as file, np.load(file) as arrays:  # its zip format has checksums, which find damage
        names, notes = json.loads(str(arrays["words"]))
        return arrays["pixels"], tuple(names), tuple(notes)


def _save(path: Path, pixels: np.ndarray, names: tuple[str, ...], notes: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        np.savez(beside, pixels=pixels, words=json.dumps([names, notes]))

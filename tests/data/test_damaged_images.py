"""Pictures out of damaged files: skipped with a reason, or with the pixels that stand there; never anything else.

What stands in a PNG file is said by `png_pixels`, a reader of a page that believes nothing without its checksum.
Other formats have no checksums: of them, a plain decoding of the same bytes is the answer.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image

from data import BadInput, faces
from data.faces import read_images

SIDE = 12  # of the pictures and of what is asked for: averaged over areas of one pixel, a picture is itself
X = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
X[3:9] = X[3]


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(X).convert(mode).save(file, kind, **options)
    return file.getvalue()


PNG = [encoded("PNG"), encoded("PNG", "L"), encoded("PNG", compress_level=0)]
JPEG = [encoded("JPEG"), encoded("JPEG", "L", quality=30), encoded("JPEG", progressive=True)]
OTHERS = [encoded("GIF"), encoded("BMP"), encoded("TIFF", compression="tiff_lzw"), encoded("WEBP", lossless=True),
          encoded("PPM"), encoded("TGA"), encoded("ICO"), encoded("JPEG2000"), encoded("TIFF"), encoded("TIFF", "CMYK"),
          encoded("PCX"), encoded("SGI"), encoded("DDS"), encoded("PNG", "P"), encoded("PNG", "LA")]


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with bits flipped, a part cut out, bytes put in, or a part doubled."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 5]))):
        at, to = sorted(draw(st.integers(0, len(data))) for _ in range(2))
        way = draw(st.sampled_from(["flip", "flip", "set", "cut", "end", "insert", "double"]))
        if way == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1:]
        elif way == "set":
            data = data[:at] + draw(st.sampled_from([b"\0", b"\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])) + data[at + 1:]
        elif way == "cut":
            data = data[:at] + data[to:]
        elif way == "end":
            data = data[:at]
        elif way == "insert":
            data = data[:at] + draw(st.binary(max_size=4)) + data[at:]
        elif way == "double":
            data = data[:to] + data[at:]
    return data


@st.composite
def mended(draw: st.DrawFn) -> bytes:
    """A PNG file with a byte of one chunk changed and its checksum made to fit, as somebody would who means harm."""
    data = draw(st.sampled_from(PNG + [encoded("PNG", "P"), encoded("PNG", "LA")]))
    chunks, at = [], 8
    while at < len(data):
        length, = struct.unpack(">I", data[at:at + 4])
        chunks.append((data[at + 4:at + 8], data[at + 8:at + 8 + length]))
        at += length + 12
    i = draw(st.integers(0, len(chunks) - 2))
    kind, content = chunks[i]
    place = draw(st.integers(0, len(content) - 1))
    chunks[i] = kind, content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1:]
    return data[:8] + b"".join(struct.pack(">I", len(content)) + kind + content
                               + struct.pack(">I", zlib.crc32(kind + content)) for kind, content in chunks)


def png_pixels(data: bytes) -> np.ndarray:
    """(h, w, C) out of a PNG file of eight bits, grey or RGB, not interlaced. ValueError where anything is amiss."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG file")
    chunks, at, kind = [], 8, b""
    while kind != b"IEND":
        length, = struct.unpack(">I", data[at:at + 4])
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        if kind != b"IEND" and data[at + 8 + length:at + 12 + length] != struct.pack(">I", zlib.crc32(kind + content)):
            raise ValueError("a wrong checksum")
        chunks.append((kind, content))
        at += length + 12
    w, h, depth, colour, *rest = struct.unpack(">2I5B", dict(chunks)[b"IHDR"])
    if depth != 8 or colour not in (0, 2) or any(rest):
        raise ValueError("not of the kind that is known here")
    channels = 3 if colour else 1
    rows = np.frombuffer(zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT")), np.uint8)
    rows = rows.reshape(h, 1 + w * channels).astype(int)
    x = np.zeros((h + 1, w + 1, channels), int)  # a row above and a column to the left, of zeros
    for i, (kind, *row) in enumerate(rows.tolist(), start=1):
        for j, values in enumerate(np.reshape(row, (w, channels)), start=1):
            left, up, corner = x[i, j - 1], x[i - 1, j], x[i - 1, j - 1]
            distances = np.abs(np.array([left, up, corner]) - (left + up - corner))
            paeth = np.choose(distances.argmin(axis=0), [left, up, corner])
            x[i, j] = (values + [0 * left, left, up, (left + up) // 2, paeth][kind]) % 256
    return x[1:, 1:]


def plain_pixels(data: bytes) -> np.ndarray | None:
    """What Pillow alone makes of the bytes; None for the modes and orientations of which faces.py has its own view."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in ("L", "RGB") or image.has_transparency_data or image.getexif():
            return None
        return np.asarray(image).reshape(SIDE, SIDE, -1)


def found(data: bytes) -> np.ndarray | None:
    """The pixels that `read_images` gives of a folder with this picture alone; None when it is refused, in one line."""
    Path("pictures").mkdir(exist_ok=True)
    Path("pictures", "a.png").write_bytes(data)
    try:
        images = read_images("pictures", SIDE, workers=1, log=lambda line: None)
    except BadInput as refusal:
        line = str(refusal)
        assert line.startswith("pictures: not one usable picture. Skipped, ") and line.isprintable()
        return None
    assert images.pixels.dtype == np.uint8 and images.pixels.shape[:3] == (1, SIDE, SIDE)
    return images.pixels[0]


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setattr(faces, "CACHE", Path("file", "cache"))


def check_png(data: bytes) -> None:
    pixels = found(data)
    event("refused" if pixels is None else "read")
    assert pixels is None or np.array_equal(pixels, png_pixels(data))


def check_others(data: bytes) -> None:
    pixels = found(data)
    event("refused" if pixels is None else "read")
    if pixels is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd metadata
            with Image.open(io.BytesIO(data)) as image:
                expected = None if image.size != (SIDE, SIDE) else plain_pixels(data)
        assert expected is None or np.array_equal(pixels, expected) or (pixels == expected[..., :1]).all()


quick = settings(max_examples=80, deadline=timedelta(minutes=1), database=None, derandomize=True)
long = settings(max_examples=10_000, deadline=timedelta(minutes=1), database=None)


@pytest.mark.parametrize("data", PNG)
def test_what_is_whole_is_read(data: bytes) -> None:
    assert np.array_equal(found(data), png_pixels(data))


@quick
@given(damaged(PNG))
def test_a_damaged_PNG_file_is_refused_or_undamaged_in_its_pixels(data: bytes) -> None:
    check_png(data)


@quick
@given(damaged(JPEG + OTHERS))
def test_a_damaged_picture_is_refused_or_read_as_it_stands(data: bytes) -> None:
    check_others(data)


@quick
@given(mended())
def test_a_PNG_file_with_fitting_checksums_raises_nothing(data: bytes) -> None:
    found(data)


@pytest.mark.long
@long
@given(damaged(PNG))
def test_thousands_of_damaged_PNG_files(data: bytes) -> None:
    check_png(data)


@pytest.mark.long
@long
@given(damaged(JPEG))
def test_thousands_of_damaged_JPEG_files(data: bytes) -> None:
    check_others(data)


@pytest.mark.long
@long
@given(damaged(OTHERS))
def test_thousands_of_other_damaged_pictures(data: bytes) -> None:
    check_others(data)


@pytest.mark.long
@long
@given(mended())
def test_thousands_of_PNG_files_with_fitting_checksums(data: bytes) -> None:
    found(data)

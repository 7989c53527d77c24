"""A folder of pictures: every mode and format, all that can be wrong with a file, duplicates, order, cache, split."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from data import BadInput, faces
from data.faces import Images, read_images, shrink, split

HERE = Path("pictures")
RED = (255, 0, 0)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "CACHE", Path("cache").absolute())
    HERE.mkdir()


def plain(mode: str, colour: object, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new(mode, size, colour)


def save(image: Image.Image, name: str, **options: object) -> None:
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def read(size: int = 8, **options: object) -> Images:
    return read_images(HERE, size, log=lambda line: None, **options)


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    image = plain("P", 0)
    image.putpalette([value for colour in colours for value in colour])
    return image


def numbers(value: float, dtype: str) -> Image.Image:
    return Image.fromarray(np.full((40, 40), value, dtype))


PLAIN = {
    "grey": (lambda: plain("L", 77), "a.png", {}, 77),
    "black and white": (lambda: plain("1", 1), "a.png", {}, 255),
    "RGB": (lambda: plain("RGB", (1, 2, 3)), "a.png", {}, (1, 2, 3)),
    "BMP": (lambda: plain("RGB", (1, 2, 3)), "a.bmp", {}, (1, 2, 3)),
    "WebP": (lambda: plain("RGB", (1, 2, 3)), "a.webp", {"lossless": True}, (1, 2, 3)),
    "PPM": (lambda: plain("RGB", (1, 2, 3)), "a.ppm", {}, (1, 2, 3)),
    "TGA": (lambda: plain("RGB", (1, 2, 3)), "a.tga", {}, (1, 2, 3)),
    "palette": (lambda: palette((9, 8, 7)), "a.png", {}, (9, 8, 7)),
    "palette, transparent": (lambda: palette((9, 8, 7)), "a.png", {"transparency": 0}, 255),
    "palette, half transparent": (lambda: palette((0, 0, 0)), "a.png", {"transparency": b"\x80"}, 127),
    "GIF, transparent": (lambda: palette((9, 8, 7)), "a.gif", {"transparency": 0}, 255),
    "RGB, one colour transparent": (lambda: plain("RGB", (1, 2, 3)), "a.png", {"transparency": (1, 2, 3)}, 255),
    "grey, one grey transparent": (lambda: plain("L", 5), "a.png", {"transparency": 5}, 255),
    "half transparent black": (lambda: plain("RGBA", (0, 0, 0, 128)), "a.png", {}, 127),
    "transparent red": (lambda: plain("RGBA", (255, 0, 0, 0)), "a.png", {}, 255),
    "grey with alpha": (lambda: plain("LA", (100, 51)), "a.png", {}, 224),  # 0.2 * 100 + 0.8 * 255
    "CMYK": (lambda: plain("CMYK", (0, 255, 255, 0)), "a.tif", {}, RED),
    "16 bits PNG": (lambda: numbers(99 * 257, "uint16"), "a.png", {}, 99),
    "16 bits TIFF": (lambda: numbers(99 * 257, "<u2"), "a.tif", {}, 99),
    "16 bits big-endian": (lambda: plain("I;16B", 99 * 257), "a.tif", {}, 99),
    "16 bits PGM": (lambda: numbers(65535, "int32"), "a.pgm", {}, 255),
    "32 bits": (lambda: numbers(99 * 257, "int32"), "a.tif", {}, 99),
    "fractions": (lambda: numbers(0.4, "float32"), "a.tif", {}, 102),
    "palette with alpha": (lambda: palette((9, 8, 7)).convert("PA"), "a.tif", {}, (9, 8, 7)),
    "RGB and a byte of nothing": (lambda: plain("RGBX", (1, 2, 3, 0)), "a.tif", {}, (1, 2, 3)),
    "PNG named JPEG": (lambda: plain("L", 7), "a.jpg", {"format": "PNG"}, 7),
    "PNG named text": (lambda: plain("L", 7), "a.txt", {"format": "PNG"}, 7),
    "no extension": (lambda: plain("L", 7), "a", {"format": "PNG"}, 7),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_every_mode_becomes_eight_bits(kind: str) -> None:
    image, name, options, colour = PLAIN[kind]
    save(image(), name, **options)
    images = read()
    assert images.pixels.dtype == np.uint8 and images.names == (name,)
    assert images.pixels.shape == (1, 8, 8, 3 if isinstance(colour, tuple) else 1)
    assert np.array_equal(np.unique(images.pixels.reshape(64, -1), axis=0), np.atleast_2d(colour))


@pytest.mark.parametrize("brightest, white", [(255, 255), (1023, 1023), (1024, 4095), (4095, 4095), (16383, 16383),
                                              (16384, 65535)])
def test_white_is_the_end_of_the_range_that_the_brightest_of_all_pictures_needs(brightest: int, white: int) -> None:
    save(numbers(brightest, "uint16"), "a.png")
    save(numbers(brightest // 2, "uint16"), "b.png")
    save(plain("L", 77), "c.png")
    images = read()
    assert [int(image.max()) for image in images.pixels] == [
        round(255 * brightest / white), round(255 * (brightest // 2) / white), 77]
    told = [note for note in images.notes if "16 bits" in note]
    assert len(told) == (white < 65535)
    assert not told or f"no pixel above {brightest}: 2. White is taken to be {white}, as with" in told[0]


def test_twelve_bits_in_sixteen_are_not_black() -> None:
    (HERE / "a.png").write_bytes((Path(__file__).parent / "cases" / "12bit.png").read_bytes())
    assert read().pixels.max() > 200


@pytest.mark.parametrize("mode, colour, name, expected", [
    ("RGB", (200, 100, 50), "a.jpg", (200, 100, 50)),
    ("CMYK", (0, 255, 255, 0), "a.jpg", RED),
    ("LAB", (255, 128, 128), "a.tif", (255, 255, 255)),
])
def test_modes_and_formats_that_round(mode: str, colour: tuple, name: str, expected: tuple) -> None:
    save(plain(mode, colour), name)
    assert np.abs(read().pixels.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("mode, colour, expected", [
    ("HSV", (0, 255, 255), RED),
    ("YCbCr", (76, 85, 255), (254, 0, 0)),
    ("RGBa", (51, 0, 0, 51), (255, 204, 204)),  # a fifth of red on white
])
def test_modes_that_hardly_a_file_has(mode: str, colour: tuple, expected: tuple) -> None:
    assert (faces._decode(plain(mode, colour)) == expected).all()


def test_colours_that_are_multiplied_by_their_alpha() -> None:
    content = encoded(plain("RGBA", (51, 0, 0, 51)), "TIFF")
    kind = struct.pack("<2HIH", 338, 3, 1, 2)  # alpha beside the colours; 1: alpha is in them
    assert content.count(kind) == 1
    (HERE / "a.tif").write_bytes(content.replace(kind, kind[:-2] + b"\1\0"))
    assert (read().pixels == (255, 204, 204)).all()


def half_white() -> np.ndarray:
    x = np.zeros((40, 40), np.uint8)
    x[:, 20:] = 255  # the right half
    return x


@pytest.mark.parametrize("orientation, turned", [
    (1, lambda x: x),
    (2, lambda x: x[:, ::-1]),
    (3, lambda x: x[::-1, ::-1]),
    (6, lambda x: np.rot90(x, -1)),  # to be turned clockwise
    (8, lambda x: np.rot90(x)),
])
def test_pictures_are_made_upright(orientation: int, turned: Callable[[np.ndarray], np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(Image.fromarray(half_white()), "a.png", exif=exif)
    assert np.array_equal(read(40).pixels[0, ..., 0], turned(half_white()))


@pytest.mark.parametrize("name, options", [("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})])
def test_of_an_animation_the_first_frame(name: str, options: dict) -> None:
    save(plain("RGB", RED), name, save_all=True, append_images=[plain("RGB", (0, 0, 255))], **options)
    assert (read().pixels == RED).all()


def test_a_strip_gives_its_middle() -> None:
    x = np.zeros((30_000, 8), np.uint8)
    x[14_996:15_004] = 99
    save(Image.fromarray(x), "a.png")
    assert (read(8).pixels == 99).all()


def test_grey_if_all_are_grey_in_content() -> None:
    save(plain("L", 10), "a.png")
    save(plain("RGB", (20, 20, 20)), "b.png")
    assert read().pixels[:, 0, 0].tolist() == [[10], [20]]
    save(plain("RGB", (20, 20, 21)), "c.png")
    assert read().pixels[:, 0, 0].tolist() == [[10, 10, 10], [20, 20, 20], [20, 20, 21]]


@pytest.mark.parametrize("h, w, size", [(8, 8, 4), (5, 5, 2), (7, 4, 3), (4, 7, 3), (9, 9, 9), (11, 6, 5), (3, 40, 2)])
def test_shrink_averages_the_square_in_the_middle(rng, h: int, w: int, size: int) -> None:
    x = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    fine = x.repeat(2 * size, axis=0).repeat(2 * size, axis=1).astype(float)  # now every edge is between two pixels
    side = min(h, w)
    top, left = (h - side) * size, (w - side) * size
    square = fine[top : top + 2 * size * side, left : left + 2 * size * side]
    expected = square.reshape(size, 2 * side, size, 2 * side, 3).mean(axis=(1, 3))
    assert np.allclose(shrink(x, size), expected, rtol=1e-5, atol=0)


def test_the_mean_is_rounded_to_the_nearest() -> None:
    x = np.zeros((8, 8), np.uint8)
    x[0, :3] = 1, 1, 1  # the mean of a block of four: 0.5, 0.25, 0, 0
    x[4, :3] = 100, 103, 3
    x[5, 0] = 100
    save(Image.fromarray(x), "a.png")
    assert read(4).pixels[0, [0, 2], :, 0].tolist() == [[0, 0, 0, 0], [76, 1, 0, 0]]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int) -> bytes:
    """The header of a PNG file, then the end."""
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, keep: float = 1.0, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()[: int(keep * file.tell())]


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))


def icon(picture: bytes) -> bytes:
    """An ICO file of one picture that says of itself to be 256 x 256 pixels."""
    return struct.pack("<3H4B2H2I", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(picture), 22) + picture


def wide_frame() -> bytes:
    """A GIF file of 40 x 40 pixels, with a frame of 65,535 x 65,535 in it."""
    content = encoded(plain("P", 0), "GIF")
    at = content.index(b",") + 5
    return content[:at] + b"\xff" * 4 + content[at + 4:]


UNUSABLE = {
    "PNG, cut": ("a.png", lambda: encoded(noise(), "PNG", 0.5), "broken"),
    "JPEG, cut": ("a.jpg", lambda: encoded(noise(), "JPEG", 0.5), "broken"),
    "GIF, cut": ("a.gif", lambda: encoded(noise(), "GIF", 0.1), "broken"),
    "PNG, header alone": ("a.png", lambda: png(40, 40), "broken"),
    "no byte": ("a.png", lambda: b"", "broken"),
    "text named PNG": ("A.PNG", lambda: b"hello", "broken"),
    "text": ("README", lambda: b"hello", "not an image"),
    "no byte, no extension": ("a", lambda: b"", "not an image"),
    "hidden": (".DS_Store", lambda: b"\0\0\0\1Bud1\0" + bytes(6000), "not an image"),
    "what a Mac adds": ("._a.png", lambda: b"\0\5\26\7\0\2\0\0Mac OS X        ", "not an image"),
    "1 x 1": ("a.png", lambda: encoded(plain("L", 0, (1, 1)), "PNG"), "smaller than 8 x 8 pixels"),
    "1 x 500": ("a.png", lambda: encoded(plain("L", 0, (1, 500)), "PNG"), "smaller than 8 x 8 pixels"),
    "8 x 7": ("a.png", lambda: encoded(plain("L", 0, (8, 7)), "PNG"), "smaller than 8 x 8 pixels"),
    "bomb": ("a.png", lambda: png(100_000, 100_000), "more than 67,108,864 pixels"),
    "bomb that Pillow only warns of": ("a.png", lambda: png(10_000, 10_000), "more than 67,108,864 pixels"),
    "large": ("a.png", lambda: png(8192, 8193), "more than 67,108,864 pixels"),
    "bomb within an icon": ("a.ico", lambda: icon(png(10_000, 10_000)), "more than 67,108,864 pixels"),
    "bomb within a GIF": ("a.gif", wide_frame, "more than 67,108,864 pixels"),
    "many bytes": ("a.png", lambda: bytes(20_001), "larger than 20,000 bytes"),
    "fractions beyond 1": ("a.tif", lambda: encoded(numbers(300, "float32"), "TIFF"), "numbers that are not"),
    "no number": ("a.tif", lambda: encoded(numbers(np.nan, "float32"), "TIFF"), "numbers that are not"),
    "negative": ("a.tif", lambda: encoded(numbers(-1, "int32"), "TIFF"), "numbers that are not"),
    "beyond 65535": ("a.tif", lambda: encoded(numbers(65536, "int32"), "TIFF"), "numbers that are not"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_is_skipped_with_a_note(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(faces, "MOST_BYTES", 20_000)
    name, content, why = UNUSABLE[kind]
    save(plain("L", 50, (8, 8)), "good.png")
    for folder in ("", "inside"):
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / name).write_bytes(content())
    images = read()
    assert images.names == ("good.png",)
    note, _ = images.notes
    note, _, advice = note.partition(" With --size ")
    assert note.startswith(f"Skipped, {why}") and note.endswith(f": 2 (such as '{name}').")
    assert advice == ("" if "smaller" not in why else "7 they are used." if name == "a.png" and kind == "8 x 7" else
                      "1 they are used.")
    shutil.rmtree(HERE / "inside")
    (HERE / "good.png").unlink()
    with pytest.raises(BadInput, match=f"^pictures: not one usable picture. Skipped, {why}.*: 1 ") as error:
        read()
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(nobody: Callable[[], AbstractContextManager]) -> None:
    for name in ("good.png", "secret.png", "closed/a.png"):
        save(plain("L", 50), name)
    (HERE / "dangling.png").symlink_to("nowhere")
    (HERE / "itself.png").symlink_to("itself.png")
    os.mkfifo(HERE / "pipe.png")
    for name in ("secret.png", "closed"):
        (HERE / name).chmod(0)
    with nobody():
        images = read()
    (HERE / "closed").chmod(0o700)
    assert images.names == ("good.png",)
    assert images.notes[:-1] == (
        "Skipped, a folder that cannot be opened: 1 (such as 'closed').",
        "Skipped, cannot be read (No such file or directory): 1 (such as 'dangling.png').",
        "Skipped, cannot be read (Too many levels of symbolic links): 1 (such as 'itself.png').",
        "Skipped, not a file with content: 1 (such as 'pipe.png').",
        "Skipped, cannot be read (Permission denied): 1 (such as 'secret.png').",
    )


def test_links_are_followed_and_end() -> None:
    for name, grey in (("a/b/one.png", 1), ("../elsewhere/two.png", 2)):
        save(plain("L", grey), name)
    (HERE / "a/b/up").symlink_to("../..")
    (HERE / "linked").symlink_to(Path("elsewhere").absolute())
    (HERE / "three.png").symlink_to(HERE.absolute() / "a/b/one.png")
    images = read()
    assert images.names == ("a/b/one.png", "linked/two.png")
    assert images.notes[0] == "Exact duplicates, left out before the split: 1 ('three.png' is equal to 'a/b/one.png')."


@pytest.mark.parametrize("name, shown", [
    ("new\nline.txt", r"new\nline.txt"),
    ("\x1b[31m.txt", r"\x1b[31m.txt"),
    (os.fsdecode(b"\xff.txt"), r"\udcff.txt"),
    ("é 顔 it's.txt", "é 顔 it's.txt"),
])
def test_any_name_is_safe_to_show(name: str, shown: str) -> None:
    HERE.joinpath(name).mkdir()
    for file in ("a.png", "b.png", name):
        save(plain("L", 1), f"{name}/{file}", format="PNG")
    (HERE / name / f"z{name}").write_text("")
    log: list[str] = []
    for _ in ("read", "from the cache"):
        images = read_images(HERE / name, 8, log=log.append)
        assert images.names == (min("a.png", name),)
        assert images.source == shown
        assert f"'z{shown}'" in images.notes[0] and all(line.isprintable() for line in (*images.notes, *log))


def test_duplicates_are_equal_pixels_in_whatever_file() -> None:
    save(noise(), "b.png")
    save(noise(), "a/c.bmp")
    save(noise().resize((80, 80), Image.NEAREST), "z.png")
    save(Image.fromarray(255 - np.asarray(noise())), "other.png")
    images = read(40)
    assert images.names == ("a/c.bmp", "other.png")
    assert np.array_equal(images.pixels[0], noise()) and np.array_equal(images.pixels[1], 255 - np.asarray(noise()))
    assert images.notes[0] == "Exact duplicates, left out before the split: 2 ('b.png' is equal to 'a/c.bmp')."


def test_the_order_is_that_of_the_paths_for_any_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    greys = dict(zip(("a/10.png", "a/2.png", "a/B.png", "b.png", "Z.png"), range(5), strict=True))
    for name, grey in greys.items():
        save(plain("L", grey, (400 - 90 * grey, 40)), name)
    results = []
    for workers in (1, 5):
        monkeypatch.setattr(faces, "CACHE", Path(f"cache{workers}").absolute())
        results.append(read(workers=workers))
    assert results[0].names == results[1].names == ("Z.png", "a/10.png", "a/2.png", "a/B.png", "b.png")
    for images in results:
        assert images.pixels[:, 0, 0, 0].tolist() == [greys[name] for name in images.names]


def test_damage_that_Pillow_decodes_is_found_by_the_checksums_of_PNG() -> None:
    path, x = HERE / "a.png", np.asarray(noise())[:16, :16].copy()
    x[4:12] = x[4]  # what is repeated can be changed without an error
    good = encoded(Image.fromarray(x), "PNG")
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1:])
        assert isinstance(found := faces._read(path, 16), str) or np.array_equal(found, x)


def test_what_Pillow_says_of_damage_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    content = encoded(noise(), "TIFF")
    samples = struct.pack("<2HIH", 277, 3, 1, 3)
    assert content.count(samples) == 1
    (HERE / "a.tif").write_bytes(content.replace(samples, samples[:-2] + b"\0\x08"))
    with pytest.raises(BadInput):
        read()
    assert not caplog.records


def test_PostScript_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path("gs").absolute()
    program.write_text(f"#!/bin/sh\ntouch {Path('ran').absolute()}\n")
    program.chmod(0o700)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(program))
    save(plain("RGB", RED), "a.eps")
    with pytest.raises(BadInput, match="of a kind that Pillow cannot decode: 1"):
        read()
    assert not Path("ran").exists()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files decoded since."""
    original, names = faces._read, []

    def _read(path: Path, size: int) -> object:
        names.append(path.name)
        return original(path, size)

    monkeypatch.setattr(faces, "_read", _read)
    return names


def assert_equal(a: Images, b: Images) -> None:
    assert np.array_equal(a.pixels, b.pixels)
    assert (a.names, a.notes, a.source) == (b.names, b.notes, b.source)


def test_the_same_bytes_are_decoded_once(decoded: list[str]) -> None:
    save(noise(), "a.png")
    save(plain("RGB", RED), "b.png")
    (HERE / "README").write_text("two pictures")
    first = read()
    assert sorted(decoded) == ["README", "a.png", "b.png"]
    os.utime(HERE / "a.png", (0, 0))
    assert_equal(read(), first)
    shutil.copytree(HERE, "copy/pictures")
    assert_equal(read_images("copy/pictures", 8), first)
    assert len(decoded) == 3

    assert read(9).pixels.shape == (2, 9, 9, 3) and len(decoded) == 6
    save(plain("RGB", (254, 0, 0)), "b.png")
    assert (read().pixels[1] == (254, 0, 0)).all() and len(decoded) == 9
    (HERE / "b.png").rename(HERE / "c.png")
    assert read().names == ("a.png", "c.png") and len(decoded) == 12


def test_another_pillow_decodes_again(decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    save(noise(), "a.png")
    read()
    monkeypatch.setattr("PIL.__version__", "0")
    read()
    assert decoded == ["a.png", "a.png"]


def said_to_be_compressed(archive: bytes) -> bytes:
    archive = bytearray(archive)
    for heading, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive[archive.index(heading) + place] = 8  # deflate
    archive[archive.index(b"\x93NUMPY")] = 7  # which begins no block of it
    return bytes(archive)


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: b"no archive",
    lambda data: data[:-30],
    lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:],  # a pixel
    lambda data: data[: (at := data.index(b"PK\1\2") + 10)] + b"\x63" + data[at + 1 :],
    said_to_be_compressed,
    lambda data: encoded(noise(), "PNG"),
], ids=["empty", "text", "cut", "a pixel changed", "method of compression changed",
         "said to be compressed", "another file"])
def test_a_damaged_cache_is_made_again(decoded: list[str], damage: Callable[[bytes], bytes]) -> None:
    save(noise(), "a.png")
    first = read(32)
    cached, = faces.CACHE.iterdir()
    good = cached.read_bytes()
    assert damage(good) != good
    cached.write_bytes(damage(good))
    assert_equal(read(32), first)
    assert len(decoded) == 2
    assert_equal(read(32), first)
    assert len(decoded) == 2 and list(faces.CACHE.iterdir()) == [cached]


def test_a_failed_write_leaves_nothing_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def savez(path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    save(plain("L", 3), "a.png")
    monkeypatch.setattr(np, "savez", savez)
    log: list[str] = []
    assert (read_images(HERE, 8, log=log.append).pixels == 3).all()
    assert log[1:] == [f"{faces.CACHE}: No space left on device: the images are not kept for the next time."]
    assert list(faces.CACHE.iterdir()) == []


def test_a_bar_on_a_terminal_and_a_line_elsewhere(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    save(plain("L", 3), "a.png")
    read_images(HERE, 8)
    assert capfd.readouterr() == ("Reading pictures, files: 1.\n", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    read_images(HERE, 9)
    assert "Decoding" in capfd.readouterr().err


@pytest.mark.parametrize("path, message", [
    ("nowhere", "^nowhere: No such file or directory: name a folder of pictures$"),
    ("", "^: No such file or directory"),
    ("file.png", "^file.png: Not a directory"),
    ("itself", "^itself: Too many levels of symbolic links"),
    ("x" * 300, "^x+: File name too long"),
    ("pictures", "^pictures: holds no file$"),
])
def test_no_folder_of_pictures(path: str, message: str) -> None:
    Path("file.png").write_bytes(encoded(noise(), "PNG"))
    Path("itself").symlink_to("itself")
    (HERE / "empty").mkdir()
    with pytest.raises(BadInput, match=message):
        read_images(path)


def test_a_size_of_nothing() -> None:
    with pytest.raises(BadInput, match="^size: 0 "):
        read(0)


def test_few_images_are_said_to_be_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for grey in range(3):
        save(plain("L", grey), f"{grey}.png")
    assert read().notes == ("Images: 3, which is few for a variational autoencoder: it will overfit.",)
    monkeypatch.setattr(faces, "FEW", 3)
    assert read().notes == ()


def test_split_is_seeded_and_parts_the_images() -> None:
    train, test = split(100, seed=0)
    assert (len(train), len(test)) == (70, 30)
    assert sorted([*train, *test]) == list(range(100)) != [*train, *test]
    assert [part.tolist() for part in split(100, seed=0)] == [train.tolist(), test.tolist()]
    assert split(100, seed=1)[1].tolist() != test.tolist()
    assert len(split(10, seed=0, test_share=0.5)[1]) == 5


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_split(n: int) -> None:
    with pytest.raises(BadInput, match=f"^images: {n} cannot be split"):
        split(n, seed=0)


@pytest.mark.realdata
def test_the_faces_of_orl() -> None:
    images = read_images(Path(os.environ["NN_DATA"], "faces", "orl"))
    assert images.pixels.shape == (400, 32, 32, 1) and images.source == "orl"
    assert images.notes[0] == "Skipped, not an image that Pillow reads: 3 (such as '.DS_Store')."


def test_libraries_say_nothing_about_damaged_files(capfd: pytest.CaptureFixture) -> None:
    """libtiff writes to the number of stderr itself."""
    content = bytearray(encoded(noise(), "TIFF", compression="tiff_lzw"))
    content[200:260] = b"\xff" * 60
    save(plain("L", 50), "good.png")
    for i in range(5):
        (HERE / f"{i}.tif").write_bytes(content)
    images = read()
    assert images.names == ("good.png",) and any("broken" in note and ": 5 " in note for note in images.notes)
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_what_an_older_version_of_the_reader_kept_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    save(plain("L", 50), "a.png")
    read()
    before = set(faces.CACHE.iterdir())
    read()
    assert set(faces.CACHE.iterdir()) == before
    Path("faces.py").write_text("another version")
    monkeypatch.setattr(faces, "__file__", str(Path("faces.py").absolute()))
    read()
    assert len(set(faces.CACHE.iterdir()) - before) == 1


def test_ctrl_c_does_not_wait_for_the_pictures_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        save(plain("L", i), f"{i}.png")
    asked = []

    def interrupt(path: Path, size: int) -> None:
        asked.append(path)
        time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(faces, "_read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(workers=1)
    assert len(asked) < 10


def test_ctrl_c_in_the_progress_bar_does_not_wait_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        save(plain("L", i), f"{i}.png")
    asked = []

    def slow(path: Path, size: int) -> np.ndarray:
        asked.append(path)
        time.sleep(0.02)
        return np.zeros((size, size, 1), np.uint8)

    def interrupted(results, words: str, *arguments, **options):
        if words == "Decoding":
            next(results)
            raise KeyboardInterrupt
        return results

    monkeypatch.setattr(faces, "_read", slow)
    monkeypatch.setattr(faces, "track", interrupted)
    monkeypatch.setattr(faces.Console, "is_terminal", True)
    with pytest.raises(KeyboardInterrupt):
        read(workers=1)
    assert len(asked) < 10

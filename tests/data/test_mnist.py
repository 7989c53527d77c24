"""MNIST: found, read, every kind of wrong file refused; on small files of the same form, and on the real ones."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
import tracemalloc
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data import BadInput, mnist

GZIP = partial(gzip.compress, mtime=0)


def idx(pixels: np.ndarray, magic: int = 2051) -> bytes:
    return struct.pack(">4I", magic, *pixels.shape) + pixels.tobytes()


@pytest.fixture
def digits(rng, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Five training and three test images in place of the 70,000; no NN_DATA, nothing cached, nobody listening."""
    digits = {}
    for name, count in (("TRAIN", 5), ("TEST", 3)):
        digits[name] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = idx(digits[name])
        hashes = [hashlib.sha256(data).hexdigest() for data in (content, GZIP(content))]
        monkeypatch.setattr(mnist, name, mnist.File(getattr(mnist, name).name, count, *hashes))
    monkeypatch.setattr(mnist, "CACHE", Path("cache/mnist").absolute())
    monkeypatch.setattr(mnist, "URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("NN_DATA", raising=False)
    return digits


def put(folder: str | Path, digits: dict[str, np.ndarray], packed: bool = True) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, key in ((mnist.TRAIN, "TRAIN"), (mnist.TEST, "TEST")):
        content = idx(digits[key])
        Path(folder, file.name + ".gz" * packed).write_bytes(GZIP(content) if packed else content)


def assert_read(digits: dict[str, np.ndarray], log: list[str]) -> None:
    train, test = mnist.read_mnist(log=log.append)
    assert np.array_equal(train.pixels, digits["TRAIN"][..., None]) and train.pixels.dtype == np.uint8
    assert np.array_equal(test.pixels, digits["TEST"][..., None])
    assert train.source == test.source == "MNIST" and not train.simulated


@pytest.mark.parametrize("packed", [True, False])
def test_from_the_folder_that_is_named(digits, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    put("mine/mnist", digits, packed)
    log: list[str] = []
    assert_read(digits, log)
    assert log == [] and not mnist.CACHE.exists()


def test_a_file_packed_by_someone_else_is_as_good(digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    put("mine/mnist", digits)
    Path("mine/mnist", f"{mnist.TRAIN.name}.gz").write_bytes(gzip.compress(idx(digits["TRAIN"]), 1, mtime=7))
    assert_read(digits, [])


def test_from_the_cache_when_the_folder_has_none(digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    put(mnist.CACHE, digits)
    log: list[str] = []
    assert_read(digits, log)
    assert log[0] == f"NN_DATA: mine holds neither mnist/{mnist.TRAIN.name}.gz nor mnist/{mnist.TRAIN.name}."


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_downloaded_once(digits, monkeypatch: pytest.MonkeyPatch) -> None:
    put("served", digits)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory="served")) as server:
        monkeypatch.setattr(mnist, "URL", f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        log: list[str] = []
        try:
            assert_read(digits, log)
        finally:
            server.shutdown()
            thread.join()
    assert [line.split()[0] for line in log] == ["Downloading", "Downloading"]
    assert_read(digits, log)
    assert len(log) == 2


def test_no_file_and_no_network_says_what_to_do(digits) -> None:
    with pytest.raises(BadInput, match="^MNIST could not be downloaded: no connection to .*: download") as error:
        mnist.read_mnist(log=lambda line: None)
    assert f"{mnist.TRAIN.name}.gz" in str(error.value) and str(mnist.CACHE) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cached_file_that_has_changed_is_refused(digits) -> None:
    put(mnist.CACHE, digits)
    Path(mnist.CACHE, f"{mnist.TEST.name}.gz").write_bytes(b"other")
    with pytest.raises(BadInput, match=f"{mnist.TEST.name}.gz: has changed .* delete it"):
        mnist.read_mnist(log=lambda line: None)


def broken(images: np.ndarray) -> dict[str, tuple[bytes, str]]:
    good = idx(images)
    packed = GZIP(good)
    changed = bytearray(good)
    changed[-1] ^= 1
    return {
        "empty": (b"", "begins with nothing, not 00000803 and three sizes"),
        "cut within the heading": (good[:6], "begins with"),
        "labels": (struct.pack(">2I", 2049, 5) + bytes(5), "begins with"),
        "signed bytes": (idx(images, magic=0x903), "begins with 00000903"),
        "too few images": (idx(images[:4]), "holds 4 images of 28 x 28 pixels, not 5 of 28 x 28"),
        "32 x 32": (idx(np.zeros((5, 32, 32), np.uint8)), "holds 5 images of 32 x 32 pixels, not 5 of"),
        "cut": (good[:-1], "is shorter than its 3,936 bytes"),
        "too long": (good + b"\0", "is longer than its 3,936 bytes"),
        "another data set": (bytes(changed), "other content"),
        "packed, cut": (packed[:-20], "is damaged"),
        "packed, cut within the checksum": (packed[:-4], "is damaged"),
        "packed, no such block": (packed[:10] + b"\xff" + packed[11:], "is damaged"),
        "packed, changed": (packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:], "is damaged"),
        "a web page": (b"<html>", "begins with"),
    }


@pytest.mark.parametrize("kind", broken(np.zeros((5, 28, 28), np.uint8)))
def test_a_wrong_file_is_one_line(digits, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    put("mine/mnist", digits)
    content, message = broken(digits["TRAIN"])[kind]
    path = Path("mine/mnist", f"{mnist.TRAIN.name}.gz")
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"^{path}: .*({message}).*delete it") as error:
        mnist.read_mnist()
    assert "\n" not in str(error.value)


def test_a_folder_in_place_of_the_file_is_one_line(digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    Path("mine/mnist", mnist.TRAIN.name).mkdir(parents=True)
    with pytest.raises(BadInput, match=f"{mnist.TRAIN.name}: cannot be read: Is a directory"):
        mnist.read_mnist()


@pytest.mark.realdata
def test_the_real_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "fetch", lambda *_, **__: pytest.fail("NN_DATA has no mnist"))
    train, test = mnist.read_mnist()
    assert train.pixels.shape == (60_000, 28, 28, 1) and test.pixels.shape == (10_000, 28, 28, 1)
    assert train.pixels.mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # the mean that everyone normalises by
    assert train.pixels.std() / 255 == pytest.approx(0.3081, abs=5e-5)


# -- files of the same form, and other names ------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_under_the_names_that_people_have(digits, monkeypatch: pytest.MonkeyPatch, folder: str, packed: bool) -> None:
    monkeypatch.setenv("NN_DATA", "mine")
    put(Path("mine", folder), digits, packed)
    for path in Path("mine", folder).iterdir():
        path.rename(path.with_name(path.name.replace("-idx3", ".idx3")))
    assert_read(digits, [])


@pytest.mark.parametrize("part", [".", "raw", "MNIST/raw", "FashionMNIST/raw"])
def test_a_folder_in_the_form_of_mnist(rng, part: str) -> None:
    clothes = {"TRAIN": rng.integers(0, 256, (4, 12, 12), dtype=np.uint8),
               "TEST": rng.integers(0, 256, (2, 12, 12), dtype=np.uint8)}
    put(Path("clothes", part), clothes)
    train, test = mnist.read_idx_folder("clothes")
    assert np.array_equal(train.pixels[..., 0], clothes["TRAIN"])
    assert np.array_equal(test.pixels[..., 0], clothes["TEST"])
    assert train.source == test.source == {".": "clothes", "raw": "clothes"}.get(part, part.split("/")[0])
    next(Path("clothes", part).glob("t10k*")).unlink()
    with pytest.raises(BadInput, match="clothes.*: holds train-images-idx3-ubyte, but not t10k-images-idx3-ubyte"):
        mnist.read_idx_folder("clothes")


def test_a_folder_without_such_files_is_one_of_pictures() -> None:
    Path("pictures").mkdir()
    assert mnist.read_idx_folder("pictures") is None and mnist.read_idx_folder("nowhere") is None


@pytest.mark.parametrize("sizes, says", [((1000, 28, 29), "have to be square"), ((0, 28, 28), "have to be square"),
                                         ((2**31, 2**10, 2**10), "at most 1,073,741,824 pixels")])
def test_what_a_file_promises_is_bounded(sizes: tuple, says: str) -> None:
    Path("a").mkdir()
    content = gzip.compress(struct.pack(">4I", 2051, *sizes) + bytes(10**6))
    for name in (mnist.TRAIN.name, mnist.TEST.name):
        Path("a", f"{name}.gz").write_bytes(content)
    with pytest.raises(BadInput, match=says):
        mnist.read_idx_folder("a")


def test_no_more_is_unpacked_than_is_promised() -> None:
    """A file of gzip can hold a thousand times its size."""
    content = gzip.compress(idx(np.zeros((2, 28, 28), np.uint8)) + bytes(2**28), 1)
    Path("a.gz").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="is longer than its 1,584 bytes: copy it again"):
            mnist.read_idx(Path("a.gz"))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()

"""MNIST: found, read, every kind of wrong file refused; on small files of the same form, and on the real ones."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
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
        "empty": (b"", "begins with nothing, not 00000803 00000005 0000001c 0000001c"),
        "cut within the heading": (good[:6], "begins with"),
        "labels": (struct.pack(">2I", 2049, 5) + bytes(5), "begins with"),
        "signed bytes": (idx(images, magic=0x903), "begins with 00000903"),
        "too few images": (idx(images[:4]), "begins with"),
        "32 x 32": (idx(np.zeros((5, 32, 32), np.uint8)), "begins with"),
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

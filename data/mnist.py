"""MNIST, handwritten digits: the published files, recognised by their content and not by their names.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import BadInput
from data.download import DownloadError, fetch
from data.faces import Images

CACHE = Path(__file__).parent / "cache" / "mnist"
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MAGIC = 2051  # unsigned bytes in three dimensions
SIZE = 28


class File(NamedTuple):
    name: str
    count: int
    sha256: str  # of the idx file, whatever tool compressed it
    sha256_gz: str  # of the compressed file as it was published


TRAIN = File(
    "train-images-idx3-ubyte",
    60_000,
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
)
TEST = File(
    "t10k-images-idx3-ubyte",
    10_000,
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
)


def read_mnist(log: Callable[[str], None] = print) -> tuple[Images, Images]:
    """The 60,000 training and the 10,000 test images, each (n, 28, 28, 1) uint8, 0 where there is no ink.

    From the folder mnist in the folder that NN_DATA names (idx files, packed with gzip or not); else from the
    cache; else downloaded into it, from the copy that the Common Visual Data Foundation keeps.
    The labels are not read: an autoencoder has no use for them.

    Raises BadInput for a damaged file, for another data set under the same names (Fashion-MNIST has them),
    and when the files are missing and cannot be downloaded.
    Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, 1998.
    """
    return _images(TRAIN, log), _images(TEST, log)


def _images(file: File, log: Callable[[str], None]) -> Images:
    return Images(read_idx(_find(file, log), file), "MNIST")


def _find(file: File, log: Callable[[str], None]) -> Path:
    packed = f"{file.name}.gz"
    if folder := os.environ.get("NN_DATA"):
        for name in (packed, file.name):
            if (path := Path(folder, "mnist", name)).exists():
                return path
        log(f"NN_DATA: {folder} holds neither mnist/{packed} nor mnist/{file.name}.")
    try:
        return fetch(URL + packed, CACHE, packed, known_hash=file.sha256_gz, log=log)
    except DownloadError as error:
        raise BadInput(
            f"MNIST could not be downloaded: {error}: download {packed} on another machine and put it into {CACHE}"
        ) from None


def read_idx(path: Path, file: File) -> np.ndarray:
    """The images in an idx file, packed or not: (count, 28, 28, 1) uint8.

    Layout, big-endian: 2051, count, 28, 28 as four bytes each; then a byte a pixel, row by row.
    """
    length = 16 + file.count * SIZE * SIZE
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_packed else path.open("rb") as content:
            data = content.read(length + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: is damaged ({error}): delete it, and it is downloaded again") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None

    if data[:16] != (header := struct.pack(">4I", MAGIC, file.count, SIZE, SIZE)):
        begins = data[:16].hex(" ", 4) or "nothing"
        why = f"begins with {begins}, not {header.hex(' ', 4)} as {file.count:,} images in idx form do"
    elif len(data) != length:
        why = f"is {'shorter' if len(data) < length else 'longer'} than its {length:,} bytes"
    elif hashlib.sha256(data).hexdigest() != file.sha256:
        why = "has the form of MNIST but other content: damaged, or another data set with the same file names"
    else:
        return np.frombuffer(data, np.uint8, offset=16).reshape(-1, SIZE, SIZE, 1)
    raise BadInput(f"{path}: {why}: delete it, and it is downloaded again")

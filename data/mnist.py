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

from data import BadInput, shown
from data.download import DownloadError, fetch
from data.faces import Images

CACHE = Path(__file__).parent / "cache" / "mnist"
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MAGIC = struct.pack(">I", 2051)  # unsigned bytes in three dimensions
SIZE = 28
MOST_BYTES = 2**30  # twenty times MNIST; a file packed with gzip can promise any number


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

    From the folder mnist, or MNIST/raw, in the folder that NN_DATA names (idx files, packed with gzip or not); else
    from the cache; else downloaded into it, from the copy that the Common Visual Data Foundation keeps.
    The labels are not read: an autoencoder has no use for them.

    Raises BadInput for a damaged file, for another data set under the same names (Fashion-MNIST has them),
    and when the files are missing and cannot be downloaded.
    Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, 1998.
    """
    return _images(TRAIN, log), _images(TEST, log)


def _images(file: File, log: Callable[[str], None]) -> Images:
    return Images(read_idx(_find(file, log), file), "MNIST")


def read_idx_folder(folder: str | Path) -> tuple[Images, Images] | None:
    """Training and test images of a folder in the form of MNIST, such as Fashion-MNIST; None if it has no such files.

    They are in the folder itself, or where torchvision puts them, in raw/, MNIST/raw/ or FashionMNIST/raw/.
    Raises BadInput for a file that is damaged, and for one without the other.
    """
    for part in ("", "raw", "MNIST/raw", "FashionMNIST/raw"):
        found = [_in(Path(folder, part), file.name) for file in (TRAIN, TEST)]
        if all(found):
            name = shown(Path(folder, *Path(part).parts[:-1]).resolve().name)
            return tuple(Images(read_idx(path), name) for path in found)
        if any(found):
            there, lacking = (TEST, TRAIN) if found[1] else (TRAIN, TEST)
            raise BadInput(f"{Path(folder, part)}: holds {there.name}, but not {lacking.name}, which belongs to it")
    return None


def _in(folder: Path, name: str) -> Path | None:
    """The file of that name, as it was published, as it is often renamed, packed or not."""
    for spelling in (name, name.replace("-idx", ".idx")):
        for path in (folder / f"{spelling}.gz", folder / spelling):
            if path.exists():
                return path
    return None


def _find(file: File, log: Callable[[str], None]) -> Path:
    packed = f"{file.name}.gz"
    if folder := os.environ.get("NN_DATA"):
        if path := _in(Path(folder, "mnist"), file.name) or _in(Path(folder, "MNIST", "raw"), file.name):
            return path
        log(f"NN_DATA: {folder} holds neither mnist/{packed} nor mnist/{file.name}.")
    try:
        return fetch(URL + packed, CACHE, packed, known_hash=file.sha256_gz, log=log)
    except DownloadError as error:
        raise BadInput(
            f"MNIST could not be downloaded: {error}: download {packed} on another machine and put it into {CACHE}"
        ) from None


def read_idx(path: Path, file: File | None = None) -> np.ndarray:
    """The images in an idx file, packed or not: (count, side, side, 1) uint8; of MNIST itself, if `file` says which.

    Layout, big-endian: 2051, count, height, width as four bytes each; then a byte a pixel, row by row.
    """
    again = "delete it, and it is downloaded again" if file else "copy it again"
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_packed else path.open("rb") as content:
            header = content.read(16)
            if len(header) < 16 or header[:4] != MAGIC:
                begins = header.hex(" ", 4) or "nothing"
                raise BadInput(f"{path}: begins with {begins}, not {MAGIC.hex()} and three sizes, as images in idx "
                               f"form do: {again}")
            count, height, width = struct.unpack(">3I", header[4:])
            length = count * height * width
            if file and (count, height, width) != (file.count, SIZE, SIZE):
                raise BadInput(f"{path}: holds {count:,} images of {height} x {width} pixels, not {file.count:,} of "
                               f"{SIZE} x {SIZE}: {again}")
            if height != width or not 0 < length <= MOST_BYTES:
                raise BadInput(f"{path}: promises {count:,} images of {height} x {width} pixels: they have to be "
                               f"square, and at most {MOST_BYTES:,} pixels in all")
            data = content.read(length + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: is damaged ({error}): {again}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None

    if len(data) != length:
        why = f"is {'shorter' if len(data) < length else 'longer'} than its {16 + length:,} bytes"
    elif file and hashlib.sha256(header + data).hexdigest() != file.sha256:
        why = "has the form of MNIST but other content: damaged, or another data set with the same file names"
    else:
        return np.frombuffer(data, np.uint8).reshape(count, height, width, 1)
    raise BadInput(f"{path}: {why}: {again}")

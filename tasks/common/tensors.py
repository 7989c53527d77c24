"""Tensors in a safetensors file, with a digest: the format has no checksum of its own.

Read next: files.py, how files are written.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from data import BadInput


def pack(arrays: dict[str, np.ndarray], metadata: dict | None = None) -> bytes:
    """The content of a safetensors file. `metadata` is anything that JSON can hold; the SHA-256 of all is added to it.
    Other programs read the file as any other, and ignore the digest.
    """
    metadata = dict(metadata or {})
    metadata["sha256"] = digest(metadata, arrays)
    return safetensors.numpy.save(arrays, {key: json.dumps(value) for key, value in metadata.items()})


def unpack(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the metadata of a file that was written with `pack`.

    Raises BadInput if it cannot be read, or if a bit of it has changed since.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.pop("sha256", None) != digest(metadata, arrays):
            raise ValueError("its content has another SHA-256")
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path}: is damaged ({error})") from None
    return arrays, metadata


def digest(metadata: dict, arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of all names, types, shapes and bytes."""
    content = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        content.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        content.update(np.ascontiguousarray(arrays[name]).tobytes())
    return content.hexdigest()

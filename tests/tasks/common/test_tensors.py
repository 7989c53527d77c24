"""Tensors in a file with a digest: every other program reads them, and a changed bit is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from data import BadInput
from tasks.common.tensors import pack, unpack

ARRAYS = {"weight": np.arange(30, dtype=np.float32).reshape(5, 6), "scale": np.array(2, np.float32),
          "empty": np.zeros((0, 3), np.float64), "steps": np.array([7])}


def write(metadata=None):
    Path("a.safetensors").write_bytes(pack(ARRAYS, metadata))
    return Path("a.safetensors")


def test_what_is_packed_is_unpacked():
    arrays, metadata = unpack(write({"config": {"L": 5}}))
    assert metadata == {"config": {"L": 5}} and arrays.keys() == ARRAYS.keys()
    for name, array in safetensors.numpy.load_file("a.safetensors").items():  # as any other program
        for same in (ARRAYS[name], arrays[name]):
            assert (array.dtype, array.shape, array.tobytes()) == (same.dtype, same.shape, same.tobytes())


def test_a_flipped_bit_is_seen_wherever_it_is():
    whole, harmless = write().read_bytes(), 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        Path("a.safetensors").write_bytes(flipped)
        try:
            arrays, metadata = unpack(Path("a.safetensors"))
        except BadInput as error:
            assert str(error).startswith("a.safetensors: is damaged (")
            continue
        harmless += 1  # a blank of the header, say
        assert metadata == {} and all(arrays[name].tobytes() == ARRAYS[name].tobytes() for name in ARRAYS)
    assert harmless < len(whole) / 20


@pytest.mark.parametrize("content", [b"", b"no tensors", safetensors.numpy.save({"weight": np.zeros(3)})])
def test_another_file_is_refused(content):
    Path("a.safetensors").write_bytes(content)
    with pytest.raises(BadInput, match="^a.safetensors: is damaged"):
        unpack(Path("a.safetensors"))


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="^b.safetensors: .*No such file"):
        unpack(Path("b.safetensors"))

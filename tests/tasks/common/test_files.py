"""Files that are whole at every moment."""

from __future__ import annotations

import os
import stat

import pytest

from data import BadInput
from tasks.common.files import write, write_all


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(BadInput, match="cannot be written .No space left on device"):
        write(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_is_renamed_is_on_the_disk_and_so_are_the_new_names(tmp_path, monkeypatch):
    calls = []

    def fsync(number):
        calls.append("a folder" if stat.S_ISDIR(os.fstat(number).st_mode) else os.fstat(number).st_size)

    def replace(old, new, replace=os.replace):
        calls.append(new.name)
        replace(old, new)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.replace", replace)
    write_all(tmp_path / "run", {"a": "four", "b": b"six  6"})
    assert calls == [4, 6, "a", "b", "a folder"]

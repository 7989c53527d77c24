"""A folder is one process's at a time: real processes, one of which is killed."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import portalocker
import pytest

from data import BadInput
from data.lock import is_lock, locked
from tests.children import Child


def hold(folder, seconds=60.0):
    with locked(folder):
        Path("held").touch()
        time.sleep(seconds)


def holder(folder, seconds=60.0):
    Path("held").unlink(missing_ok=True)
    child = Child(function=partial(hold, folder, seconds))
    child.wait_for(Path("held").exists)
    return child


def test_a_second_process_is_told_which_one_is_the_first():
    first = holder(Path("a", "b"))
    with pytest.raises(BadInput, match=rf"^a/b: is in use by process {first.pid}: "), locked(Path("a", "b")):
        pytest.fail("two at once")
    first.process.kill()


def test_a_killed_process_holds_no_lock_and_its_files_are_cleared():
    first = holder(Path("a"))
    first.process.kill()
    assert first.wait() == -signal.SIGKILL
    Path("a", f".in-use.{first.pid}.tmp").touch()  # had it been killed as it took the lock
    assert all(is_lock(path) for path in Path("a").iterdir())
    with locked(Path("a")):
        pass
    assert list(Path("a").iterdir()) == []


def test_who_waits_says_for_whom_and_goes_on():
    said, first = [], holder(Path("a"), seconds=0.5)
    with locked(Path("a"), said.append):
        assert first.wait() == 0
    assert said == [f"Waiting for process {first.pid}, which works in a"]


@pytest.mark.parametrize("written", [False, True])
def test_a_folder_that_was_made_is_removed_if_it_stayed_empty(written):
    Path("there").mkdir()
    with locked(Path("there", "a", "b")):
        if written:
            Path("there", "a", "b", "file").touch()
    assert Path("there").is_dir() and Path("there", "a").exists() == written


def test_where_the_file_system_has_no_locks_the_work_is_done_without(monkeypatch):
    def no_locks(*arguments, **options):
        raise portalocker.LockException(os.strerror(37))

    monkeypatch.setattr(portalocker.PidFileLock, "acquire", no_locks)
    with locked(Path("a")):
        Path("a", "file").touch()
    assert Path("a", "file").exists()

"""Two commands with one folder: the second is refused in one line, and the first is not disturbed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from data import BadInput
from tasks.common import run_folder
from tasks.common.run_folder import RunFolder
from tests.children import CHECKPOINT, OUT, Child, often, results
from tests.data.test_lock import holder


def refused(command, first):
    child = Child(*command)
    assert child.wait() == 2
    assert child.error == (f"run.py: {command[-1]}: is in use by process {first.pid}: wait until it has finished, or "
                           "choose another folder\n")


@pytest.mark.parametrize("study", ["covid", "vae"])
def test_two_runs(studies, study):
    command = studies[study]
    assert Child(*command).wait() == 0
    straight = results(OUT)
    shutil.rmtree(OUT)

    first = Child(*command, before=often)
    first.wait_for(CHECKPOINT.exists)
    os.kill(first.pid, signal.SIGSTOP)  # in the midst of its training
    saved = CHECKPOINT.read_bytes()
    for how in ("--resume", "--overwrite"):
        refused([command[0], how, *command[1:]], first)
    assert CHECKPOINT.read_bytes() == saved
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait() == 0 and results(OUT) == straight
    assert not [path for path in OUT.iterdir() if path.name.startswith(".")]

    shutil.rmtree(OUT)
    first = Child(*command, before=often)
    first.wait_for(CHECKPOINT.exists)
    first.process.kill()
    first.wait()
    assert Child(*command, "--resume").wait() == 0 and results(OUT) == straight


def test_two_fresh_runs(studies):
    first = holder(OUT)  # which has not written anything yet
    refused(studies["covid"], first)
    first.process.kill()
    assert first.wait() == -signal.SIGKILL
    assert Child(*studies["covid"]).wait() == 0


def test_a_run_that_finished_since_is_not_overwritten(monkeypatch):
    def late(folder, locked=run_folder.locked):  # another process has finished a run in it just before
        folder.mkdir()
        Path(folder, "metrics.json").write_text("another's")
        return locked(folder)

    monkeypatch.setattr(run_folder, "locked", late)
    with pytest.raises(BadInput, match="out holds a finished run: --overwrite replaces it"), RunFolder(OUT, {}):
        pytest.fail("it would be overwritten")
    assert Path(OUT, "metrics.json").read_text() == "another's" and len(list(OUT.iterdir())) == 1


def test_two_studies():
    first = holder(OUT)
    refused(["study", "--quick", "--csv", "simulated", "--out", str(OUT)], first)
    first.process.kill()

"""Killed at any moment, a run goes on to the same last bit, and nothing that was there before is lost.

Real processes are really killed: before each of their file operations, in the midst of a write, and at random; and
their disk is full.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import nn
from data.lock import is_lock
from tasks.common.run_folder import RunFolder
from tasks.common.training import TrainingState, train
from tests.children import CHECKPOINT, OUT, Child, often, results

# -- a small run, killed before each of its file operations, and after so many bytes --------------------------------


def small_run(x, **how):
    """A run of one epoch that saves at each of its two steps, at the record and at the end; 60 KB a checkpoint."""
    rng = np.random.default_rng(x)
    model = nn.Sequential(nn.Linear(50, 100, rng=rng), nn.Dropout(0.5, rng=rng))
    optimizer = nn.Adam(model.parameters())
    data = nn.Tensor(np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32))
    with RunFolder(OUT, {"x": x}, **how) as folder:
        state = TrainingState(model, optimizer, rng)
        folder.restore(state)
        records = train(state, lambda epoch: [[data], [data]], lambda x: (nn.sum(model(x) ** 2), {"steps": 1}),
                        lambda counts: {"sum": float(optimizer.data.sum()), **counts}, 1)
        history = folder.follow(records, state, every=0)
        folder.finish({"history.csv": history.to_csv(), "model.safetensors": safetensors.numpy.save(model.state_dict()),
                       "loss.png": "a large picture " * 5000}, {"x": x, "seconds_per_epoch": 0})


def run_small(x, before=None, **how):
    child = Child(function=partial(small_run, x, **how), before=before)
    return child.wait(), child.error


def killed_before(number):
    """This process dies before its file operation of that number in the run's folder."""
    numbers = itertools.count(1)

    def count(event, args):
        if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(args[0]).startswith(str(OUT)):
            if next(numbers) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def killed_at(size):
    """This process dies as it writes a file's byte of that number; those before it are written."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


MOMENTS = [partial(killed_at, size) for size in (0, 1, 30_000, 70_000)] + [
    partial(killed_before, number) for number in range(1, 100)]


def files():
    return {path.name: path.read_bytes() for path in OUT.glob("*") if not is_lock(path)}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Two small runs that nothing stopped: their folders."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        for x in (1, 2):
            folders[x] = tmp_path_factory.mktemp("straight")
            patch.chdir(folders[x])
            assert run_small(x) == (0, "")
            folders[x] /= OUT
    assert results(folders[1]) != results(folders[2])
    return folders


@pytest.mark.parametrize("over_an_old_run", [False, True])
def test_a_run_that_is_killed_at_any_file_operation_goes_on(straight, over_an_old_run, request):
    for before in MOMENTS if request.config.getoption("long") else MOMENTS[::3]:
        if over_an_old_run:
            shutil.copytree(straight[1], OUT)
        status, error = run_small(2, before, overwrite=over_an_old_run)
        if status == 0:
            break
        assert status in (-signal.SIGKILL, -signal.SIGXFSZ), error
        names = set(files())
        if CHECKPOINT.name in names:
            assert safetensors.numpy.load_file(CHECKPOINT)  # it is whole
        if "metrics.json" in names:  # so are the results, all old or all new
            here = {name: content for name, content in results(OUT).items() if not name.endswith(".tmp")}
            assert here in (results(straight[1]), results(straight[2]))
        else:
            assert CHECKPOINT.name in names or names <= {"checkpoint.safetensors.tmp"}
        how = {"overwrite": True} if over_an_old_run and CHECKPOINT.name not in names else {"resume": True}
        assert run_small(2, **how) == (0, "")
        assert results(OUT) == results(straight[2]) and not CHECKPOINT.exists()
        shutil.rmtree(OUT)
    assert status == 0, "there are more moments than that"


# -- a disk that is full ----------------------------------------------------------------------------------------


def room_for(size):
    """No file of this process may be larger than so many bytes: to write more is an OSError, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size, saved", [(10_000, False), (70_000, True)])  # the second is enough for a checkpoint
@pytest.mark.parametrize("there", ["nothing", "an old run", "a checkpoint"])
def test_on_a_full_disk_what_was_there_stays_as_it_was(straight, there, size, saved):
    if there == "an old run":
        shutil.copytree(straight[1], OUT)
    if there == "a checkpoint":
        run_small(2, partial(killed_before, 10))
    before, how = files(), {"overwrite" if there == "an old run" else "resume": True}
    status, error = run_small(2, partial(room_for, size), **how)
    assert status == 1 and "out: cannot be written (File too large); what was saved before is as it was" in error
    after = files()
    if saved:
        before.pop(CHECKPOINT.name, None)
        assert after.pop(CHECKPOINT.name)
    assert after == before
    assert run_small(2, **({"resume": True} if saved else how)) == (0, "")
    assert results(OUT) == results(straight[2])


def test_a_full_disk_is_said_in_one_line(studies):
    child = Child(*studies["covid"], before=partial(room_for, 10_000))
    assert child.wait() == 2
    assert child.error == "run.py: out: cannot be written (File too large); what was saved before is as it was\n"
    assert files() == {}


# -- both studies, killed at random -----------------------------------------------------------------------------


def kill_until_done(command, rng, longest):
    """Kill the command and start it again until it is done; returns its results and how often it was killed."""
    kills = 0
    while True:
        child = Child(*command, "--resume", before=often)
        if not kills:
            child.wait_for(CHECKPOINT.exists)  # so that at least one is in the midst of the training
        time.sleep(rng.uniform(0, 1.5 * longest if kills else 0.1))
        child.process.kill()
        assert child.wait() in (0, -signal.SIGKILL), child.error
        kills += child.process.exitcode != 0
        if CHECKPOINT.exists():
            assert safetensors.numpy.load_file(CHECKPOINT)
        elif Path(OUT, "metrics.json").exists():
            return results(OUT), kills


@pytest.mark.parametrize("study", ["covid", "vae"])
def test_a_study_that_is_killed_at_random_goes_on(studies, study, request):
    command, began = studies[study], time.monotonic()
    child = Child(*command, before=often)
    assert child.wait() == 0, child.error
    straight = results(OUT)
    longest, rng, total = time.monotonic() - began, random.Random(0), 0
    for _ in range(30 if request.config.getoption("long") else 1):
        shutil.rmtree(OUT)
        done, kills = kill_until_done(command, rng, longest)
        assert done == straight
        total += kills
    print(f"{total} kills survived")
    assert total

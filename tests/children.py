"""Processes to kill: children of a server that has imported everything already, so that one starts in milliseconds.

A child is a process like any other: it can be killed, interrupted and limited.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import pandas as pd
import pytest

import run
import tasks.covid.train
import tasks.vae.train  # noqa: F401 (so that the children do not have to)
from data.lock import is_lock
from tasks.common.run_folder import RunFolder

OUT, CHECKPOINT = Path("out"), Path("out", "checkpoint.safetensors")  # of the runs that are started
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.children"])


class Child:
    """The command line `arguments`, or `function()`, in a process of its own, in the same working directory.

    before: called first, in the child; pid: its number; output, error: what it has said so far
    """

    def __init__(self, *arguments: str, function: Callable | None = None, before: Callable | None = None):
        folder = Path(tempfile.mkdtemp(dir=Path.cwd().parent))
        self.said = [folder / "output", folder / "error"]
        for path in self.said:
            path.touch()
        self.process = SERVER.Process(target=_child, args=(os.getcwd(), self.said, function, arguments, before),
                                      daemon=True)  # it does not outlive the tests
        with pytest.MonkeyPatch.context() as patch:  # what the server has to know, if it does not run yet
            patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
            patch.setenv("OPENBLAS_NUM_THREADS", "1")  # a process that forks has one thread
            forkserver.ensure_running()
        self.process.start()
        self.pid = self.process.pid

    def wait(self) -> int:
        """Its exit status, at its end; negative: the signal that ended it."""
        self.process.join(60)
        assert self.process.exitcode is not None, "it hangs"
        return self.process.exitcode

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Return as soon as something is so, while the process runs."""
        while not happened():
            assert self.process.is_alive(), self.error
            time.sleep(0.001)

    output = property(lambda self: self.said[0].read_text())
    error = property(lambda self: self.said[1].read_text())


def _child(folder, said, function, arguments, before):
    os.chdir(folder)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout.reconfigure(line_buffering=True)  # what is killed has said what it said
    if before:
        before()
    sys.exit(function() if function else run.main(arguments))


def often():
    RunFolder.follow.__defaults__ = (0.0,)  # a checkpoint at every step, and not every five seconds


def results(folder: Path = OUT) -> dict:
    """What each file of a finished run holds, times apart."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()
             if path.name != CHECKPOINT.name and not is_lock(path)}
    metrics = json.loads(files["metrics.json"])
    del metrics["seconds_per_epoch"]
    history = pd.read_csv(folder / "history.csv", dtype=str).drop(columns="seconds")
    return files | {"metrics.json": json.dumps(metrics), "history.csv": history.to_csv()}

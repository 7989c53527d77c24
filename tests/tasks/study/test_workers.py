"""Where the runs are done: in real processes, one of which is killed, and on a real Dask cluster, which loses one."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from data import BadInput
from tasks.common.stops import Diverged
from tasks.study import workers
from tasks.study.jobs import Job
from tests.tasks.study.conftest import content, folders, start

ROOT = Path(__file__).parents[3]


def fail(options, data):
    raise RuntimeError("first\nsecond")


def die(options, data):
    os.kill(os.getpid(), signal.SIGKILL)


def stop(options, data):
    os.kill(os.getpid(), signal.SIGSTOP)


def sleep(options, data):
    time.sleep(options.seconds)
    return {"config.json": json.dumps({"name": data}), "history.csv": "epoch\n1\n", "metrics.json": "{}"}


def job(train, name, cost=1.0, seconds=0.0):
    return Job(name, {"name": name}, train, SimpleNamespace(seed=0, seconds=seconds), name, cost)


def work(jobs, executor, **options):
    """The names of the runs that were done, in that order, and what failed."""
    done = []
    failed = workers.work(jobs, executor, lambda job, files: done.append(job.name), Console(file=io.StringIO()),
                          **options)
    return done, failed


def test_an_error_is_one_line_and_the_other_runs_are_done():
    with ThreadPoolExecutor(1) as executor:
        assert work([job(fail, "a"), job(sleep, "b")], executor) == (["b"], {"a": "RuntimeError: first second"})


@pytest.mark.parametrize("error, words", [
    (BadInput("a.csv: no"), "a.csv: no"), (Diverged("epoch 3"), "epoch 3"), (KeyError("x"), "KeyError: 'x'"),
    (CancelledError(), "the connection to the cluster was lost; the same command continues"),
])
def test_the_reason_is_said_in_words(error, words):
    assert workers.reason(error) == words


def die_once(options, data):
    if not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"config.json": "{}", "history.csv": "epoch\n1\n", "metrics.json": "{}"}


def test_a_worker_that_is_killed_is_replaced_and_its_run_is_tried_once_more():
    jobs = [job(die, "kills twice", cost=4), *(job(sleep, f"{i}", cost=3, seconds=0.2) for i in range(3)),
            job(die_once, "killed once", cost=2), job(sleep, "last")]
    with workers.processes(2) as executor:
        done, failed = work(jobs, executor)
    assert sorted(done) == ["0", "1", "2", "killed once", "last"]
    assert failed == {"kills twice": "its process was killed twice, as happens when memory runs out"}


def test_a_run_that_never_returns_is_reported_and_its_process_is_ended():
    with workers.processes(2) as executor:
        assert work([job(stop, "hangs", cost=0.01)], executor, patience=1.0) == (
            [], {"hangs": "no run has returned for 1 s"})
    assert not multiprocessing.active_children()


def test_long_runs_are_started_first():
    with ThreadPoolExecutor(1) as executor:
        done, _ = work([job(sleep, f"{i}", cost=cost, seconds=0.01) for i, cost in enumerate((1, 3, 2))], executor)
    assert done == ["1", "2", "0"]


# -- what is said meanwhile ---------------------------------------------------------------------------------------


def test_elsewhere_than_on_a_terminal_there_are_ten_lines():
    said = io.StringIO()
    jobs = [job(sleep, f"{i}") for i in range(144)]
    shown = workers.Shown(jobs, Console(file=said, width=80))
    for each in jobs:
        shown.finished(each)
    lines = said.getvalue().splitlines()
    assert len(lines) == 10 and lines[-1] == "144/144 runs, 0 s left"


def test_the_time_left_follows_from_what_the_runs_cost(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: clock[0])
    said = io.StringIO()
    console = Console(file=said, width=80, force_terminal=True)
    jobs = [job(sleep, "long", cost=3), job(sleep, "short", cost=1)]
    shown = workers.Shown(jobs, console)
    with shown.bar:
        clock[0] += 600
        shown.finished(jobs[0])
        assert shown.bar.tasks[0].description == "1/2 runs, 3 min 20 s left" and shown.bar.tasks[0].percentage == 75
        clock[0] += 200
        shown.finished(jobs[1])
        assert shown.bar.tasks[0].finished
    assert "2/2 runs, 0 s left" in said.getvalue()
    assert not re.search(r"left *\n", said.getvalue())  # the bar is all


# -- a cluster ----------------------------------------------------------------------------------------------------


@contextmanager
def dask(kind, *arguments, folder=ROOT):
    """A scheduler or a worker in a process of its own; `folder` is where it looks for modules."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", kind, "--no-dashboard", "--scheduler-file", "scheduler.json", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(folder=ROOT):
    """The address of a scheduler on this machine."""
    with dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-jupyter", folder=folder):
        while not Path("scheduler.json").exists():
            time.sleep(0.02)
        yield json.loads(Path("scheduler.json").read_text())["address"]


def worker():
    return dask("worker", "--nthreads", "1", "--no-nanny")


def test_a_cluster_that_loses_a_worker_loses_no_run(finished, tiny):
    with scheduler() as address, worker() as lost, worker() as other:
        def lose():
            while not list(tiny.out.glob("*/metrics.json")):
                time.sleep(0.01)
            lost.kill()

        watching = threading.Thread(target=lose)
        watching.start()
        done, _ = start(tiny, scheduler=address, images=finished[0].images)
        watching.join()
        assert done is True and lost.wait() == -signal.SIGKILL and other.poll() is None
    assert {name: content(path) for name, path in folders(tiny.out).items()} == {
        name: content(path) for name, path in folders(finished[0].out).items()}
    assert json.loads((tiny.out / "study.json").read_text())["workers"] == address


def test_a_cluster_without_workers_is_told_and_goes_on_with_new_ones():
    said, jobs = [], [job(sleep, f"{i}", seconds=0.3) for i in range(6)]
    with scheduler() as address:
        with worker() as lost, workers.cluster(address, said.append) as executor:
            def replace():
                time.sleep(1)
                lost.kill()
                while not said:
                    time.sleep(0.1)
                with worker():  # started in a copy of this project
                    over.wait(60)

            over, replacing = threading.Event(), threading.Thread(target=replace)
            replacing.start()
            done, failed = work(jobs, executor)
            over.set()
            replacing.join()
    assert sorted(done) == [f"{i}" for i in range(6)] and failed == {}
    line, = said
    assert line.startswith("The cluster has no workers left, and the runs wait: start some in a copy of this project")


def test_a_scheduler_that_dies_is_one_line(capfd):
    with dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-jupyter") as lost:
        while not Path("scheduler.json").exists():
            time.sleep(0.02)
        address = json.loads(Path("scheduler.json").read_text())["address"]
        with worker(), workers.cluster(address, print) as executor:
            threading.Timer(1, lost.kill).start()
            done, failed = work([job(sleep, "a"), job(sleep, "b", seconds=60)], executor)
    assert failed == {"b": "the connection to the cluster was lost; the same command continues"}
    assert done == ["a"] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("folder, says", [(ROOT, "has no workers: start some"), ("/", "lacks this project")])
def test_a_cluster_that_cannot_work_is_refused(folder, says):
    with scheduler(folder) as address:
        with pytest.raises(BadInput, match=f"{address}.* {says}"), workers.cluster(address, print, timeout=1):
            pass


@pytest.mark.parametrize("address, says", [("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
                                           ("somewhere", "somewhere is not an address such as tcp://host:8786")])
def test_an_address_where_there_is_no_cluster_is_refused(address, says):
    with pytest.raises(BadInput, match=says), workers.cluster(address, print, timeout=1):
        pass

"""Where the runs are done: in processes on this machine, or on a Dask cluster.

Both are standard executors, so that `work` treats them alike.

Read next: results.py, what a finished study holds.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from data import BadInput
from tasks.common.progress import duration, log_to
from tasks.common.stops import Diverged
from tasks.study.jobs import Files, Job


class Processes(ThreadPoolExecutor):
    """`count` processes on this machine, each with a thread here that hands it one run after the other.

    So a process that is killed, as by a system that runs out of memory, takes no other run with it. Its run is tried
    once more, in a new process.
    """

    def __init__(self, count: int):
        super().__init__(count)
        self.lock, self.stopped = threading.Lock(), False
        self.idle = queue.SimpleQueue()
        # Only the parent handles Ctrl-C: a process that is started while it is ignored keeps ignoring it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for _ in range(count):
            self.idle.put(pool := one_process())
            pool.submit(int)
        signal.signal(signal.SIGINT, handler)

    def submit(self, function: Callable, /, *arguments) -> Future:
        return super().submit(self._in_a_process, function, *arguments)

    def _in_a_process(self, function, *arguments):
        pool = self.idle.get()
        try:
            for last in (False, True):
                with self.lock:  # no process is started after `stop`
                    if self.stopped:
                        raise CancelledError
                    future = pool.submit(function, *arguments)
                try:
                    return future.result()
                except BrokenProcessPool:
                    pool = one_process()
                    if last:
                        raise
        finally:
            self.idle.put(pool)

    def stop(self) -> None:
        """Kill the processes, whatever they are doing."""
        with self.lock:
            self.stopped = True
        for process in multiprocessing.active_children():
            process.kill()  # one that is stopped does not hear `terminate`
            process.join()
        self.shutdown(cancel_futures=True)


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes on this machine, which are killed at the end of the block."""
    executor = Processes(count)
    try:
        yield executor
    finally:
        executor.stop()


def one_process() -> ProcessPoolExecutor:
    # Spawned, not forked: a fork would copy a lock that another thread may hold.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin)


def begin() -> None:
    """In a worker: leave Ctrl-C to the parent, and exit when it exits, even if it is killed."""
    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def cluster(address: str, log: Callable[[str], None], timeout: int = 30) -> Iterator[Executor]:
    """The workers of a Dask scheduler. If one is lost, the scheduler gives its runs to others; `log` is told when there
    are none left.

    Not through joblib: its Dask backend waits forever for a run that kills its worker.
    """
    try:
        import dask
        from dask.distributed import Client, TimeoutError
    except ImportError:
        raise BadInput("--scheduler: needs Dask: pip install -e '.[cluster]'") from None
    if not re.fullmatch(r"\w+://.+:\d+", address):
        raise BadInput(f"--scheduler: {address} is not an address such as tcp://host:8786")
    try:
        client = Client(address, timeout=timeout, set_as_default=False)
    except OSError as error:
        raise BadInput(f"--scheduler: no Dask scheduler answers at {address} ({error})") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what is wrong is said here, in one line
    start = f"in a copy of this project: python -m dask worker --nthreads 1 {address}"
    # The data is sent with each run: data put on a worker beforehand would be lost with that worker.
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        try:
            client.run_on_scheduler(importlib.import_module, __name__)
            client.wait_for_workers(1, timeout=timeout)
            client.run(importlib.import_module, __name__)
        except TimeoutError:
            raise BadInput(f"--scheduler: {address} has no workers: start some {start}") from None
        except ImportError as error:
            raise BadInput(f"--scheduler: {address}, or a worker of it, lacks this project ({error}): start it {start}"
                           ) from None
        over = threading.Event()
        watcher = threading.Thread(target=watch_workers, args=(client, over, lambda: log(
            f"The cluster has no workers left, and the runs wait: start some {start}")))
        watcher.start()
        try:
            yield client.get_executor(pure=False)
        finally:
            over.set()
            watcher.join()


def watch_workers(client, over: threading.Event, missing: Callable[[], None], every: float = 2.0) -> None:
    """Until it is over, call `missing` each time that the last worker is lost. A worker that lacks this project ends as
    soon as it is given a run.
    """
    there = True
    while not over.wait(every):
        try:
            before, there = there, bool(client.scheduler_info()["workers"])
        except OSError:  # the connection is lost, which ends the runs
            return
        if before and not there:
            missing()


def work(jobs: list[Job], executor: Executor, done: Callable[[Job, Files], None], console: Console,
         patience: float = 1800.0) -> dict[str, str]:
    """Do the runs, the longest first, and pass the files of each to `done`. Returns {name of a failed run: reason}.

    When no run finishes for so many seconds, or for 60 times as long as the longest should take, those that are left
    have failed.
    """
    failed: dict[str, str] = {}
    shown = Shown(jobs, console)
    with shown.bar:
        longest_first = sorted(jobs, key=lambda job: -job.cost)
        futures = {executor.submit(job.train, job.options, job.data): job for job in longest_first}
        while futures:
            longest = max(patience, 60 * max(job.cost for job in futures.values()))
            returned, _ = wait(futures, longest, FIRST_COMPLETED)
            if not returned:
                return failed | {job.name: f"no run has returned for {duration(longest)}" for job in futures.values()}
            for future in returned:
                job = futures.pop(future)
                try:
                    files = future.result()
                except Exception as error:
                    failed[job.name] = reason(error)
                else:
                    done(job, files)
                shown.finished(job)
    return failed


def reason(error: Exception) -> str:
    """Why a run failed, in one line."""
    if isinstance(error, CancelledError):
        return "the connection to the cluster was lost; the same command continues"
    if isinstance(error, BrokenProcessPool):
        return "its process was killed twice, as happens when memory runs out"
    kind = "" if isinstance(error, (BadInput, Diverged)) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


class Shown:
    """How many runs are finished, and the time left: a bar on a terminal, ten lines elsewhere."""

    def __init__(self, jobs: list[Job], console: Console):
        self.log, self.began = log_to(console), time.monotonic()
        self.count, self.runs, self.cost, self.total = 0, len(jobs), 0.0, sum(job.cost for job in jobs)
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(None), console=console, expand=True,
                            disable=not console.is_terminal)
        self.task = self.bar.add_task(f"0/{self.runs} runs", total=self.total)

    def finished(self, job: Job) -> None:
        """Count one more run as finished."""
        self.count, self.cost = self.count + 1, self.cost + job.cost
        left = (time.monotonic() - self.began) * max(0.0, self.total / self.cost - 1)
        line = f"{self.count}/{self.runs} runs, {duration(left)} left"
        self.bar.update(self.task, completed=self.cost, description=line)
        if self.bar.disable and 10 * (self.count - 1) // self.runs < 10 * self.count // self.runs:
            self.log(line)

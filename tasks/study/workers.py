"""Where the runs are done: in processes on this machine, or on a Dask cluster.

Both are standard executors, so that `work` treats them alike.

Read next: results.py, what a finished study holds.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from data import BadInput
from tasks.common.progress import duration, log_to
from tasks.common.training import Diverged
from tasks.study.jobs import Files, Job


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes on this machine. An exception in the block terminates them, whatever they are doing."""
    # Spawned, not forked: a fork would copy a lock that another thread may hold.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), watch_parent) as pool:
        # Only the parent handles Ctrl-C: a process that is started while it is ignored keeps ignoring it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for _ in range(count):
            pool.submit(int)
        signal.signal(signal.SIGINT, handler)
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def watch_parent() -> None:
    """In a worker: exit when the parent exits, even if it is killed."""
    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def cluster(address: str, timeout: int = 30) -> Iterator[Executor]:
    """The workers of a Dask scheduler. If one is lost, the scheduler gives its runs to others.

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
        yield client.get_executor(pure=False)


def work(jobs: list[Job], executor: Executor, done: Callable[[Job, Files], None], console: Console) -> dict[str, str]:
    """Do the runs, the longest first, and pass the files of each to `done`. Returns {name of a failed run: reason}."""
    failed: dict[str, str] = {}
    shown = Shown(jobs, console)
    with shown.bar:
        longest_first = sorted(jobs, key=lambda job: -job.cost)
        futures = {executor.submit(job.train, job.options, job.data): job for job in longest_first}
        for future in as_completed(list(futures)):
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
        return "the connection to the cluster was lost"
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

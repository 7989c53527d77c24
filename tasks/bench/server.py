"""A library in a process of its own, with one number of threads: what the bench asks of it, and what answers there.

Read next: workloads.py, what is measured.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
import tracemalloc
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import nn
from tasks.bench.peers import LIBRARIES
from tasks.bench.workloads import Recurrent, Work, floor


class Setting(NamedTuple):
    """A library, which of its idioms, and its number of threads."""

    library: str
    idiom: int
    threads: int

    def __str__(self) -> str:
        return f"{self.threads}" + ", unrolled" * self.idiom


def ours(work: Work, threads: int):
    """Threads over micro-batches, and over halves of what is large: then none of the BLAS. A recurrent layer over a
    small batch has neither, and its products leave the threads to the BLAS.
    """
    threadpool_limits(threads if isinstance(work, Recurrent) and work.parts == 1 else 1)
    nn.set_num_threads(threads)
    return work.ours(threads)


class Worker:
    """A process of its own for one setting: `worker(request, ...)` returns what that method of its Server does."""

    def __init__(self, setting: Setting):
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start, (setting,))

    def __call__(self, request: str, *args):
        return self.ask(request, *args).result()

    def ask(self, request: str, *args) -> Future:
        return self.pool.submit(answer, request, *args)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


def start(setting: Setting) -> None:
    """In the process: make its Server."""
    global server
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    server = Server(setting)


def answer(request: str, *args):
    """In the process: call a method of its Server."""
    try:
        return getattr(server, request)(*args)
    except Exception as error:  # not every library's exceptions can be sent to another process
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


class Server:
    """What a worker does with a library, an idiom and a number of threads."""

    def __init__(self, setting: Setting):
        self.setting, self.steps, self.grid = setting, None, []

    def load(self, work: Work) -> tuple[float, dict[str, np.ndarray], float] | None:
        """Loss, gradients, and the seconds of the first call with compilation; None if the library cannot do it."""
        library, idiom, threads = self.setting
        self.steps = None  # frees the memory of the work before
        self.steps = ours(work, threads) if library == "nn" else LIBRARIES[library][1][idiom](work, threads)
        if self.steps is None:
            return None
        # All that the studies import would be walked by each full garbage collection: 6 us an op in a long graph.
        gc.freeze()
        began = time.perf_counter()
        return *self.steps.check(), time.perf_counter() - began

    def turn(self, count: int) -> float:
        """Seconds a step, the mean of `count`, after one that warms caches and threads up."""
        self.steps.step()
        began = time.perf_counter()
        for _ in range(count):
            self.steps.step()
        return (time.perf_counter() - began) / count

    def epoch(self, works: list[Work], count: int) -> float:
        """Seconds of a step of each of these works, one after the other, added up: each the mean of `count` steps."""
        library, idiom, threads = self.setting
        if not self.grid:
            make = ours if library == "nn" else LIBRARIES[library][1][idiom]
            self.grid = [make(work, threads) for work in works]
            gc.freeze()
        total = 0.0
        for steps in self.grid:
            self.steps = steps
            total += self.turn(count)
        return total

    def floor(self, work: Work) -> float:
        with threadpool_limits(self.setting.threads if work.parts == 1 else 1):
            return floor(work, self.setting.threads)

    def memory(self, work: Work) -> tuple[int, int]:
        """Bytes of the data and the model, and the most that steps take beyond them, as numpy accounts for them."""
        tracemalloc.start()
        steps = work.ours(self.setting.threads)
        data, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(2):
            steps.step()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return data, peak - data

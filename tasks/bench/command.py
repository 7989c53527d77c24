"""Our speed beside that of PyTorch, JAX, autograd and MyGrad, whichever are installed: the same work in the same run.

Every library has a process of its own for each number of threads, so that none works in another's thread pool or
memory. Loss and all gradients are compared before anything is timed. Then each library's best setting is found, and
the best run in turn: ours, theirs, ours, theirs, ... What disturbs the machine disturbs both of a pair, so the ratio
of a pair is steadier than either time, and the median of the ratios is what counts.

Read next: workloads.py, what is measured.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import multiprocessing
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from rich import box
from rich.console import Console
from rich.table import Column, Table
from threadpoolctl import threadpool_limits

import nn
from data import BadInput
from tasks.bench.peers import LIBRARIES
from tasks.bench.workloads import GROWTH, WORKS, Work, floor, flops
from tasks.common.files import as_json, write
from tasks.common.machine import CORES, machine
from tasks.common.progress import log_to
from tasks.common.style import BLUE, GREEN, ORANGE, VERMILION, canvas, png

PAIRS, TRIALS = 15, 3
TURN_SECONDS = 0.1  # a turn takes at least this long: many steps, where a step is short
PAUSE_SECONDS = 0.1  # before a turn: the threads of the turn before keep a core busy waiting, OpenBLAS's for 30 ms
THREADS = [n for n in (1, 2, 4, 8, 16, 32) if n <= CORES]
TOLERANCE = 1e-3  # of a gradient's largest element; sums over 400,000 float32 terms differ by up to 2e-4


@dataclass(frozen=True)
class BenchOptions:
    """Measure our speed beside that of PyTorch, JAX, autograd and MyGrad.

    Prints tables, and writes them as bench.json and bench.png.

    Takes some twenty minutes. The machine should do nothing else meanwhile.
    """

    only: tuple[Literal["a", "b", "c", "d", "e", "f"], ...] = ("a", "b", "c", "d", "e", "f")
    """Parts: a, b the sequence study's step, large and small; c a large LSTM; d the VAE; e small ops; f growth."""
    out: Path = Path("runs/bench")
    """The folder of the results; those of an earlier bench are replaced."""


class Mismatch(Exception):
    """Two libraries do not compute the same: their times cannot be compared."""


# -- a library in a process of its own ----------------------------------------------------------------------------


class Setting(NamedTuple):
    """A library, which of its idioms, and its number of threads."""

    library: str
    idiom: int
    threads: int

    def __str__(self) -> str:
        return f"{self.threads}" + ", unrolled" * self.idiom


def ours(work: Work, threads: int):
    """Threads over micro-batches, and over halves of what is large; none of the BLAS."""
    threadpool_limits(1)
    nn.set_num_threads(threads)
    return work.ours(threads)


class Worker:
    """A process of its own for one setting: `worker(request, ...)` returns what that method of its Server does."""

    def __init__(self, setting: Setting):
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start, (setting,))

    def __call__(self, request: str, *args):
        return self.pool.submit(answer, request, *args).result()

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
        self.setting, self.steps = setting, None

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

    def floor(self, work: Work) -> float:
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


# -- measuring ----------------------------------------------------------------------------------------------------


def race(turns: dict, rounds: int) -> dict:
    """{key: seconds of each round}; in a round each has its turn, one after the other."""
    times = {key: [] for key in turns}
    for _ in range(rounds):
        for key, turn in turns.items():
            time.sleep(PAUSE_SECONDS)
            times[key].append(turn())
    return times


def compare(work: Work, name: str, ours: tuple, theirs: tuple) -> None:
    """Mismatch unless the losses and all gradients, (loss, {name: gradient}), are the same but for rounding."""
    pairs = {"the loss": (np.float64(ours[0]), np.float64(theirs[0]))}
    if ours[1].keys() != theirs[1].keys():
        raise Mismatch(f"{work.name}: {name} has gradients of other parameters: {', '.join(theirs[1])}")
    pairs |= {f"the gradient of {key}": (g, theirs[1][key]) for key, g in ours[1].items()}
    for what, (a, b) in pairs.items():
        if a.shape != b.shape or a.dtype != b.dtype:
            raise Mismatch(f"{work.name}: {what} is {a.dtype} {a.shape} in nn and {b.dtype} {b.shape} in {name}")
        error = np.abs(a - b).max() / np.abs(a).max()
        if not error <= TOLERANCE:
            raise Mismatch(f"{work.name}: {what} in {name} differs from ours by {error:.1e}, relative")


def quartiles(values: Iterable[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = np.percentile(list(values), (25, 50, 75)).tolist()
    return {"median": median, "low": low, "high": high}


def measure(work: Work, workers: dict[Setting, Callable]) -> dict:
    """A row of bench.json. workers: those of "nn" come first. Mismatch if one computes something else."""
    loaded = {setting: answer for setting, worker in workers.items() if (answer := worker("load", work)) is not None}
    reference = next(iter(loaded.values()))
    for setting, answer in loaded.items():
        compare(work, f"{setting.library} ({setting})", reference[:2], answer[:2])

    def turn(setting):
        warm = min(workers[setting]("turn", 1) for _ in range(3))
        count = min(max(round(TURN_SECONDS / warm), 1), 2000)
        return lambda: workers[setting]("turn", count)

    turns = {setting: turn(setting) for setting in loaded}
    trials = {setting: np.median(times) for setting, times in race(turns, TRIALS).items()}
    best = {library: min((s for s in loaded if s.library == library), key=trials.get)
            for library in dict.fromkeys(setting.library for setting in loaded)}
    times = race({library: turns[setting] for library, setting in best.items()}, PAIRS)
    row = {"part": work.part, "work": work.name, "gflop": flops(work) / 1e9,
           "floor_ms": 1000 * min(workers[s]("floor", work) for s in loaded if s.library == "nn"), "libraries": {}}
    for library, setting in best.items():
        row["libraries"][library] = {
            "setting": str(setting), "first_call_s": loaded[setting][2],
            "ms": quartiles(1000 * t for t in times[library]),
            "ratio": quartiles(theirs / t for theirs, t in zip(times[library], times["nn"], strict=True)),
        }
    return row


def growth(work: Work) -> dict:
    """Time and memory of one size, in a fresh process."""
    worker = Worker(Setting("nn", 0, THREADS[-1]))
    data, beyond = worker("memory", work)
    worker("load", work)
    worker("turn", 1)
    times = race({"nn": lambda: worker("turn", 3)}, 5)["nn"]
    worker.close()
    return {"part": work.part, "work": work.name, "N": work.N, "L": work.L, "ms": quartiles(1000 * t for t in times),
            "ns_per_element": 1e9 * float(np.median(times)) / (work.N * work.L), "data_mb": data / 1e6,
            "beyond_mb": beyond / 1e6}


# -- what people look at ------------------------------------------------------------------------------------------


def milliseconds(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def ratio_table(rows: list[dict]) -> Table:
    """A line for our time, a line for each peer's, as a multiple of ours with its quartiles, and one for the floor."""
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("ms", "threads", "x ours", "quartiles"))
    table = Table(Column("work", no_wrap=True), Column("library", no_wrap=True), *numbers, box=box.SIMPLE_HEAD,
                  padding=(0, 1, 0, 0), title="The time of a step", title_justify="left")
    for row in rows:
        for library, r in row["libraries"].items():
            threads, *idiom = r["setting"].split(", ")
            cells = [", ".join([library, *idiom]), milliseconds(r["ms"]["median"]), threads]
            if library != "nn":
                cells += [f"{r['ratio']['median']:.3g}", f"{r['ratio']['low']:.2g}-{r['ratio']['high']:.2g}"]
            table.add_row(row["work"] if library == "nn" else "", *cells)
        share = row["floor_ms"] / row["libraries"]["nn"]["ms"]["median"]
        table.add_row("", "(floor)", milliseconds(row["floor_ms"]), "", f"{share:.2f}", end_section=True)
    return table


def growth_table(rows: list[dict]) -> Table:
    table = Table("work", *(Column(name, justify="right") for name in (
        "ms", "ns per window and day", "data, MB", "beyond the data, MB")), title="Growth: time and peak memory")
    for row in rows:
        table.add_row(row["work"], milliseconds(row["ms"]["median"]), f"{row['ns_per_element']:.0f}",
                      f"{row['data_mb']:.1f}", f"{row['beyond_mb']:.1f}")
    return table


def chart(rows: list[dict], where: dict) -> Figure:
    """The ratios of all works, with their quartiles: a dot to the right of 1 is a peer that takes longer."""
    colours = dict(zip(LIBRARIES, (VERMILION, BLUE, ORANGE, GREEN), strict=True))
    title = f"Time of a step, peer / ours: {where['processor']}, {where['cores']} cores, {where['date']}"
    figure, axes = canvas(title, size=(7.2, 1.6 + 0.32 * len(rows)))
    for library, colour in colours.items():
        found = [(i, row["libraries"][library]["ratio"]) for i, row in enumerate(rows) if library in row["libraries"]]
        if found:
            axes.errorbar([r["median"] for _, r in found], [i for i, _ in found], fmt="o", color=colour, label=library,
                          xerr=np.array([(r["median"] - r["low"], r["high"] - r["median"]) for _, r in found]).T)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.minorticks_off()
    axes.margins(x=0.05)
    axes.set_yticks(range(len(rows)), [row["work"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("time of the peer / our time (median of pairs, and quartiles)")
    if axes.containers:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


# -- the command --------------------------------------------------------------------------------------------------


def run(options: BenchOptions, console: Console) -> bool:
    """Measure, print, write. False if a library computes something else; BadInput for --out."""
    out = options.out.expanduser()  # the shell leaves the ~ of --out=~/x alone
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out} is a file, not a folder")
    log = log_to(console)
    works = [work for work in WORKS if work.part in options.only]
    sizes = [work for work in GROWTH if work.part in options.only]
    settings = [Setting("nn", 0, threads) for threads in THREADS]
    for library, (module, idioms) in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # not installed, or incompatible with this numpy
            log(f"{library} is left out: {error}")
            continue
        settings += [Setting(library, idiom, threads) for idiom in range(len(idioms)) for threads in THREADS]
    where = machine(["numpy", *(LIBRARIES[name][0] for name in {s.library: s for s in settings} if name in LIBRARIES)])
    log(f"{where['processor']}, {where['cores']} cores, Python {where['python']}, "
        + ", ".join(f"{name} {version}" for name, version in where["versions"].items()))
    rows, curve = [], []
    workers = {setting: Worker(setting) for setting in settings} if works else {}
    try:
        for i, work in enumerate(works, 1):
            log(f"{i}/{len(works)}  {work.name}")
            rows.append(measure(work, workers))
    except Mismatch as wrong:
        log(f"WRONG  {wrong}")
        return False
    finally:
        for worker in workers.values():
            worker.close()
    for i, work in enumerate(sizes, 1):
        log(f"growth {i}/{len(sizes)}  {work.name}")
        curve.append(growth(work))
    if rows:
        console.print(ratio_table(rows))
        write(out / "bench.png", png(chart(rows, where)))
    if curve:
        console.print(growth_table(curve))
    results = {"machine": where, "pairs": PAIRS, "rows": rows, "growth": curve}
    write(out / "bench.json", as_json(results))
    log(f"{'bench.json and bench.png are' if rows else 'bench.json is'} in {out}/")
    return True

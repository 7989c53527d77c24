"""Our speed beside that of PyTorch, JAX, autograd and MyGrad, whichever are installed: the same work in the same run.

Every library has a process of its own for each number of threads, so that none works in another's thread pool or
memory. Loss and all gradients are compared before anything is timed. Then each library's best setting is found, and
the best run in turn: ours, theirs, ours, theirs, ... What disturbs the machine disturbs both of a pair, so the ratio
of a pair is steadier than either time, and the median of the ratios is what counts.

Read next: server.py, a library in a process of its own.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from data import BadInput
from tasks.bench.peers import LIBRARIES
from tasks.bench.report import chart, growth_table, into_readme, ratio_table
from tasks.bench.server import Setting, Worker
from tasks.bench.workloads import BUSY, GRID, GROWTH, WORKS, Work, flops
from tasks.common.files import as_json, write
from tasks.common.machine import CORES, machine
from tasks.common.progress import log_to
from tasks.common.style import png

PAIRS, TRIALS = 15, 3
GRID_STEPS = 5  # of each network of the grid in a turn
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

    only: tuple[Literal["a", "b", "c", "d", "e", "f", "g", "h"], ...] = ("a", "b", "c", "d", "e", "f", "g", "h")
    """Parts: a, b the sequence study's step, large and small; c a large LSTM; d the VAE; e small ops; f growth; g all
    networks of the sequence study; h the VAE beside a process that computes."""
    out: Path = Path("runs/bench")
    """The folder of the results; those of an earlier bench are replaced."""
    readme: bool = False
    """Measure nothing, and put the results in that folder into README.md and its chart."""


class Mismatch(Exception):
    """Two libraries do not compute the same: their times cannot be compared."""


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


def measure(work: Work, workers: dict[Setting, Callable], beside: Callable = nullcontext) -> dict:
    """A row of bench.json. workers: those of "nn" come first. Mismatch if one computes something else.

    beside      a context in which the pairs are run, while the best settings are found before it. With one, the row has
                also the times without it, as "quiet_ms"
    """
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
    turns = {library: turns[setting] for library, setting in best.items()}
    quiet = {} if beside is nullcontext else race(turns, PAIRS)
    with beside():
        times = race(turns, PAIRS)
    row = {"part": work.part, "work": work.name, "gflop": flops(work) / 1e9,
           "floor_ms": 1000 * min(workers[s]("floor", work) for s in loaded if s.library == "nn"), "libraries": {}}
    for library, setting in best.items():
        row["libraries"][library] = {
            "setting": str(setting), "first_call_s": loaded[setting][2], **compared(times, library),
            **({"quiet_ms": quartiles(1000 * t for t in quiet[library])} if quiet else {}),
        }
    return row


def compared(times: dict[str, list[float]], library: str) -> dict:
    """The times of a library, and what they are as multiples of ours, pair by pair."""
    pairs = zip(times[library], times["nn"], strict=True)
    return {"ms": quartiles(1000 * t for t in times[library]),
            "ratio": quartiles(theirs / ours for theirs, ours in pairs)}


@contextmanager
def busy_process() -> Iterator[None]:
    """Meanwhile another process computes, with one thread."""
    process = multiprocessing.get_context("spawn").Process(target=compute, daemon=True)
    process.start()
    try:
        time.sleep(1)  # until it has started
        yield
    finally:
        process.kill()
        process.join()


def compute() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)
    x = np.ones((300, 300), np.float32)
    while True:
        x @ x


def measure_grid(works: list[Work], libraries: list[str]) -> dict:
    """A row of bench.json: an epoch of all these works, as the study does them, with a process of one thread for each
    core. The works are dealt out to the processes in turn; the time is that of a process, on average. Mismatch if a
    library computes something else.
    """
    teams = {library: [Worker(Setting(library, 0, 1)) for _ in range(CORES)] for library in libraries}

    def turn(team):
        answers = [worker.ask("epoch", works[i::CORES], GRID_STEPS) for i, worker in enumerate(team)]
        return sum(answer.result() for answer in answers) / CORES

    try:
        for work in works:
            reference, *theirs = (team[0]("load", work)[:2] for team in teams.values())
            for library, answer in zip(libraries[1:], theirs, strict=True):
                compare(work, library, reference, answer)
        times = race({library: lambda team=team: turn(team) for library, team in teams.items()}, 1 + PAIRS // 3)
        least = sum(teams["nn"][0]("floor", work) for work in works) / CORES
    finally:
        for worker in itertools.chain(*teams.values()):
            worker.close()
    times = {library: seconds[1:] for library, seconds in times.items()}  # the first round prepares the works
    return {"part": works[0].part, "work": f"grid of {len(works)} networks",
            "gflop": sum(map(flops, works)) / 1e9, "floor_ms": 1000 * least, "libraries": {
                library: {"setting": "1", **compared(times, library)} for library in libraries}}


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


# -- the command --------------------------------------------------------------------------------------------------


def run(options: BenchOptions, console: Console) -> bool:
    """Measure, print, write. False if a library computes something else; BadInput for --out."""
    out = options.out.expanduser()  # the shell leaves the ~ of --out=~/x alone
    log = log_to(console)
    if options.readme:
        log(f"The results in {out}/ are now in {' and '.join(map(str, into_readme(out)))}.")
        return True
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out} is a file, not a folder")
    settings = [Setting("nn", 0, threads) for threads in THREADS]
    for library, (module, idioms) in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # not installed, or incompatible with this numpy
            log(f"{library} is left out: {error}")
            continue
        settings += [Setting(library, idiom, threads) for idiom in range(len(idioms)) for threads in THREADS]
    libraries = list(dict.fromkeys(setting.library for setting in settings))
    where = machine(["numpy", *(LIBRARIES[name][0] for name in libraries if name in LIBRARIES)])
    log(f"{where['processor']}, {where['cores']} cores, Python {where['python']}, "
        + ", ".join(f"{name} {version}" for name, version in where["versions"].items()))
    try:
        rows = measure_all([work for work in [*WORKS, BUSY] if work.part in options.only], settings, log)
        if "g" in options.only:
            log(f"grid  an epoch of {len(GRID)} networks")
            rows.append(measure_grid(GRID, [name for name in libraries if name in ("nn", "PyTorch")]))
    except Mismatch as wrong:
        log(f"WRONG  {wrong}")
        return False
    sizes, curve = [work for work in GROWTH if work.part in options.only], []
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


def measure_all(works: list[Work], settings: list[Setting], log: Callable[[str], None]) -> list[dict]:
    """The rows of these works, each library with a process for each of its settings."""
    workers = {setting: Worker(setting) for setting in settings} if works else {}
    rows = []
    try:
        for i, work in enumerate(works, 1):
            log(f"{i}/{len(works)}  {work.name}")
            rows.append(measure(work, workers, busy_process if work is BUSY else nullcontext))
    finally:
        for worker in workers.values():
            worker.close()
    return rows

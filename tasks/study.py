"""The whole homework in one command: every run of the grid, several at a time, and the page that shows them.

A run is a function of its options and its data to the files of its folder. Workers, be they processes here or on a
cluster, are sent both and send the files back; what they return is written here, `metrics.json` last. So a folder with
a `metrics.json` is a finished run, and the same command goes on where it was stopped.

Read next: study_results.py, what is found; report.py, the page.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import io
import itertools
import json
import multiprocessing
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import safetensors.numpy
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from threadpoolctl import threadpool_limits

from data import BadInput
from data.covid import CaseCounts
from tasks import bench, covid, report, vae, vae_results
from tasks.covid_results import tomorrow
from tasks.image_figures import tile
from tasks.options import check_ranges
from tasks.run_folder import Interrupted, write, write_all
from tasks.study_results import CELLS, CasesFound, Run, Study, read_run
from tasks.training import Diverged

LENGTHS = (3, 5, 7, 9, 10, 15, 20, 30)
SPLITS = ("time", "random")
SEEDS = (0, 1, 2)
WEIGHTS = (0.0, 1.0, 100.0, "learned", "anneal")
HURRY = 3  # with --quick, of so many epochs one is left
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
PACKAGES = ("numpy", "pandas", "matplotlib", "pillow", "pygal", "safetensors")


@dataclass(frozen=True)
class StudyOptions:
    """Run both studies in whole and show them on one page, index.html.

    RNN, LSTM and GRU for windows of 3 to 30 days, two splits, three seeds; the autoencoder for five weights of its KL
    term. Finished runs are kept: stop it, and the same command goes on.
    """

    only: Literal["covid", "vae"] | None = None
    """One of the two studies."""
    quick: bool = False
    """One seed, and a third of the epochs: a few minutes."""
    workers: int | None = None
    """Runs at a time, each in a process. By default one a core."""
    scheduler: str | None = None
    """Train on a Dask cluster, tcp://host:port; scheduler and workers were started in a copy of this project."""
    csv: str = "auto"
    """A file of cumulative cases; "simulated"; or "auto": the data at hand, else a download, else simulated."""
    until: str = "2020-04-12"
    """The last day that is used."""
    images: str = "auto"
    """A folder of pictures; "drawn", by this program; "mnist"; or "auto": drawn."""
    out: Path = Path("runs/study")
    """The folder of the page and of the runs."""


# -- the runs -----------------------------------------------------------------------------------------------------

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Job:
    """A run to be made.

    name            what it is called on the page
    config          what decides its numbers, as in config.json
    train           (options, data) -> its files; `metrics.json` is the last
    options, data   what `train` is called with
    cost            how long that takes, in seconds on some machine: jobs are compared, and added up
    """

    name: str
    config: dict
    train: Callable[[Any, Any], Files]
    options: Any
    data: Any
    cost: float

    @property
    def folder(self) -> str:
        """The name, and a digest of the configuration: other options or data have another folder."""
        return f"{self.name}-{hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()[:8]}"


def sequence_jobs(options: StudyOptions, log: Callable[[str], None]) -> tuple[list[Job], CasesFound]:
    """The grid of the sequence study, and the case counts that all its runs share."""
    common = covid.Covid(csv=options.csv, until=options.until)
    common = dataclasses.replace(common, epochs=common.epochs // HURRY if options.quick else common.epochs)
    counts = covid.read(common, log)
    found = covid.prepare(common, counts, lambda line: None)
    grid = itertools.product(CELLS, LENGTHS, SPLITS, SEEDS[:1] if options.quick else SEEDS)
    configs = [dataclasses.replace(common, cell=cell, L=L, split=split, seed=seed) for cell, L, split, seed in grid]
    jobs = [Job(f"covid-{c.cell}-L{c.L}-{c.split}-seed-{c.seed}", covid.run_config(c, counts), train_sequences, c,
                counts, cost=3e-4 * c.epochs * GATES[c.cell] * (c.L + 5)) for c in configs]
    return jobs, CasesFound(counts, found.correlations, found.kept, common.threshold)


def image_jobs(options: StudyOptions, log: Callable[[str], None]) -> list[Job]:
    """The weights of the image study, on the same images."""
    common = vae.Vae(images=options.images)
    data = vae.prepare(common, log)
    common = vae.with_epochs(common, data)
    common = dataclasses.replace(common, epochs=-(-common.epochs // HURRY) if options.quick else common.epochs)
    configs = [*(dataclasses.replace(common, kl=kl) for kl in WEIGHTS),
               dataclasses.replace(common, per_channel=True)]
    numbers = data.train.size + data.test.size
    return [Job(f"vae-kl-{c.kl if isinstance(c.kl, str) else f'{c.kl:g}'}" + "-per-channel" * c.per_channel,
                vae.run_config(c, data), train_images, c, data, cost=7e-8 * c.epochs * numbers) for c in configs]


@np.errstate(all="ignore")  # what is not finite is found by training itself
def train_sequences(options: covid.Covid, counts: CaseCounts) -> Files:
    """Train for one cell, one L, one split and one seed."""
    threadpool_limits(1)  # for good: another run may be on in a thread of this process
    data = covid.prepare(options, counts, log=lambda line: None)
    model, optimizer, rng = covid.begin(options)
    history = pd.DataFrame(filter(None, covid.fit(options, data, model, optimizer, rng, threads=1)))
    metrics = covid.measure(options, data, model, history)
    table = tomorrow(counts.new_cases, options.L, lambda values: covid.predict(model, covid.inputs(values)))
    return {
        "history.csv": history.to_csv(index=False),
        "probabilities.csv": table.to_csv(index=False),
        "model.safetensors": safetensors.numpy.save(model.state_dict()),
        "config.json": text(covid.run_config(options, counts)),
        "metrics.json": text(metrics),
    }


@np.errstate(all="ignore")
def train_images(options: vae.Vae, data: vae.Data) -> Files:
    """Train for one weight of the KL term. The pictures are bare grids: a pixel of the file for a pixel of an image."""
    threadpool_limits(1)
    layout = vae.Layout(data.train.shape[1], data.train.shape[3], options.per_channel)
    model, optimizer, rng = vae.begin(options, layout)
    history = pd.DataFrame(filter(None, vae.fit(options, data, layout, model, optimizer, rng)))
    metrics = vae_results.measure(model, layout, data, options, history)
    pictures = vae_results.pictures(model, layout, data.test)
    return {
        "history.csv": history.to_csv(index=False),
        **{f"{name}.png": png(tile(grid.images)) for name, grid in pictures.items()},
        "model.safetensors": safetensors.numpy.save(model.state_dict()),
        "config.json": text(vae.run_config(options, data)),
        "metrics.json": text(metrics),
    }


def text(content: dict) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# -- the workers --------------------------------------------------------------------------------------------------


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes on this machine. They are ended when the block is left by an exception, whatever they are doing."""
    # Spawned, not forked, as another thread may hold a lock.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), watch_parent) as pool:
        # Ctrl-C is for the parent alone: what is started while it is ignored goes on ignoring it.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for _ in range(count):
            pool.submit(int)
        signal.signal(signal.SIGINT, heard)
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def watch_parent() -> None:
    """In a worker: end with the parent, though it be killed."""
    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def cluster(address: str, patience: int = 30) -> Iterator[Executor]:
    """The workers of a Dask scheduler. Where one is lost, the scheduler gives its runs to others.

    Not through joblib, whose Dask backend waits for ever where a run fails by killing its workers.
    """
    try:
        import dask
        from dask.distributed import Client, TimeoutError
    except ImportError:
        raise BadInput("--scheduler: needs Dask: pip install -e '.[cluster]'") from None
    if not re.fullmatch(r"\w+://.+:\d+", address):
        raise BadInput(f"--scheduler: {address} is no address such as tcp://host:8786")
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except OSError as error:
        raise BadInput(f"--scheduler: no Dask scheduler answers at {address} ({error})") from None
    start = f"in a copy of this project: python -m dask worker --nthreads 1 {address}"
    # Data goes with each run: what is put on a worker beforehand would be lost with that worker.
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        try:
            client.run_on_scheduler(importlib.import_module, __name__)
            client.wait_for_workers(1, timeout=patience)
            client.run(importlib.import_module, __name__)
        except TimeoutError:
            raise BadInput(f"--scheduler: {address} has no workers: start some {start}") from None
        except ImportError as error:
            raise BadInput(f"--scheduler: {address}, or a worker of it, lacks this project ({error}): start it {start}"
                           ) from None
        yield client.get_executor(pure=False)


def work(jobs: list[Job], options: StudyOptions, console: Console) -> dict[str, str]:
    """Make the runs, the longest first, and write their folders. Returns {name of a run that failed: why}."""
    failed: dict[str, str] = {}
    shown = Shown(jobs, console)
    workers = cluster(options.scheduler) if options.scheduler else processes(options.workers or bench.CORES)
    with workers as pool, shown.bar:
        futures = {pool.submit(job.train, job.options, job.data): job for job in sorted(jobs, key=lambda j: -j.cost)}
        for future in as_completed(list(futures)):
            job = futures.pop(future)
            try:
                files = future.result()
            except Exception as error:
                failed[job.name] = reason(error)
            else:
                write_all(options.out / job.folder, files, mark="metrics.json")
            shown.done(job)
    return failed


def reason(error: Exception) -> str:
    """Why a run failed, in one line."""
    if isinstance(error, CancelledError):
        return "the connection to the cluster was lost"
    kind = "" if isinstance(error, (BadInput, Diverged)) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


class Shown:
    """How far all the runs are: a bar on a terminal, ten lines elsewhere."""

    def __init__(self, jobs: list[Job], console: Console):
        self.console, self.began = console, time.monotonic()
        self.count, self.runs, self.cost, self.total = 0, len(jobs), 0.0, sum(job.cost for job in jobs)
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(None), console=console, expand=True,
                            disable=not console.is_terminal)
        self.task = self.bar.add_task(f"0/{self.runs} runs", total=self.total)

    def done(self, job: Job) -> None:
        self.count, self.cost = self.count + 1, self.cost + job.cost
        left = (time.monotonic() - self.began) * max(0.0, self.total / self.cost - 1)
        line = f"{self.count}/{self.runs} runs, {f'{left:.0f} s' if left < 90 else f'{left / 60:.0f} min'} left"
        self.bar.update(self.task, completed=self.cost, description=line)
        if self.bar.disable and 10 * (self.count - 1) // self.runs < 10 * self.count // self.runs:
            self.console.print(line, highlight=False)


# -- the folder ---------------------------------------------------------------------------------------------------


def check_folder(out: Path) -> None:
    """BadInput if the folder holds what is none of a study's."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out} is a file, not a folder")
    if out.exists() and any(out.iterdir()) and not (out / "study.json").exists():
        raise BadInput(f"--out: {out} is not empty and not the folder of a study: choose another")


def finished(jobs: list[Job], out: Path) -> dict[str, Run]:
    """The jobs that are done: {name: run}. BadInput for a folder that is damaged, or was changed by someone."""
    runs = {}
    for job in jobs:
        folder = out / job.folder
        if not (folder / "metrics.json").exists():
            continue
        try:
            runs[job.name] = read_run(folder)
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder}: is damaged ({error}): remove it, and it is made again") from None
        if runs[job.name].config != job.config:
            raise BadInput(f"{folder}: config.json is not that of the run that the folder is named after: remove it, "
                           "and it is made again")
    return runs


def command(options: StudyOptions) -> str:
    """The command line of these options."""
    words = ["python", "run.py", "study"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            words += [f"--{field.name}"] + ([] if value is True else [str(value)])
    return shlex.join(words)


# -- the command --------------------------------------------------------------------------------------------------


def run(options: StudyOptions, console: Console) -> bool:
    """Make the runs that are not made yet, and the page of all. False if some failed.

    BadInput for an option or a file that is wrong, with nothing written; Interrupted at Ctrl-C: what is finished is
    kept, and the same command goes on.
    """
    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    began = time.monotonic()
    if options.workers is not None:
        check_ranges(options, workers=(1, 1000))
    check_folder(options.out)  # first, as drawing faces takes a while
    sequences, cases = ([], None) if options.only == "vae" else sequence_jobs(options, log)
    images = [] if options.only == "covid" else image_jobs(options, log)
    jobs = [*sequences, *images]
    kept = finished(jobs, options.out)
    waiting = [job for job in jobs if job.name not in kept]
    where = bench.machine(set())
    made = {
        "command": command(options), "date": where["date"], "machine": f"{where['processor']}, {where['cores']} cores",
        "workers": options.scheduler or options.workers or bench.CORES,
        "seeds": sorted({job.options.seed for job in jobs}), "kept": len(kept), "seconds": None,
        "versions": {"python": where["python"], **{name: importlib.metadata.version(name) for name in PACKAGES}},
    }
    write(options.out / "study.json", text(made))
    log(f"{len(jobs)} runs, of which {len(kept)} are finished already.")
    try:
        failed = work(waiting, options, console) if waiting else {}
    except KeyboardInterrupt:
        raise Interrupted from None

    made["seconds"] = time.monotonic() - began
    runs = finished(jobs, options.out)
    for name, why in failed.items():
        log(f"FAILED  {name}: {why}")
    found = Study([runs[job.name] for job in sequences if job.name in runs],
                  [runs[job.name] for job in images if job.name in runs], failed, cases, made)
    write(options.out / "study.json", text(made))
    write(options.out / "index.html", report.page(found))
    log(f"{len(runs)} of {len(jobs)} runs are on the page: {options.out / 'index.html'}")
    return not failed

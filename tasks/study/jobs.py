"""The runs of the study: which there are, and what each of them computes.

A run is a function of its options and its data to the files of its folder. It reads and writes nothing itself, so that
it can be done in any process, here or on a cluster.

Read next: workers.py, where the runs are done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from data.covid import CaseCounts
from tasks.common.options import between
from tasks.common.run_folder import run_files
from tasks.covid import results as covid_results
from tasks.covid import train as covid
from tasks.study.results import CELLS, Cases
from tasks.vae import results as vae_results
from tasks.vae import train as vae
from tasks.vae.collapse import eigenvalues
from tasks.vae.factors import recovered
from tasks.vae.figures import tile
from tasks.vae.model import Layout
from tasks.vae.two_sample import MOST, two_sample

LENGTHS = (3, 5, 7, 9, 10, 15, 20, 30)
SPLITS = ("time", "random")
SEEDS = (0, 1, 2)
WEIGHTS = (0.0, 1.0, 100.0, "learned", "anneal")
SWEEP = (0.03, 0.1, 0.3, 3.0, 10.0, 20.0, 30.0, 50.0, 80.0, 150.0, 300.0)  # and those of WEIGHTS that are numbers
QUICK_SWEEP = (0.1, 10.0, 30.0, 80.0, 300.0)
NEAR = 2.0  # weights within this factor of lambda_1, where the last latent should collapse, are run with every seed
EPOCHS = 300  # of the sequence runs, also with --quick: a network that was stopped early would teach something false
QUICK_DIVISOR = 3  # --quick trains the autoencoders for a third of the epochs

Files = dict[str, str | bytes]  # the files of a run's folder, {name: content}


@dataclass(frozen=True)
class StudyOptions:
    """Run both studies in full and show their results on one page, index.html.

    RNN, LSTM and GRU for windows of 3 to 30 days, two splits, three seeds.

    The autoencoder for five weights of its KL term, and for a series of weights between and beyond them.

    Finished runs are kept: after a stop, the same command continues.
    """

    only: Literal["covid", "vae"] | None = None
    """One of the two studies."""
    quick: bool = False
    """One seed, and fewer and shorter trainings of the autoencoder: some minutes."""
    cells: tuple[Literal["rnn", "lstm", "gru"], ...] = CELLS
    """The recurrent layers to compare."""
    L: tuple[Annotated[int, between(int, 1, 1000)], ...] = LENGTHS
    """The windows to compare, in days."""
    workers: Annotated[int, between(int, 1, 1000)] | None = None
    """Runs at a time, each in a process of its own. By default one per core."""
    scheduler: str | None = None
    """Train on a Dask cluster, tcp://host:port, whose scheduler and workers were started in a copy of this project."""
    csv: str = "auto"
    """A file of cumulative cases; "simulated"; or "auto": the data at hand, else a download, else simulated."""
    daily: bool = False
    """The file has the new cases of each day, not cumulative ones."""
    until: str = "2020-04-12"
    """The last day that is used."""
    images: str = "auto"
    """A folder of pictures; "drawn", by this program; "mnist"; or "auto": drawn."""
    out: Path = Path("runs/study")
    """The folder of the page and of the runs."""


# -- the runs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A run to be done.

    name            what it is called on the page
    config          what decides its numbers, as in config.json
    train           (options, data) -> its files, `metrics.json` last
    options, data   the arguments of `train`
    cost            an estimate of its seconds, for ordering the runs and for the time left
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


def sequence_jobs(options: StudyOptions, log: Callable[[str], None]) -> tuple[list[Job], Cases]:
    """The grid of the sequence study, and the case counts that all its runs share."""
    common = covid.CovidOptions(csv=options.csv, until=options.until, daily=options.daily, epochs=EPOCHS)
    counts = covid.read(common, log)
    found = covid.prepare(common, counts, lambda line: None)
    grid = itertools.product(options.cells, options.L, SPLITS, SEEDS[:1] if options.quick else SEEDS)
    configs = [dataclasses.replace(common, cell=cell, L=L, split=split, seed=seed) for cell, L, split, seed in grid]
    jobs = [Job(f"covid-{c.cell}-L{c.L}-{c.split}-seed-{c.seed}", covid.run_config(c, counts), train_sequences, c,
                counts, covid.expected_seconds(c)) for c in configs]
    return jobs, Cases(counts, found.correlations, found.kept, common.threshold)


def image_jobs(options: StudyOptions, log: Callable[[str], None]) -> tuple[list[Job], list[Job]]:
    """The grid of the image study: every weight of the KL term that is shown in pictures; and the sweep, on the same
    images: weights between and beyond those, and more seeds for 0, 1, 100 and the weights near lambda_1 of collapse.py.
    A seed decides the initial weights and the noise; all runs have the split of seed 0.
    """
    common = vae.VaeOptions(images=options.images)
    data = vae.prepare(common, log)
    common = vae.with_epochs(common, data)
    common = dataclasses.replace(common, epochs=-(-common.epochs // QUICK_DIVISOR) if options.quick else common.epochs)
    configs = [*(dataclasses.replace(common, kl=kl) for kl in WEIGHTS),
               dataclasses.replace(common, per_channel=True)]
    sweep = [dataclasses.replace(common, kl=kl) for kl in (QUICK_SWEEP if options.quick else SWEEP)]
    if not options.quick:
        whole = Layout(data.train.shape[1], data.train.shape[3], per_channel=False)
        threshold = eigenvalues(whole, data.train, 1)[0]
        repeated = [kl for kl in WEIGHTS + SWEEP if not isinstance(kl, str)
                    and (kl in WEIGHTS or threshold / NEAR < kl < threshold * NEAR)]
        sweep += [dataclasses.replace(common, kl=kl, seed=seed) for kl in repeated for seed in SEEDS[1:]]

    def job(c):
        name = f"vae-kl-{c.kl if isinstance(c.kl, str) else f'{c.kl:g}'}{'-per-channel' * c.per_channel}"
        return Job(name + (f"-seed-{c.seed}" if c.seed else ""), vae.run_config(c, data), train_images, c, data,
                   vae.expected_seconds(c, data))

    return [job(c) for c in configs], [job(c) for c in sweep]


@np.errstate(all="ignore")  # training itself checks that its numbers are finite
def train_sequences(options: covid.CovidOptions, counts: CaseCounts) -> Files:
    """Train for one cell, one L, one split and one seed."""
    threadpool_limits(1)  # for good: another run may be training in a thread of this process
    data = covid.prepare(options, counts, log=lambda line: None)
    state = covid.build(options)
    records = covid.train(state, data.train, options.epochs, covid.evaluation(state.model, data.test), threads=1)
    history = pd.DataFrame(filter(None, records))
    metrics = covid.measure(options, data, state.model, history)
    probabilities = covid_results.tomorrow(counts.new_cases, options.L, covid.forecaster(state.model))
    return {**covid_results.tables(history, probabilities, state.model),
            **run_files(covid.run_config(options, counts), metrics)}


@np.errstate(all="ignore")
def train_images(options: vae.VaeOptions, data: vae.Data) -> Files:
    """Train for one weight of the KL term. In the pictures, one pixel of the file is one pixel of an image."""
    threadpool_limits(1)
    layout = Layout(data.train.shape[1], data.train.shape[3], options.per_channel)
    state = vae.build(options, layout)
    history = pd.DataFrame(filter(None, vae.train(state, options, data, layout)))
    metrics = vae_results.measure(state.model, layout, data, options, history)
    if len(data.test) >= 4:  # two halves to train on and two to judge by
        three = vae_results.sampled(state.model, layout, MOST), data.train, data.test
        metrics["two_sample"] = two_sample(*(x.reshape(len(x), -1).astype(np.float32) / 255 for x in three))
    if data.factors and not options.per_channel:
        means = {name: vae_results.encode(state.model, layout, pixels)[0] for name, pixels in data.sets.items()}
        metrics["factors"] = recovered(means, data.factors)
    grids = vae_results.pictures(state.model, layout, data.test)
    return {**vae_results.tables(history, state.model),
            **{f"{name}.png": as_png(tile(grid.images)) for name, grid in grids.items()},
            **run_files(vae.run_config(options, data), metrics)}


def as_png(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3) uint8 as the content of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

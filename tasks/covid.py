"""The sequence study: will a country report more new COVID-19 cases tomorrow than today?

Read top to bottom: the options, the models, the data, the training, the run. `data/covid.py` says how the counts are
read, `data/windows.py` how they are cut and split, and `nn/sequence.py` is what learns.

Read next: covid_results.py, on what is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from rich.console import Console
from threadpoolctl import threadpool_limits

import nn
from data import BadInput
from data.covid import CaseCounts, load_cases
from data.windows import Windows, correlated_countries, correlation, features, make_windows, split_windows
from tasks.covid_results import summary, write_results
from tasks.metrics import classification
from tasks.options import check_ranges, default_folder, identity
from tasks.progress import show
from tasks.run_folder import RunFolder
from tasks.training import train

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
MICRO_BATCH = 8192  # windows at a time, at most: memory does not grow with the data
THREADS = 2  # of which each has micro-batches of its own


@dataclass(frozen=True)
class Covid:
    """Will a country report more new COVID-19 cases tomorrow than today?

    Learns from windows of L days in all countries; writes curves, metrics, probabilities and a world map.
    """

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrent layer."""
    L: int = 5
    """Days in a window."""
    csv: str = "auto"
    """A file of cumulative cases; "simulated"; or "auto": the data at hand, else a download, else simulated."""
    until: str = "2020-04-12"
    """The last day that is used."""
    threshold: float = 0.5
    """Keep the countries whose correlation with some other country exceeds this."""
    split: Literal["time", "country", "random"] = "time"
    """What is tested: the last days, other countries, or random windows (which leaks: windows overlap)."""
    hidden: int = 12
    """Units of a recurrent layer."""
    layers: int = 1
    """Recurrent layers."""
    epochs: int = 300
    """Passes over the training windows, each one step of Adam."""
    lr: float = 0.01
    """Learning rate."""
    seed: int = 0
    """Decides the initial weights and the split."""
    out: Path | None = None
    """The run's folder. By default runs/covid-CELL-L..., with the options that are not at their defaults."""
    resume: bool = False
    """Go on with a run that was stopped."""
    overwrite: bool = False
    """Replace what is in the run's folder."""


# -- the models ---------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """A recurrent layer, its last hidden state, and a linear layer to the logits of "not more" and "more".

    x (N, L, 1), signed log1p of new cases -> (N, 2)
    """

    def __init__(self, cell: str, hidden: int, layers: int, rng: np.random.Generator):
        self.recurrent = CELLS[cell](1, hidden, layers, batch_first=True, rng=rng)
        self.linear = nn.Linear(hidden, 2, rng=rng)

    def forward(self, x):
        _, last = self.recurrent(x)
        h_n = last[0] if isinstance(self.recurrent, nn.LSTM) else last
        return self.linear(h_n[-1])


class LogisticRegression(nn.Module):
    """The simplest model that looks at the same window: x (N, L, 1) -> logits (N, 2)."""

    def __init__(self, L: int, rng: np.random.Generator):
        self.linear = nn.Linear(L, 2, rng=rng)

    def forward(self, x):
        return self.linear(x[:, :, 0])


def rule(values: np.ndarray) -> np.ndarray:
    """Up when the last step was down: new cases (N, L) -> 0 or 1 (N,). With L = 1 there is no step: 0."""
    return (values[:, -1] < values[:, -2]).astype(float) if values.shape[1] > 1 else np.zeros(len(values))


# -- the data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """What the study learns from, after each of its steps."""

    counts: CaseCounts
    correlations: pd.DataFrame  # of daily new cases, all countries
    kept: list[str]  # the countries that are correlated with some other
    windows: Windows  # of those
    train: Windows
    test: Windows

    @property
    def sets(self) -> dict[str, Windows]:
        return {"train": self.train, "test": self.test}


def read(config: Covid, log=print) -> CaseCounts:
    """The case counts; `log` takes a line for each thing that was found."""
    check_ranges(config, L=(1, 1000), threshold=(-1, 0.9999), hidden=(1, 4096), layers=(1, 32), epochs=(1, 10**6),
                 lr=(1e-12, 10), seed=(0, 2**63))
    counts = load_cases(config.csv, config.until, log)
    for note in counts.notes:
        log(note)
    return counts


def prepare(config: Covid, counts: CaseCounts, log=print) -> Data:
    """Correlate, keep, cut and split; `log` takes a line for each thing that was found."""
    correlations = correlation(counts.new_cases)
    kept = correlated_countries(correlations, config.threshold)
    if not kept:
        raise BadInput(f"--threshold: of {len(correlations)} countries none has a correlation above {config.threshold} "
                       "with another")
    windows = make_windows(counts.new_cases[kept], config.L)
    train_set, test_set = split_windows(windows, config.split, config.seed)
    log(f"{counts.source}: {len(correlations)} countries, {len(kept)} kept; {len(windows):,} windows of {config.L} "
        f"days, {100 * windows.label.mean():.1f} % with more new cases the day after; {len(train_set):,} to train, "
        f"{len(test_set):,} to test.")
    if config.split == "random":
        log("The random split leaks: windows overlap, so training windows hold the days that test labels ask about.")
    return Data(counts, correlations, kept, windows, train_set, test_set)


def inputs(values: np.ndarray) -> np.ndarray:
    """New cases (N, L) as a model takes them: signed log1p, (N, L, 1), float32."""
    return features(values).astype(np.float32)[:, :, None]


# -- training -----------------------------------------------------------------------------------------------------


def begin(config: Covid) -> tuple[Classifier, nn.Adam, np.random.Generator]:
    """An untrained model, its optimiser, and the generator that the weights came from."""
    rng = np.random.default_rng(config.seed)
    model = Classifier(config.cell, config.hidden, config.layers, rng)
    return model, nn.Adam(model.parameters(), config.lr), rng


def steps(model: nn.Module, optimizer: nn.Optimizer, windows: Windows, epochs: int, rng: np.random.Generator,
          evaluate=dict, start: int = 0, skip: int = 0, threads: int = THREADS) -> Iterator[dict | None]:
    """Full-batch training: one step an epoch, its gradient added up over micro-batches. Yields what `train` does."""
    parts = micro_batches(inputs(windows.values), windows.label)

    def loss(part):
        return nn.cross_entropy(model(part[0]), part[1], reduction="sum") / len(windows)

    return train(model, optimizer, lambda epoch: [parts], loss, evaluate, epochs, rng, start, skip, threads)


def micro_batches(x: np.ndarray, label: np.ndarray) -> list[tuple[nn.Tensor, np.ndarray]]:
    """Inputs (N, L, 1) and labels (N,) in `micro_batch_count(N)` equal parts."""
    count = micro_batch_count(len(x))
    parts = zip(np.array_split(x, count), np.array_split(label, count), strict=True)
    return [(nn.Tensor(x), label) for x, label in parts]


def micro_batch_count(N: int) -> int:
    """As many for each thread, whatever the machine, since it is the order of a sum; a few windows are not divided."""
    return THREADS * -(-N // (THREADS * MICRO_BATCH)) if N > MICRO_BATCH / 4 else 1


def fit(config: Covid, data: Data, model: nn.Module, optimizer: nn.Optimizer, rng: np.random.Generator,
        start: int = 0, skip: int = 0, threads: int = THREADS) -> Iterator[dict | None]:
    """Train for one cell and one L; the records are the points of the learning curves. No number depends on `threads`.
    """
    sets = {part: (inputs(windows.values), windows.label) for part, windows in data.sets.items()}
    return steps(model, optimizer, data.train, config.epochs, rng, lambda: curves(model, sets), start, skip, threads)


@nn.no_grad()
def predict(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """The probability (N,) of "more" for inputs x (N, L, 1)."""
    return np.concatenate([nn.softmax(model(nn.Tensor(x[i:i + MICRO_BATCH]))).data[:, 1]
                           for i in range(0, len(x), MICRO_BATCH)])


def curves(model: nn.Module, sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """A point of the learning curves: loss (nats a window) and accuracy of each set (inputs, labels)."""
    point = {}
    for part, (x, label) in sets.items():
        p = predict(model, x)
        given = np.where(label == 1, p, 1 - p)  # the probability given to what happened
        point[f"{part}_loss"] = float(-np.log(np.maximum(given, 1e-12)).mean())
        point[f"{part}_accuracy"] = float((given > 0.5).mean())
    return point


def describe(record: dict) -> str:
    """A point of the learning curves, as the progress bar shows it."""
    return "; ".join(f"{part}: loss {record[f'{part}_loss']:.3f}, accuracy {100 * record[f'{part}_accuracy']:.1f} %"
                     for part in ("train", "test"))


def baselines(data: Data, config: Covid) -> dict:
    """What is simple, on the same windows: {name: {"train": metrics, "test": metrics}}.

        rule                    up when the last step was down: new cases go up and down from day to day
        logistic_regression     on the same L features, by the same training
    """
    rng = np.random.default_rng(config.seed)
    regression = LogisticRegression(config.L, rng)
    for _ in steps(regression, nn.Adam(regression.parameters(), lr=0.05), data.train, 500, rng, threads=1):
        pass
    results = {"rule": {}, "logistic_regression": {}}
    for part, windows in data.sets.items():
        no_probability = {"log_loss": None, "brier": None}  # the rule says yes or no
        results["rule"][part] = classification(windows.label, rule(windows.values)) | no_probability
        probability = predict(regression, inputs(windows.values))
        results["logistic_regression"][part] = classification(windows.label, probability)
    return results


def measure(config: Covid, data: Data, model: nn.Module, history: pd.DataFrame) -> dict:
    """All that `metrics.json` holds: the data, how good the model is on both sets, and what is simple beside it."""
    days = data.counts.cumulative.index
    return {
        "data": {
            "source": data.counts.source, "simulated": data.counts.simulated,
            "first_day": f"{days[0]:%Y-%m-%d}", "last_day": f"{days[-1]:%Y-%m-%d}",
            "countries": len(data.correlations), "countries_kept": len(data.kept),
            "windows": len(data.windows), "share_up": float(data.windows.label.mean()),
        },
        **{part: classification(windows.label, predict(model, inputs(windows.values)))
           for part, windows in data.sets.items()},
        "baselines": baselines(data, config),
        "parameters": sum(p.size for p in model.parameters()),
        "seconds_per_epoch": float(history["seconds"].median()),
    }


def run_config(config: Covid, counts: CaseCounts) -> dict:
    """What decides the numbers of a run: the options, and the data by their name and content."""
    fingerprint = hashlib.sha256(counts.cumulative.to_csv().encode()).hexdigest()
    return {**identity(config), "source": counts.source, "data_sha256": fingerprint}


@threadpool_limits.wrap(limits=1)  # the products are small: a second thread of the BLAS costs more than it does
def run(config: Covid, console: Console) -> dict:
    """The whole study for one cell and one L: writes the run's folder and returns what `metrics.json` holds.

    BadInput for an option or a file that is wrong, with nothing written; Interrupted at Ctrl-C, with the state saved;
    Diverged if the numbers go wrong.
    """
    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    counts = read(config, log)
    data = prepare(config, counts, log)
    out = config.out or default_folder(config, f"covid-{config.cell}-L{config.L}", "cell", "L")
    with RunFolder(out, run_config(config, counts), config.resume, config.overwrite) as folder:
        model, optimizer, rng = begin(config)
        history, step = folder.restore(model, optimizer, rng, log)
        records = fit(config, data, model, optimizer, rng, len(history), step)
        records = show(records, len(history), config.epochs, describe, console)
        history = folder.follow(records, history, step, model, optimizer, rng)
        metrics = measure(config, data, model, history)
        write_results(folder, config, data, lambda values: predict(model, inputs(values)), model, history, metrics,
                      console)
    summary(metrics, console)
    log(f"Accuracy, loss, correlations, world map, probabilities and weights are in {folder.path}/")
    return metrics

"""The sequence study: will a country report more new COVID-19 cases tomorrow than today?

Read from top to bottom: the options, the models, the data, the training, the run. `data/covid.py` says how the counts
are read, `data/windows.py` how they are cut into windows and split, and `nn/sequence.py` is what learns.

Read next: command.py, which trains a network or asks a trained one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from rich.console import Console
from threadpoolctl import threadpool_limits

import nn
from data import BadInput
from data.covid import CaseCounts, load_cases
from data.windows import Windows, correlated_countries, correlation, features, make_windows, split_windows
from tasks.common import training
from tasks.common.options import RunOptions, Seed, between, check_ranges, default_folder, identity
from tasks.common.progress import log_to, show, warn_of_minutes
from tasks.common.run_folder import RunFolder
from tasks.common.training import TrainingState
from tasks.covid.lookback import auc_by_days, sensitivity
from tasks.covid.metrics import classification
from tasks.covid.reliability import by_weekday, intervals, reliability
from tasks.covid.results import summary, write_results

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # matrices per cell
MICRO_BATCH = 8192  # windows at a time, at most: memory does not grow with the data
THREADS = 2  # each computes micro-batches of its own


@dataclass(frozen=True)
class CovidOptions(RunOptions):
    """The options of a run of the sequence study."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrent layer."""
    L: Annotated[int, between(int, 1, 1000)] = 5
    """Days in a window."""
    csv: str = "auto"
    """A file of cumulative cases; "simulated"; or "auto": the data at hand, else a download, else simulated."""
    daily: bool = False
    """The file has the new cases of each day, not cumulative ones."""
    until: str = "2020-04-12"
    """The last day that is used; a file without this date is used whole."""
    threshold: Annotated[float, between(float, -1, 0.9999)] = 0.5
    """Keep the countries whose correlation with some other country exceeds this."""
    split: Literal["time", "country", "random"] = "time"
    """What the test set is: the last days, other countries, or random windows (which leaks: windows overlap)."""
    hidden: Annotated[int, between(int, 1, 4096)] = 12
    """Units of a recurrent layer."""
    layers: Annotated[int, between(int, 1, 32)] = 1
    """Recurrent layers."""
    epochs: Annotated[int, between(int, 1, 10**6)] = 300
    """Passes over the training windows, each one step of Adam."""
    lr: Annotated[float, between(float, 1e-12, 10)] = 0.01
    """Learning rate."""
    seed: Seed = 0
    """Decides the initial weights and the split."""


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
    """A baseline: the linear model of the same window, x (N, L, 1) -> logits (N, 2)."""

    def __init__(self, L: int, rng: np.random.Generator):
        self.linear = nn.Linear(L, 2, rng=rng)

    def forward(self, x):
        return self.linear(x[:, :, 0])


def rule(values: np.ndarray) -> np.ndarray:
    """A baseline of one line: up if the last step was down, new cases (N, L) -> 0 or 1 (N,). If L = 1 there is no last
    step, and the answer is 0.
    """
    return (values[:, -1] < values[:, -2]).astype(float) if values.shape[1] > 1 else np.zeros(len(values))


# -- the data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """What the study learns from."""

    counts: CaseCounts
    correlations: pd.DataFrame  # of daily new cases, country x country
    kept: list[str]  # the countries whose correlation with another country exceeds the threshold
    windows: Windows  # of the countries kept
    train: Windows
    test: Windows

    @property
    def sets(self) -> dict[str, Windows]:
        return {"train": self.train, "test": self.test}


def read(options: CovidOptions, log: Callable[[str], None] = print) -> CaseCounts:
    """Check the options and read the case counts; `log` takes a line for each thing that the user should know."""
    check_ranges(options)
    counts = load_cases(options.csv, options.until, log, options.daily)
    for note in counts.notes:
        log(note)
    return counts


def prepare(options: CovidOptions, counts: CaseCounts, log: Callable[[str], None] = print) -> Data:
    """Choose the countries, cut the windows and split them; `log` takes a line for each thing that was found."""
    correlations = correlation(counts.new_cases)
    kept = correlated_countries(correlations, options.threshold)
    if not kept:
        raise BadInput(f"--threshold: no country among {len(correlations)} has a correlation above "
                       f"{options.threshold} with another")
    if dropped := [country for country in correlations if country not in set(kept)]:
        log(f"Dropped, as no correlation exceeds {options.threshold:g}: {', '.join(dropped)}.")
    windows = make_windows(counts.new_cases[kept], options.L)
    train_set, test_set = split_windows(windows, options.split, options.seed)
    log(f"{counts.source}: {len(correlations)} countries, {len(kept)} kept; {len(windows):,} windows of {options.L} "
        f"days, {100 * windows.label.mean():.1f} % of them followed by a day with more new cases; {len(train_set):,} "
        f"for training, {len(test_set):,} for test.")
    if options.split == "random":
        log("The random split leaks: windows overlap, so training windows hold the days that test labels ask about.")
    return Data(counts, correlations, kept, windows, train_set, test_set)


def inputs(values: np.ndarray) -> np.ndarray:
    """New cases (N, L) as a model takes them: signed log1p, (N, L, 1), float32."""
    return features(values).astype(np.float32)[:, :, None]


# -- training -----------------------------------------------------------------------------------------------------


def build(options: CovidOptions) -> TrainingState:
    """An untrained classifier, its optimiser, and the generator that the weights were drawn from."""
    rng = np.random.default_rng(options.seed)
    model = Classifier(options.cell, options.hidden, options.layers, rng)
    return TrainingState(model, nn.Adam(model.parameters(), options.lr), rng)


def train(state: TrainingState, windows: Windows, epochs: int, evaluate: Callable[[dict], dict] | None = None,
          threads: int = THREADS) -> Iterator[dict | None]:
    """Full-batch training: one step an epoch, its gradient summed over micro-batches.

    Yields what `training.train` yields. No number depends on `threads`.
    """
    batch = micro_batches(inputs(windows.values), windows.label)

    def loss(micro_batch):
        x, label = micro_batch
        logits = state.model(x)
        value = nn.cross_entropy(logits, label, reduction="sum") / len(windows)
        more = logits.data[:, 1] > logits.data[:, 0]
        return value, {"loss": value.item(), "accuracy": float((more == label).sum()) / len(windows)}

    return training.train(state, lambda epoch: [batch], loss, evaluate, epochs, threads)


def micro_batches(x: np.ndarray, label: np.ndarray) -> list[tuple[nn.Tensor, np.ndarray]]:
    """Inputs (N, L, 1) and labels (N,) in `micro_batch_count(N)` micro-batches of equal size."""
    count = micro_batch_count(len(x))
    pairs = zip(np.array_split(x, count), np.array_split(label, count), strict=True)
    return [(nn.Tensor(x), label) for x, label in pairs]


def micro_batch_count(N: int) -> int:
    """The same number for each thread, on every machine, since it decides the order of a sum. A few windows are not
    divided.
    """
    return THREADS * -(-N // (THREADS * MICRO_BATCH)) if N > MICRO_BATCH / 4 else 1


@nn.no_grad()
def predict(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """The probability (N,) of "more" for inputs x (N, L, 1)."""
    return np.concatenate([nn.softmax(model(nn.Tensor(x[i:i + MICRO_BATCH]))).data[:, 1]
                           for i in range(0, len(x), MICRO_BATCH)])


def forecaster(model: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """The model as a function of new cases (N, L) to the probability (N,) of "more"."""
    return lambda values: predict(model, inputs(values))


def evaluation(model: nn.Module, test: Windows) -> Callable[[dict], dict[str, float]]:
    """A function that returns a point of the learning curves: loss (nats per window) and accuracy of both sets.

    Those of the training set come from the step itself, before it changed the weights; those of the test set are
    computed after it.
    """
    x, label = inputs(test.values), test.label

    def evaluate(counts):
        p = predict(model, x)
        given = np.where(label == 1, p, 1 - p)  # the probability given to what happened
        return {"train_loss": counts["loss"], "train_accuracy": counts["accuracy"],
                "test_loss": float(-np.log(np.maximum(given, 1e-12)).mean()),
                "test_accuracy": float(((p > 0.5) == label).mean())}

    return evaluate


def describe(record: dict) -> str:
    """A point of the learning curves, as the progress bar shows it."""
    return "; ".join(f"{name} loss {record[f'{name}_loss']:.3f}, accuracy {100 * record[f'{name}_accuracy']:.1f} %"
                     for name in ("train", "test"))


def baselines(options: CovidOptions, data: Data) -> dict:
    """Baselines on the same windows: {name: {"train": metrics, "test": metrics}}.

        rule                    up if the last step was down, as new cases go up and down from day to day
        logistic_regression     on the same L features, trained in the same way; beside its metrics its "weights", those
                                of the logit, from the last day to the first
    """
    rng = np.random.default_rng(options.seed)
    regression = LogisticRegression(options.L, rng)
    state = TrainingState(regression, nn.Adam(regression.parameters(), lr=0.05), rng)
    for _ in train(state, data.train, 500, threads=1):
        pass
    results = {"rule": {}, "logistic_regression": {}}
    for name, windows in data.sets.items():
        no_probability = {"log_loss": None, "brier": None}  # the rule only answers yes or no
        results["rule"][name] = classification(windows.label, rule(windows.values)) | no_probability
        probability = predict(regression, inputs(windows.values))
        results["logistic_regression"][name] = classification(windows.label, probability)
    weight = regression.linear.weight.data
    results["logistic_regression"]["weights"] = (weight[1] - weight[0])[::-1].astype(float).tolist()
    return results


def measure(options: CovidOptions, data: Data, model: nn.Module, history: pd.DataFrame) -> dict:
    """All that `metrics.json` holds: the data, the scores of the model on both sets, and those of the baselines; and of
    the test set: intervals, reliability, weekdays, and how far back the model looks (see lookback.py, reliability.py).
    """
    days = data.counts.cumulative.index
    probability = {name: predict(model, inputs(windows.values)) for name, windows in data.sets.items()}
    test, p = data.test, probability["test"]
    return {
        "data": {
            "source": data.counts.source, "simulated": data.counts.simulated,
            "first_day": f"{days[0]:%Y-%m-%d}", "last_day": f"{days[-1]:%Y-%m-%d}",
            "countries": len(data.correlations), "countries_kept": len(data.kept),
            "windows": len(data.windows), "share_up": float(data.windows.label.mean()),
        },
        **{name: classification(windows.label, probability[name]) for name, windows in data.sets.items()},
        "baselines": baselines(options, data),
        "intervals": intervals(test.label, p, rule(test.values), test.day),
        "reliability": reliability(test.label, p, test.day),
        "weekday": by_weekday(test.label, p, test.days[test.day].day_of_week.to_numpy()),
        "lookback": {
            "auc": auc_by_days(forecaster(model), test),
            "sensitivity": sensitivity(model, inputs(test.values)),
            "untrained_sensitivity": sensitivity(build(options).model, inputs(test.values)),
        },
        "parameters": sum(p.size for p in model.parameters()),
        "seconds_per_epoch": float(history["seconds"].median()),
    }


def run_config(options: CovidOptions, counts: CaseCounts) -> dict:
    """What decides the numbers of a run: the options, and the data by their name and content."""
    fingerprint = hashlib.sha256(counts.cumulative.to_csv().encode()).hexdigest()
    return {**identity(options), "source": counts.source, "data_sha256": fingerprint}


def expected_seconds(options: CovidOptions) -> float:
    """About how long a run takes, with one thread."""
    return 3e-4 * options.epochs * GATES[options.cell] * (options.L + 5) * options.layers


# -- the run ------------------------------------------------------------------------------------------------------


@threadpool_limits.wrap(limits=1)  # the products are small: a second thread of the BLAS costs more than it gains
def run(options: CovidOptions, console: Console) -> dict:
    """The whole study for one cell and one L: writes the run's folder and returns what `metrics.json` holds.

    Raises BadInput for a wrong option or file, with nothing written; Interrupted at Ctrl-C, with the state saved;
    Diverged if a number is not finite.
    """
    log = log_to(console)
    counts = read(options, log)
    data = prepare(options, counts, log)
    out = options.out or default_folder(options, f"covid-{options.cell}-L{options.L}", "cell", "L")
    with RunFolder(out, run_config(options, counts), options.resume, options.overwrite) as folder:
        state = build(options)
        folder.restore(state, log)
        warn_of_minutes(expected_seconds(options), log)
        records = train(state, data.train, options.epochs, evaluation(state.model, data.test))
        records = show(records, len(state.history), options.epochs, describe, console)
        history = folder.follow(records, state)
        metrics = measure(options, data, state.model, history)
        write_results(folder, options, data, forecaster(state.model), state.model, history, metrics, log)
    summary(metrics, console)
    log(f"Accuracy, loss, correlations, world map, probabilities and weights are in {folder.path}/")
    return metrics

"""What the sequence study leaves behind: figures, a world map, tables, weights, and a summary on the terminal.

Read next: figures.py and world_map.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import safetensors.numpy
from rich import box
from rich.console import Console
from rich.table import Table

from data.countries import iso2
from data.windows import latest_windows
from nn import Module
from tasks import figures
from tasks.figures import png
from tasks.run_folder import RunFolder
from tasks.world_map import world_map

EXCERPT = 12  # countries in the correlation map that has numbers


def write_results(folder: RunFolder, config, data, predict: Callable[[np.ndarray], np.ndarray], model: Module,
                  history: pd.DataFrame, metrics: dict, console: Console) -> None:
    """Write the folder of a run that is finished.

    config, data    the Covid options, and the Data that was prepared from them
    predict         new cases (N, L) -> probability of more the day after (N,)
    history         a row an epoch
    """
    counts = data.counts
    table = tomorrow(counts.new_cases, config.L, predict)
    where = f"{config.cell.upper()}, L = {config.L}, {config.split} split, {counts.source}"
    day = counts.new_cases.index[-1] + pd.Timedelta(days=1)
    svg, lacking = world_map(table, title=f"More new cases on {day:%Y-%m-%d} than the day before? {where}")
    if lacking:
        console.print(f"The world map has no shape for: {', '.join(lacking)}.", highlight=False, markup=False,
                      soft_wrap=True)

    what = f"Correlation of daily new cases, {counts.source}, until {counts.new_cases.index[-1]:%Y-%m-%d}"
    largest = list(counts.cumulative.iloc[-1].nlargest(EXCERPT).index)
    majority = {part: metrics[part]["majority"] for part in ("train", "test")}
    folder.finish({
        "history.csv": history.to_csv(index=False),
        "probabilities.csv": table.to_csv(index=False),
        "model.safetensors": safetensors.numpy.save(model.state_dict()),
        "world_map.svg": svg,
        "accuracy.png": png(figures.accuracy_by_epoch(history, title=f"Accuracy: {where}", majority=majority)),
        "loss.png": png(figures.loss_by_epoch(history, title=f"Loss: {where}")),
        "correlation.png": png(figures.correlation_map(
            data.correlations, title=f"{what}: all {len(data.correlations)} countries")),
        "correlation_excerpt.png": png(figures.correlation_excerpt(
            data.correlations, title=f"{what}: the {len(largest)} with most cases", countries=largest)),
    }, metrics)


def tomorrow(new_cases: pd.DataFrame, L: int, predict: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """For every country the probability that the day after the last has more new cases than the last.

    Columns: country, iso2 (lower case, or missing), probability, last_day (ISO date)
    """
    return pd.DataFrame({
        "country": new_cases.columns,
        "iso2": [iso2(country) for country in new_cases.columns],
        "probability": predict(latest_windows(new_cases, L)).astype(float),
        "last_day": f"{new_cases.index[-1]:%Y-%m-%d}",
    })


def summary(metrics: dict, console: Console) -> None:
    """Print the results: for each set the network, and beside it what is simple and what costs nothing."""
    table = Table(title=f"{metrics['data']['source']}: more new cases tomorrow than today?", box=box.SIMPLE_HEAD,
                  title_justify="left")
    for name in ("", "accuracy", "balanced", "AUC", "log loss", "Brier"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for part in ("train", "test"):
        rows = {
            f"{part:5}  network": metrics[part],
            "logistic regression": metrics["baselines"]["logistic_regression"][part],
            "up after a step down": metrics["baselines"]["rule"][part],
            "majority class": {"accuracy": metrics[part]["majority"], "balanced_accuracy": 0.5, "roc_auc": 0.5},
        }
        for name, row in rows.items():
            keys = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "brier")
            cells = ["" if row.get(key) is None else f"{row[key]:.3f}" for key in keys]
            name = name if name.startswith(part) else f"       {name}"
            table.add_row(name, *cells, end_section="majority" in name)
    console.print(table)
    for part in ("train", "test"):
        (right, false_up), (missed, up) = metrics[part]["confusion"]
        console.print(f"{part}: of {missed + up:,} rises the network called {up:,}; of {right + false_up:,} days "
                      f"without one it called {false_up:,} a rise.", highlight=False, soft_wrap=True)

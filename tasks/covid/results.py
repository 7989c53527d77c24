"""What a run of the sequence study writes: figures, a world map, tables, weights, and a summary on the terminal.

Read next: figures.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.countries import iso2
from data.windows import latest_windows
from nn import Module
from tasks.common.progress import print_table
from tasks.common.run_folder import RunFolder
from tasks.common.style import png
from tasks.common.tensors import pack
from tasks.covid.figures import accuracy_by_epoch, correlation_figures, looks_and_knows, loss_by_epoch
from tasks.covid.world_map import world_map


def write_results(folder: RunFolder, options, data, forecast: Callable[[np.ndarray], np.ndarray], model: Module,
                  history: pd.DataFrame, metrics: dict, log: Callable[[str], None]) -> None:
    """Write the folder of a finished run.

    options, data   the CovidOptions, and the Data that was prepared from them: see train.py
    forecast        new cases (N, L) -> probability (N,) of more the day after
    history         a row an epoch
    """
    counts = data.counts
    where = f"{options.cell.upper()}, L = {options.L}, {options.split} split, {counts.source}"
    table = tomorrow(counts.new_cases, options.L, forecast)
    day = counts.new_cases.index[-1] + pd.Timedelta(days=1)
    svg, lacking = world_map(table, title=f"More new cases on {day:%Y-%m-%d} than the day before? {where}")
    unknown = table.loc[table["iso2"].isna(), "country"].tolist()
    if unknown:
        log(f"Not known as names of countries, and not on the world map: {', '.join(unknown)}.")
    if without_shape := [country for country in lacking if country not in unknown]:
        log(f"The world map has no shape for: {', '.join(without_shape)}.")
    majority = {name: metrics[name]["majority"] for name in ("train", "test")}
    figures = {
        "accuracy": accuracy_by_epoch(history, title=f"Accuracy: {where}", majority=majority,
                                      rule=metrics["baselines"]["rule"]["test"]["accuracy"]),
        "loss": loss_by_epoch(history, title=f"Loss: {where}"),
        "why": looks_and_knows(metrics, title=f"What the network looks at, and what it knows: {where}"),
        **correlation_figures(counts, data.correlations),
    }
    folder.finish({
        **tables(history, table, model),
        "world_map.svg": svg,
        **{f"{name}.png": png(figure) for name, figure in figures.items()},
    }, metrics)


def tables(history: pd.DataFrame, probabilities: pd.DataFrame, model: Module) -> dict[str, str | bytes]:
    """The files that hold numbers, besides config.json and metrics.json: {name: content}."""
    return {
        "history.csv": history.to_csv(index=False),
        "probabilities.csv": as_csv(probabilities),
        "model.safetensors": pack(model.state_dict()),
    }


def as_csv(probabilities: pd.DataFrame) -> str:
    """What `tomorrow` finds, as the content of probabilities.csv."""
    return probabilities.assign(country=probabilities["country"].map(no_formula)).to_csv(index=False)


def no_formula(name: str) -> str:
    """The name of a country for a spreadsheet, which would take one that begins like this for a formula and run it."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def tomorrow(new_cases: pd.DataFrame, L: int, forecast: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """For every country the probability that the day after the last one has more new cases than it.

    Columns: country, iso2 (lower case, or missing), probability, last_day (ISO date)
    """
    return pd.DataFrame({
        "country": new_cases.columns,
        "iso2": [iso2(country) for country in new_cases.columns],
        "probability": forecast(latest_windows(new_cases, L)).astype(float),
        "last_day": f"{new_cases.index[-1]:%Y-%m-%d}",
    })


def summary(metrics: dict, console: Console) -> None:
    """Print the scores of the network on both sets, and those of the baselines beside them."""
    table = Table(title=f"{escape(metrics['data']['source'])}: more new cases tomorrow than today?",
                  box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("", "accuracy", "balanced", "AUC", "log loss", "Brier"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for set_name in ("train", "test"):
        rows = {
            f"{set_name:5}  network": metrics[set_name],
            "logistic regression": metrics["baselines"]["logistic_regression"][set_name],
            "up after a step down": metrics["baselines"]["rule"][set_name],
            "majority class": {"accuracy": metrics[set_name]["majority"], "balanced_accuracy": 0.5, "roc_auc": 0.5},
        }
        for name, row in rows.items():
            keys = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "brier")
            cells = ["" if row.get(key) is None else f"{row[key]:.3f}" for key in keys]
            name = name if name.startswith(set_name) else f"       {name}"
            table.add_row(name, *cells, end_section="majority" in name)
    print_table(table, console)
    for set_name in ("train", "test"):
        (right, false_up), (missed, up) = metrics[set_name]["confusion"]
        console.print(f"{set_name}: of {missed + up:,} rises the network called {up:,}; of {right + false_up:,} days "
                      f"without one it called {false_up:,} a rise.", highlight=False, soft_wrap=True)

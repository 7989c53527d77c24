"""The figures of why the sequence study comes out as it does: how far back a network looks, and how reliable it is.

Read next: figures_vae.py, the same for the images.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data.windows import features
from tasks.common.style import BLACK, GREY, canvas, set_style
from tasks.covid.figures import CELL_COLOUR
from tasks.covid.gates import gates
from tasks.study.figures import HEIGHT, WIDTH
from tasks.study.results import CELLS, Run
from tasks.study.why_covid import WEEKDAYS, by_cell

NAMES = {"i": "input gate", "f": "forget gate", "o": "output gate", "c": "cell state", "r": "reset gate",
         "z": "update gate", "h": "state h"}


def auc_by_days(runs: list[Run]) -> Figure:
    """Test AUC with the last k days alone: the mean over the seeds in a band from least to most. Runs of one L."""
    figure, axes = canvas(f"How many days a network needs, L = {runs[0].config['L']}, {_source(runs)}", (WIDTH, HEIGHT))
    for cell in CELLS:
        auc = np.array([run.metrics["lookback"]["auc"] for run in runs if run.config["cell"] == cell])
        if len(auc):
            k = np.arange(1, auc.shape[1] + 1)
            axes.plot(k, auc.mean(axis=0), color=CELL_COLOUR[cell], linewidth=1.6, label=cell.upper())
            axes.fill_between(k, auc.min(axis=0), auc.max(axis=0), color=CELL_COLOUR[cell], alpha=0.2, linewidth=0)
    rule = np.mean([run.metrics["baselines"]["rule"]["test"]["roc_auc"] for run in runs])
    axes.axhline(rule, color=BLACK, linestyle=(0, (5, 2)), linewidth=1.2, label="one-line rule")
    axes.set_xlabel("days that are kept, the last ones")
    axes.set_ylabel("test ROC AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _with_legend(figure)


def sensitivity_by_lag(runs: list[Run]) -> Figure:
    """The derivative of the logit by each day, before and after training, and the weights of logistic regression."""
    figure, axes = canvas(f"Derivative of the logit by day, L = {runs[0].config['L']}, {_source(runs)}",
                          (WIDTH, HEIGHT + 0.4))
    for name, style in (("sensitivity", "-"), ("untrained_sensitivity", (0, (1, 1.5)))):
        for cell, values in by_cell(runs, "lookback", name).items():
            values = np.where(values > 1e-9, values, np.nan)
            axes.plot(range(len(values)), values, color=CELL_COLOUR[cell], linestyle=style, linewidth=1.6,
                      label=cell.upper() if style == "-" else None)
    weights = np.abs([run.metrics["baselines"]["logistic_regression"]["weights"] for run in runs]).mean(axis=0)
    axes.plot(range(len(weights)), weights, color=GREY, linewidth=1.2, label="logistic regression, |weight|")
    axes.plot([], [], color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.6, label="dotted: before training")
    axes.set_yscale("log")
    axes.set_xlabel("days before the last one")
    axes.set_ylabel("mean |d logit / d x[t]|")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _with_legend(figure)


def reliability(runs: list[Run]) -> Figure:
    """What happened against what was forecast, in groups of as many test windows each; a run of each cell, one L."""
    figure, axes = canvas(f"Forecast and what happened, L = {runs[0].config['L']}, {_source(runs)}", (WIDTH, WIDTH))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, label="as forecast")
    for cell in CELLS:
        first = next((run for run in runs if run.config["cell"] == cell), None)
        if first:
            bins = pd.DataFrame(first.metrics["reliability"]["bins"])
            axes.plot(bins["forecast"], bins["share"], color=CELL_COLOUR[cell], marker="o", markersize=4, linewidth=1.4,
                      label=cell.upper())
            axes.vlines(bins["forecast"], bins["low"], bins["high"], color=CELL_COLOUR[cell], linewidth=1, alpha=0.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("mean forecast of the group")
    axes.set_ylabel("share that had more new cases")
    return _with_legend(figure)


def by_weekday(runs: list[Run]) -> Figure:
    """Share of rises by weekday among the test windows, and the mean forecast of each cell."""
    figure, axes = canvas(f"By weekday of the day in question, {_source(runs)}", (WIDTH, HEIGHT))
    days = range(7)
    axes.bar(days, [value or 0 for value in runs[0].metrics["weekday"]["share"]], color="#DDDDDD", label="what came")
    for cell in CELLS:
        chosen = [run.metrics["weekday"]["forecast"] for run in runs if run.config["cell"] == cell]
        if chosen:
            axes.plot(days, np.mean(np.array(chosen, float), axis=0), "o-", color=CELL_COLOUR[cell], markersize=4,
                      linewidth=1.2, label=cell.upper())
    axes.set_xticks(days, [day[:2] for day in WEEKDAYS])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of rises, mean forecast")
    return _with_legend(figure)


def gates_by_day(run: Run, new_cases: pd.DataFrame, countries: list[str]) -> Figure:
    """The gates and the state of a run's cell after each day, under the curve of new cases, for some countries. A row
    of the picture is a unit. new_cases (T, C): daily new cases.
    """
    cell, L = run.config["cell"], run.config["L"]
    figure, first = canvas(f"{cell.upper()}, L = {L}: gates and state by day, {_source([run])}", (WIDTH, 7.4))
    first.remove()
    outer = figure.subfigures(-(-len(countries) // 2), 2, squeeze=False).ravel()
    for part, country in zip(outer, countries, strict=False):
        values = new_cases[country].to_numpy(float)
        found = gates(cell, run.weights, features(np.lib.stride_tricks.sliding_window_view(values, L))[:, :, None])
        shown = [name for name in found if name in NAMES]
        curve, picture = part.subplots(2, 1, height_ratios=[1, 1.2 * len(shown)], sharex=True)
        days = np.arange(L - 1, len(values))
        curve.plot(values, color=BLACK, linewidth=1)
        curve.set_title(country, fontsize=9, loc="left", parse_math=False)
        set_style(curve)
        curve.tick_params(labelsize=7)
        curve.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        H = found[shown[0]].shape[1]
        rows = np.concatenate([np.tanh(found[name]) if name == "c" else found[name] for name in shown], axis=1).T
        picture.imshow(rows, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest",
                       extent=(days[0] - 0.5, days[-1] + 0.5, len(rows), 0))
        picture.set_yticks([H * (i + 0.5) for i in range(len(shown))], [NAMES[name] for name in shown], fontsize=7)
        for i in range(1, len(shown)):
            picture.axhline(H * i, color="white", linewidth=1.5)
        set_style(picture)
        picture.grid(False)
        picture.set_xlabel(f"days since {new_cases.index[0]:%Y-%m-%d}", fontsize=7)
        picture.tick_params(axis="x", labelsize=7)
    return figure


def _source(runs: list[Run]) -> str:
    return runs[0].metrics["data"]["source"]


def _with_legend(figure: Figure) -> Figure:
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure

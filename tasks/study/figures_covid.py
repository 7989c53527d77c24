"""The figures of the sequence study: scores and curves over L, how far back a network looks, how reliable it is.

Read next: figures_vae.py, those of the image study.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from data.windows import features
from tasks.common.style import BLACK, DASHES, GREY, SET_COLOUR, canvas, marker, set_epochs, set_style
from tasks.covid.figures import CELL_COLOUR
from tasks.covid.gates import gates
from tasks.study.figures import HEIGHT, POINTS, WIDTH, finish, scale, source, thin
from tasks.study.results import CELLS, Run, scores
from tasks.study.why_covid import WEEKDAYS, by_cell

CURVE_LABEL = {"accuracy": "accuracy (% of windows)", "loss": "cross-entropy (nats per window)"}
SCORE_LABEL = {
    "accuracy": "test accuracy (% of windows)",
    "balanced_accuracy": "test balanced accuracy (%)",
    "roc_auc": "test ROC AUC",
    "log_loss": "test log loss (nats per window)",
}
# The baselines, by the columns of `scores`. The balanced accuracy of a rule that only says yes or no equals its AUC.
BASELINES = {
    "accuracy": {"one-line rule": "test_rule", "logistic regression": "test_regression",
                 "majority class": "test_majority"},
    "balanced_accuracy": {"one-line rule": "test_rule_auc"},
    "roc_auc": {"one-line rule": "test_rule_auc", "logistic regression": "test_regression_auc"},
    "log_loss": {},
}
CONSTANT = {"balanced_accuracy": ("always the same answer", 0.5), "roc_auc": ("always the same answer", 0.5),
            "log_loss": ("always 50 %", math.log(2))}
BASELINE_DASHES = {"one-line rule": (0, (5, 2)), "logistic regression": (0, (1, 1.5))}
NAMES = {"i": "input gate", "f": "forget gate", "o": "output gate", "c": "cell state", "r": "reset gate",
         "z": "update gate", "h": "state h"}


# -- scores and curves --------------------------------------------------------------------------------------------


def curves(runs: list[Run], cell: str, L: int, quantity: Literal["accuracy", "loss"], split: str) -> Figure:
    """Training and test by epoch for one cell and one L: the mean over the seeds, in a band from minimum to maximum.

    Needs a run of that cell, L and split. The first tenth of the epochs may be outside the axis, as it would flatten
    the rest.
    """
    chosen = [run for run in _of(runs, cell, split) if run.config["L"] == L]
    figure, axes = canvas(f"{cell.upper()}, L = {L}, {_where(chosen, split)}", (WIDTH, HEIGHT))
    scale(axes, _curves(axes, chosen, quantity, POINTS))
    axes.set_xlabel("epoch")
    axes.set_ylabel(CURVE_LABEL[quantity])
    finish(figure, axes, quantity)
    return figure


def curves_by_length(runs: list[Run], cell: str, quantity: Literal["accuracy", "loss"], split: str) -> Figure:
    """The same for every L of a cell: a panel each, on the same axes. Needs a run of that cell and split."""
    chosen = _of(runs, cell, split)
    lengths = sorted({run.config["L"] for run in chosen})
    rows = -(-len(lengths) // 2)
    figure, first = canvas(f"{cell.upper()}, {_where(chosen, split)}", (WIDTH, 1.1 + 1.4 * rows))
    first.remove()
    panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
    drawn = []
    for axes, L in zip(panels, lengths, strict=False):
        drawn.append(_curves(axes, [run for run in chosen if run.config["L"] == L], quantity, POINTS // 2))
        axes.set_title(f"L = {L}", loc="left", fontsize=10)
        set_style(axes)
    scale(panels[0], pd.concat(drawn, axis=1))
    for axes in panels[len(lengths):]:
        axes.remove()
    for axes in panels[:len(lengths)][:-2]:
        axes.set_xlabel("")
    for axes in panels[:len(lengths)][-2:]:
        axes.tick_params(labelbottom=True)
    figure.supylabel(CURVE_LABEL[quantity], fontsize=10)
    finish(figure, panels[0], quantity)
    return figure


def scores_over_length(runs: list[Run], quantity: Literal["accuracy", "balanced_accuracy", "roc_auc", "log_loss"],
                       split: str) -> Figure:
    """Test scores of every cell and L: the mean over the seeds with bars from minimum to maximum, and the baselines.
    The bars of one L are a little apart so that none hides another. Needs a run of that split.
    """
    chosen = [run for run in runs if run.config["split"] == split]
    table = scores(chosen)
    figure, axes = canvas(f"By window length, {_where(chosen, split)}", (WIDTH, HEIGHT + 0.3))
    present = [cell for cell in CELLS if (table["cell"] == cell).any()]
    for cell, shift in zip(present, (0.97, 1, 1.03), strict=False):
        values = table[table["cell"] == cell].groupby("L")[f"test_{quantity}"].agg(["mean", "min", "max"])
        x, colour = values.index * shift, CELL_COLOUR[cell]
        axes.plot(x, values["mean"], color=colour, marker="o", markersize=4, linewidth=1.4, label=cell.upper())
        axes.vlines(x, values["min"], values["max"], color=colour, linewidth=1.4)
    for name, column in BASELINES[quantity].items():
        line = table.groupby("L")[column].mean()
        axes.plot(line.index, line, color=BLACK if name in BASELINE_DASHES else GREY, linewidth=1.2, label=name,
                  linestyle=BASELINE_DASHES.get(name, "-"), marker="_" if len(line) == 1 else None)
    if quantity in CONSTANT:
        name, value = CONSTANT[quantity]
        axes.axhline(value, color=GREY, linewidth=1.2, label=name)
    axes.set_xscale("log")
    lengths = sorted(table["L"].unique())
    axes.set_xlim(lengths[0] / 1.08, lengths[-1] * 1.08)
    axes.set_xticks(lengths, [str(L) for L in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("L, days in a window")
    axes.set_ylabel(SCORE_LABEL[quantity])
    finish(figure, axes, quantity, ncols=3)
    return figure


# -- why ----------------------------------------------------------------------------------------------------------


def auc_by_days(runs: list[Run]) -> Figure:
    """Test AUC with the last k days alone: the mean over the seeds in a band from least to most. Runs of one L."""
    figure, axes = canvas(f"How many days a network needs, L = {runs[0].config['L']}, {source(runs)}", (WIDTH, HEIGHT))
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
    finish(figure, axes, ncols=3)
    return figure


def sensitivity_by_lag(runs: list[Run]) -> Figure:
    """The derivative of the logit by each day, before and after training, and the weights of logistic regression."""
    figure, axes = canvas(f"Derivative of the logit by day, L = {runs[0].config['L']}, {source(runs)}",
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
    finish(figure, axes, ncols=2)
    return figure


def reliability(runs: list[Run]) -> Figure:
    """What happened against what was forecast, in groups of as many test windows each; a run of each cell, one L."""
    figure, axes = canvas(f"Forecast and what happened, L = {runs[0].config['L']}, {source(runs)}",
                          (WIDTH, HEIGHT + 0.6))
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
    axes.set_xlabel("mean forecast of the group")
    axes.set_ylabel("share that had more new cases")
    finish(figure, axes, ncols=3)
    return figure


def by_weekday(runs: list[Run]) -> Figure:
    """Share of rises by weekday among the test windows, and the mean forecast of each cell."""
    figure, axes = canvas(f"By weekday of the day in question, {source(runs)}", (WIDTH, HEIGHT))
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
    finish(figure, axes, ncols=3)
    return figure


def gates_by_day(run: Run, new_cases: pd.DataFrame, countries: list[str]) -> Figure:
    """The gates and the state of a run's cell after each day, under the curve of new cases, for some countries. A row
    of the picture is a unit. new_cases (T, C): daily new cases.
    """
    cell, L = run.config["cell"], run.config["L"]
    figure, first = canvas(f"{cell.upper()}, L = {L}: gates and state by day, {source([run])}", (WIDTH, 7.4))
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


# -- what they share ----------------------------------------------------------------------------------------------


def _of(runs: list[Run], cell: str, split: str) -> list[Run]:
    return [run for run in runs if run.config["cell"] == cell and run.config["split"] == split]


def _where(runs: list[Run], split: str) -> str:
    return f"{split} split, {source(runs)}"


def _curves(axes: Axes, runs: list[Run], quantity: str, points: int) -> pd.DataFrame:
    """Draw what training and test are by epoch, and return the extremes of what was drawn, a row a point."""
    drawn = []
    for set_name, colour in SET_COLOUR.items():
        values = pd.concat([run.history.set_index("epoch")[f"{set_name}_{quantity}"] for run in runs], axis=1)
        values = thin(values, points)
        least, most = values.min(axis=1), values.max(axis=1)
        axes.plot(values.mean(axis=1), color=colour, linewidth=1.4, label=set_name,
                  marker=marker(len(values)))
        if len(runs) > 1:
            axes.fill_between(values.index, least, most, color=colour, alpha=0.2, linewidth=0)
        drawn += [least, most]
        if quantity == "accuracy":
            majority = np.mean([run.metrics[set_name]["majority"] for run in runs])
            axes.axhline(majority, color=colour, linewidth=1.2, linestyle=DASHES[set_name],
                         label=f"{set_name}: majority class")
            drawn.append(least * 0 + majority)
    if quantity == "accuracy":
        rule = np.mean([run.metrics["baselines"]["rule"]["test"]["accuracy"] for run in runs])
        axes.axhline(rule, color=SET_COLOUR["test"], linewidth=1.2, linestyle=":", label="test: one-line rule")
        drawn.append(least * 0 + rule)
    set_epochs(axes)
    return pd.concat(drawn, axis=1)

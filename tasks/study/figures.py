"""The matplotlib figures of the study's page: many runs in one picture, as SVG inside the HTML.

A figure is a function from results to a `Figure`, as in covid/figures.py. All are five inches wide, about the width of
a phone, so that their text can be read there.

Read next: figures_covid.py, the figures that say why.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from typing import Literal
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tasks.common.fonts import set_fonts
from tasks.common.style import (
    BLACK,
    BLUE,
    DASHES,
    GREEN,
    GREY,
    PURPLE,
    SET_COLOUR,
    SKY,
    VERMILION,
    canvas,
    marker,
    set_epochs,
    set_style,
)
from tasks.covid.figures import CELL_COLOUR
from tasks.study.results import CELLS, Run, scores, weight_name

WIDTH, HEIGHT = 5.0, 3.5  # inches
POINTS = 75  # of a curve at most: one every four pixels of a phone

WEIGHT_COLOUR = {
    "weight 0": VERMILION,
    "weight 1": BLUE,
    "weight 100": BLACK,
    "learned": GREEN,
    "0 to 1": SKY,
    "weight 1, each channel by itself": PURPLE,
}
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


# -- the sequences ------------------------------------------------------------------------------------------------


def curves(runs: list[Run], cell: str, L: int, quantity: Literal["accuracy", "loss"], split: str) -> Figure:
    """Training and test by epoch for one cell and one L: the mean over the seeds, in a band from minimum to maximum.

    Needs a run of that cell, L and split. The first tenth of the epochs may be outside the axis, as it would flatten
    the rest.
    """
    chosen = [run for run in _of(runs, cell, split) if run.config["L"] == L]
    figure, axes = canvas(f"{cell.upper()}, L = {L}, {_where(chosen, split)}", (WIDTH, HEIGHT))
    _scale(axes, _curves(axes, chosen, quantity, POINTS))
    axes.set_xlabel("epoch")
    axes.set_ylabel(CURVE_LABEL[quantity])
    _finish(figure, axes, quantity)
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
    _scale(panels[0], pd.concat(drawn, axis=1))
    for axes in panels[len(lengths):]:
        axes.remove()
    for axes in panels[:len(lengths)][:-2]:
        axes.set_xlabel("")
    for axes in panels[:len(lengths)][-2:]:
        axes.tick_params(labelbottom=True)
    figure.supylabel(CURVE_LABEL[quantity], fontsize=10)
    _finish(figure, panels[0], quantity)
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
    _finish(figure, axes, quantity, ncols=3)
    return figure


# -- the images ---------------------------------------------------------------------------------------------------


def elbo_by_weight(runs: list[Run]) -> Figure:
    """The negative ELBO by epoch for each weight of the KL term; in it the weight is 1, whatever was optimised.

    The first tenth of the epochs may be outside the axis, as it would flatten the rest. Needs a run.
    """
    figure, axes = canvas(f"Learning curves, {_source(runs)}", (WIDTH, HEIGHT + 0.7))
    drawn = []
    for run in runs:
        name = weight_name(run.config)
        history = _thin(run.history.set_index("epoch"), POINTS)
        for set_name, style in (("test", "-"), ("train", (0, (2, 1.5)))):
            axes.plot(history[f"{set_name}_negative_elbo"], color=WEIGHT_COLOUR[name], linewidth=1.4, linestyle=style,
                      label=name if set_name == "test" else None, marker=marker(len(history)))
            drawn.append(history[f"{set_name}_negative_elbo"])
    axes.axhline(_constant_image(runs), color=GREY, linewidth=1.2, label="best constant image")
    axes.plot([], [], color=GREY, linewidth=1.4, linestyle=(0, (2, 1.5)), label="dashed: training images")
    _scale(axes, pd.concat([curve.reset_index(drop=True) for curve in drawn], axis=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative ELBO (nats per image)")
    _finish(figure, axes)
    return figure


def terms_by_weight(runs: list[Run]) -> Figure:
    """The two terms of the negative ELBO on the test images, a point for each weight. Needs a run.

    Along the line their sum is that of the best weight; above it the sum is larger by the vertical distance.
    """
    figure, axes = canvas(f"The two terms of the negative ELBO, {_source(runs)}", (WIDTH, HEIGHT + 0.7))
    for run in runs:
        name, test = weight_name(run.config), run.metrics["test"]
        axes.plot(test["kl"], test["reconstruction"], "o", markersize=8, color=WEIGHT_COLOUR[name], alpha=0.85,
                  label=name)
    axes.axhline(_constant_image(runs), color=GREY, linewidth=1.2, label="best constant image")
    axes.margins(0.1)
    best = min(run.metrics["test"]["negative_elbo"] for run in runs)
    axes.axline((0, best), slope=-1, color=GREY, linewidth=1.2, linestyle=(0, (5, 2)), label="same sum as the best")
    axes.set_xlabel("KL (nats per image)")
    axes.set_ylabel("reconstruction (nats per image)")
    _finish(figure, axes)
    return figure


# -- SVG ----------------------------------------------------------------------------------------------------------


def svg(figure: Figure) -> str:
    """A figure as an <svg> element for an HTML page: text as text, a size that CSS decides, the title as its label.

    What matplotlib writes is a file of its own: it has a style sheet for "*", which would hold for the page, and ids
    that are the same in every figure. Not for several threads at once: the settings are matplotlib's own for a moment.
    """
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "study", "font.sans-serif": ["DejaVu Sans"]}):
        set_fonts(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    source = file.getvalue()
    root = ElementTree.fromstring(source)
    prefix = f"f{hashlib.sha256(source).hexdigest()[:10]}-"
    used = set(re.findall(rb"#(\w+)", source))
    root[:] = [child for child in root if child.find("{*}style") is None]
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.items()}
        if attributes.get("id", "").encode() not in used:
            attributes.pop("id", None)
        for name, value in attributes.items():
            if name == "id":
                attributes[name] = prefix + value
            elif name in ("href", "clip-path"):
                attributes[name] = value.replace("#", f"#{prefix}")
            elif name in ("d", "x", "y", "transform", "width", "height"):
                attributes[name] = re.sub(r"\d+\.\d+", lambda number: f"{round(float(number[0]), 1):g}", value)
        element.attrib = attributes
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg", "viewBox": root.attrib["viewBox"],
        "role": "img", "aria-label": " ".join(figure.get_suptitle().split()),
        "style": "stroke-linejoin: round; stroke-linecap: butt",
    }
    return ElementTree.tostring(root, encoding="unicode")


# -- what they share ----------------------------------------------------------------------------------------------


def _of(runs: list[Run], cell: str, split: str) -> list[Run]:
    return [run for run in runs if run.config["cell"] == cell and run.config["split"] == split]


def _where(runs: list[Run], split: str) -> str:
    return f"{split} split, {_source(runs)}"


def _source(runs: list[Run]) -> str:
    """The name of the data, which says "simulated" where they are."""
    return runs[0].metrics["data"]["source"]


def _constant_image(runs: list[Run]) -> float:
    """The reconstruction term of the best constant image: lowest where a model knows its channel."""
    return min(run.metrics["test"]["constant_image"] for run in runs)


def _curves(axes: Axes, runs: list[Run], quantity: str, points: int) -> pd.DataFrame:
    """Draw what training and test are by epoch, and return the extremes of what was drawn, a row a point."""
    drawn = []
    for set_name, colour in SET_COLOUR.items():
        values = pd.concat([run.history.set_index("epoch")[f"{set_name}_{quantity}"] for run in runs], axis=1)
        values = _thin(values, points)
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


def _thin(values: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most `points` rows, evenly spaced, the first and the last among them."""
    return values.iloc[np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int)]


def _scale(axes: Axes, drawn: pd.DataFrame) -> None:
    """Set the vertical axis to what was drawn, a row per point, but without the first tenth, which is far off."""
    later = drawn.iloc[len(drawn) // 10:]
    least, most = later.min(axis=None), later.max(axis=None)
    margin = 0.06 * (most - least) or 0.01
    axes.set_ylim(least - margin, most + margin)
    first = drawn.iloc[:len(drawn) // 10]
    if len(first) and (first.min(axis=None) < least - margin or first.max(axis=None) > most + margin):
        axes.text(0.01, 0.99, "the first epochs are outside", transform=axes.transAxes, va="top", fontsize=7,
                  color=GREY)


def _finish(figure: Figure, axes: Axes, quantity: str = "", ncols: int = 2) -> None:
    """Per cent where shares are drawn, and a legend below."""
    if "accuracy" in quantity:
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=ncols, frameon=False, fontsize=9)

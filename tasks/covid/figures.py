"""The matplotlib figures of the sequence study.

A figure is a function from results (arrays, tables) to a `Figure`. It reads no file and trains nothing, and the caller
saves it. So a single run and the page of the whole study draw the same figures.

Read next: world_map.py, the one picture that matplotlib does not draw.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from data.covid import CaseCounts
from tasks.common.style import (
    BLACK,
    BLUE,
    DASHES,
    GREEN,
    GREY,
    ORANGE,
    SET_COLOUR,
    canvas,
    fixed,
    marker,
    set_epochs,
    set_style,
)

CELL_COLOUR = {"rnn": ORANGE, "lstm": BLUE, "gru": GREEN}
EXCERPT = 12  # countries in the correlation map that has numbers


def accuracy_by_epoch(history: pd.DataFrame, *, title: str, majority: dict[str, float], rule: float) -> Figure:
    """Accuracy on the training and the test set, beside the score of always naming the larger class, and, on the test
    set, that of the one-line rule.

    history     a row an epoch: epoch (count), train_accuracy and test_accuracy (shares, 0 to 1)
    majority    {"train": share, "test": share}: the share of the larger class in each set, 0 to 1
    rule        accuracy of the one-line rule on the test set, 0 to 1
    """
    figure, axes = canvas(title)
    _curves(axes, history, "accuracy")
    for name, colour in SET_COLOUR.items():
        axes.axhline(majority[name], color=colour, linewidth=1.2, linestyle=DASHES[name],
                     label=f"{name}: majority class, {100 * majority[name]:.1f} %")
    axes.axhline(rule, color=SET_COLOUR["test"], linewidth=1.2, linestyle=":",
                 label=f"test: up after a step down, {100 * rule:.1f} %")
    axes.set_ylabel("accuracy (% of windows)")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def loss_by_epoch(history: pd.DataFrame, *, title: str) -> Figure:
    """Mean cross-entropy on the training and the test set.

    history     a row an epoch: epoch (count), train_loss and test_loss (nats per window)
    """
    figure, axes = canvas(title)
    _curves(axes, history, "loss")
    axes.set_ylabel("cross-entropy (nats per window)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def looks_and_knows(metrics: dict, *, title: str) -> Figure:
    """How far back the network looks, and whether its probabilities are right, both on the test set.

    metrics     of a run: "lookback" and "reliability", and the one-line rule among the "baselines"

    Above: ROC AUC with the last k days alone (see lookback.py). Below: what happened against what was forecast, in
    groups of as many windows each, with intervals by resampling days (see reliability.py); right probabilities are on
    the grey line.
    """
    figure, first = canvas(title, size=(7.2, 7.6))
    first.remove()
    above, below = figure.subplots(2, 1, height_ratios=[3, 4])
    for axes in (above, below):
        set_style(axes)
    auc = [np.nan if value is None else value for value in metrics["lookback"]["auc"]]
    above.plot(range(1, len(auc) + 1), auc, color=BLUE, marker=marker(len(auc)), linewidth=1.6, label="network")
    above.axhline(metrics["baselines"]["rule"]["test"]["roc_auc"] or 0.5, color=BLACK, linewidth=1.2,
                  linestyle=(0, (5, 2)), label="one-line rule, of two days")
    above.set_xlabel("days that are kept, the last ones")
    above.set_ylabel("test ROC AUC")
    above.set_xticks(np.unique(np.linspace(1, len(auc), 8).round()))
    above.legend(frameon=False, fontsize=9)
    bins = pd.DataFrame(metrics["reliability"]["bins"])
    below.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, label="as forecast")
    below.plot(bins["forecast"], bins["share"], color=BLUE, marker="o", markersize=4, linewidth=1.4, label="network")
    below.vlines(bins["forecast"], bins["low"], bins["high"], color=BLUE, linewidth=1, alpha=0.6)
    below.axhline(metrics["reliability"]["share"], color=BLACK, linewidth=1.2, linestyle=(0, (1, 1.5)),
                  label=f"share of all test windows, {100 * metrics['reliability']['share']:.0f} %")
    below.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean forecast of the group", ylabel="share that had more new cases")
    below.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def correlation_figures(counts: CaseCounts, correlations: pd.DataFrame) -> dict[str, Figure]:
    """The correlations of daily new cases (country x country), of all countries and of those with most cases."""
    what = f"Correlation of daily new cases, {counts.source}, until {counts.new_cases.index[-1]:%Y-%m-%d}"
    largest = list(counts.cumulative.iloc[-1].nlargest(EXCERPT).index)
    return {
        "correlation": correlation_map(correlations, title=f"{what}: all {len(correlations)} countries"),
        "correlation_excerpt": correlation_excerpt(
            correlations, title=f"{what}: the {len(largest)} with most cases", countries=largest),
    }


def correlation_map(correlation: pd.DataFrame, *, title: str) -> Figure:
    """Heat map of the correlations of all countries, too many to name.

    correlation     countries x countries, symmetric, -1 to 1, no NaN

    The countries are in the order of the first principal component, that is, of their entries in the eigenvector of
    the largest eigenvalue: first those that share the common movement, last those that do not or that go against it.
    """
    values = correlation.to_numpy()
    first = np.linalg.eigh(values).eigenvectors[:, -1]
    first = first if first.sum() >= 0 else -first  # an eigenvector has no sign of its own
    order = np.argsort(-first, kind="stable")

    figure, axes = canvas(title, size=(7.2, 6.6))
    n = len(values)
    _heat_map(figure, axes, values[np.ix_(order, order)], extent=(0.5, n + 0.5, n + 0.5, 0.5))
    axes.set_xlabel("country (rank along the first principal component)")
    axes.set_ylabel("country (same order)")
    return figure


def correlation_excerpt(correlation: pd.DataFrame, *, title: str, countries: list[str]) -> Figure:
    """Heat map of a dozen countries or so, in the order given, with the numbers written in the cells.

    correlation     countries x countries, symmetric, -1 to 1, no NaN
    Raises KeyError when one of `countries` is not in `correlation`.
    """
    values = correlation.loc[countries, countries].to_numpy()
    figure, axes = canvas(title, size=(8.4, 7.4))
    image = _heat_map(figure, axes, values)
    # Black or white, whichever has more contrast: both have the same where sqrt(1.05 * 0.05) - 0.05 = 0.179 is the
    # relative luminance (W3C, WCAG 2.1).
    luminance = image.to_rgba(values)[:, :, :3] ** 2.2 @ (0.2126, 0.7152, 0.0722)
    for (row, column), r in np.ndenumerate(values):
        axes.text(column, row, fixed(r, 2), ha="center", va="center", fontsize=8.5, in_layout=False,
                  color="black" if luminance[row, column] > 0.179 else "white")
    axes.set_xticks(range(len(countries)), countries, parse_math=False,
                    rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(countries)), countries, parse_math=False)
    return figure


def _curves(axes: Axes, history: pd.DataFrame, quantity: str) -> None:
    for name, colour in SET_COLOUR.items():
        axes.plot(history["epoch"], history[f"{name}_{quantity}"], color=colour, linewidth=1.6, label=name,
                  marker=marker(len(history)))
    set_epochs(axes)


def _heat_map(figure: Figure, axes: Axes, values: np.ndarray, **options: object) -> AxesImage:
    """Correlations as colours: blue -1, white 0, red 1, the same scale in every figure."""
    axes.grid(False)
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", **options)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="Pearson correlation of daily new cases")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9)
    return image

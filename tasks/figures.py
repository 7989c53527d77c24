"""The matplotlib figures of the sequence study, all in one style.

A figure is a function from results (arrays, tables) to a `Figure`: it reads no file, trains nothing, and the
caller saves it. Everything is set on the figure itself and neither pyplot nor rcParams is touched, so that
figures can be made in any thread and without a display.
Read next: tasks/world_map.py, the one picture that is not made by matplotlib.
"""

from __future__ import annotations

import io
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

# The palette of Okabe & Ito (2008), which the colour-blind can tell apart.
BLACK, ORANGE, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00"

CELL_COLOUR = {"rnn": ORANGE, "lstm": BLUE, "gru": GREEN}
SET_COLOUR = {"train": BLACK, "test": VERMILION}


def accuracy_by_epoch(history: pd.DataFrame, *, title: str, majority: dict[str, float]) -> Figure:
    """Accuracy on the train and the test set, beside what naming the larger class every time would score.

    history     a row an epoch: epoch (count), train_accuracy and test_accuracy (shares, 0 to 1)
    majority    {"train": share, "test": share}: the share of the larger class in each set, 0 to 1
    """
    figure, axes = canvas(title)
    _curves(axes, history, "accuracy")
    for turn, (part, colour) in enumerate(SET_COLOUR.items()):
        # The dashes of one line fall into the gaps of the other, so that two equal shares show as two lines.
        axes.axhline(majority[part], color=colour, linewidth=1.2, linestyle=(4 * turn, (4, 4)),
                     label=f"{part}: majority class, {100 * majority[part]:.1f} %")
    axes.set_ylabel("accuracy (% of windows)")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def loss_by_epoch(history: pd.DataFrame, *, title: str) -> Figure:
    """Mean cross-entropy on the train and the test set.

    history     a row an epoch: epoch (count), train_loss and test_loss (nats a window)
    """
    figure, axes = canvas(title)
    _curves(axes, history, "loss")
    axes.set_ylabel("cross-entropy (nats a window)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def correlation_map(correlation: pd.DataFrame, *, title: str) -> Figure:
    """Heat map of the correlations of all countries, too many to name.

    correlation     countries x countries, symmetric, -1 to 1, no NaN

    The countries stand in the order of the first principal component, that is, of their entries in the
    eigenvector of the largest eigenvalue: those that share the common movement first, those that go their
    own way or against it last.
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
    for (row, column), r in np.ndenumerate(values):
        number = f"{round(r, 2) + 0.0:.2f}".replace("-", "−")  # + 0.0: "0.00" for what rounds to -0.0
        # Black or white, whichever stands out more: both do equally where sqrt(1.05 * 0.05) - 0.05 = 0.179
        # is the relative luminance (W3C, WCAG 2.1).
        luminance = np.power(image.to_rgba(r)[:3], 2.2) @ (0.2126, 0.7152, 0.0722)
        axes.text(column, row, number, ha="center", va="center", fontsize=8.5,
                  color="black" if luminance > 0.179 else "white")
    axes.set_xticks(range(len(countries)), countries, parse_math=False,
                    rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(countries)), countries, parse_math=False)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def canvas(title: str, size: tuple[float, float] = (7.2, 4.6)) -> tuple[Figure, Axes]:
    """The house style: title at the left, light grid behind the data, no box. `size` in inches."""
    figure = Figure(figsize=size, dpi=150, layout="compressed", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    # parse_math=False wherever a name may stand: a "$" in it is a character, not the start of a formula.
    # And wrapped here: matplotlib's own wrapping looks for formulas all the same.
    title = textwrap.fill(title, round(10.4 * size[0]))
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    axes = figure.add_subplot()
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    return figure, axes


def _curves(axes: Axes, history: pd.DataFrame, quantity: str) -> None:
    for part, colour in SET_COLOUR.items():
        axes.plot(history["epoch"], history[f"{part}_{quantity}"], color=colour, linewidth=1.6, label=part,
                  marker="o" if len(history) == 1 else None)  # a line of one point cannot be seen
    axes.set_xlabel("epoch")
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _heat_map(figure: Figure, axes: Axes, values: np.ndarray, **options: object) -> AxesImage:
    """Correlations as colours: blue -1, white 0, red 1, the same scale in every figure."""
    axes.grid(False)
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", **options)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="Pearson correlation of daily new cases")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9)
    return image

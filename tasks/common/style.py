"""The look of every figure: one palette, one kind of axes, and how a figure becomes a PNG file.

Everything is set on the figure itself, and neither pyplot nor rcParams is touched, so that figures can be made in any
thread and without a display.

Read next: fonts.py, names in any script.
"""

from __future__ import annotations

import io
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.common.fonts import set_fonts

# The palette of Okabe & Ito (2008), which colour-blind readers can tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#777777"  # for reference lines: what has no colour of its own

SET_COLOUR = {"train": BLACK, "test": VERMILION}
DASHES = {"train": (0, (4, 4)), "test": (4, (4, 4))}  # the dashes of one fall into the gaps of the other


def canvas(title: str, size: tuple[float, float] = (7.2, 4.6)) -> tuple[Figure, Axes]:
    """A figure with its title at the left, and one pair of axes. `size` in inches."""
    figure = Figure(figsize=size, dpi=150, layout="compressed", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    set_title(figure, title, round(10.4 * size[0]))
    axes = figure.add_subplot()
    set_style(axes)
    return figure, axes


def set_title(figure: Figure, title: str, width: int) -> None:
    """The title of a figure, wrapped to `width` characters."""
    # parse_math=False wherever a name may stand: a "$" in it is a character, not the start of a formula.
    # And wrapped here: matplotlib's own wrapping looks for formulas all the same.
    figure.suptitle(textwrap.fill(title, width), x=0.02, ha="left", fontsize=11, fontweight="bold", parse_math=False)


def set_style(axes: Axes) -> None:
    """A light grid behind the data, no box, no tick marks."""
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)


def set_epochs(axes: Axes) -> None:
    """The horizontal axis of a learning curve: whole epochs, few ticks."""
    axes.set_xlabel("epoch")
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def marker(points: int) -> str | None:
    """A line of one point cannot be seen: it is drawn as a dot."""
    return "o" if points == 1 else None


def fixed(value: float, digits: int) -> str:
    """A number with a true minus sign, and with none where all its digits are 0: round(-0.0, 2) is "0.00"."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    file = io.BytesIO()
    set_fonts(figure)
    figure.savefig(file, format="png")
    return file.getvalue()

"""What the figures of the page share: their size and legend, and how a figure becomes SVG inside the HTML.

A figure is a function from results to a `Figure`, as in covid/figures.py. All are five inches wide, about the width of
a phone, so that their text can be read there.

Read next: figures_covid.py, the figures of the sequence study.
"""

from __future__ import annotations

import hashlib
import io
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.common.fonts import set_fonts
from tasks.common.style import GREY
from tasks.study.results import Run

WIDTH, HEIGHT = 5.0, 3.5  # inches
POINTS = 75  # of a curve at most: one every four pixels of a phone


def source(runs: list[Run]) -> str:
    """The name of the data, which says "simulated" where they are."""
    return runs[0].metrics["data"]["source"]


def thin(values: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most `points` rows, evenly spaced, the first and the last among them."""
    return values.iloc[np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int)]


def scale(axes: Axes, drawn: pd.DataFrame) -> None:
    """Set the vertical axis to what was drawn, a row per point, but without the first tenth, which is far off."""
    later = drawn.iloc[len(drawn) // 10:]
    least, most = later.min(axis=None), later.max(axis=None)
    margin = 0.06 * (most - least) or 0.01
    axes.set_ylim(least - margin, most + margin)
    first = drawn.iloc[:len(drawn) // 10]
    if len(first) and (first.min(axis=None) < least - margin or first.max(axis=None) > most + margin):
        axes.text(0.01, 0.99, "the first epochs are outside", transform=axes.transAxes, va="top", fontsize=7,
                  color=GREY)


def finish(figure: Figure, axes: Axes, quantity: str = "", ncols: int = 2) -> None:
    """Per cent where shares are drawn, and a legend below."""
    if "accuracy" in quantity:
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=ncols, frameon=False, fontsize=9)


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
    written = file.getvalue()
    root = ElementTree.fromstring(written)
    prefix = f"f{hashlib.sha256(written).hexdigest()[:10]}-"
    used = set(re.findall(rb"#(\w+)", written))
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

"""The world map of the sequence study: where are more new cases expected tomorrow than today?

One SVG, drawn by pygal and complete in itself: its tooltips need no network, alone or inside an HTML page.

Read next: tasks/common/training.py, the training loop.
"""

from __future__ import annotations

from pathlib import Path
from uuid import NAMESPACE_OID, uuid5
from xml.etree.ElementTree import Element

import pandas as pd
import pygaljs
from pygal.etree import etree
from pygal.style import Style

# Not pygal.maps.world: pygal finds that name through an import hook which Python 3.12 no longer calls.
from pygal_maps_world.maps import COUNTRIES, World

from tasks.common.style import BLUE, ORANGE

STYLE = Style(
    colors=(ORANGE, BLUE), background="white", plot_background="white", foreground_subtle="white",
    opacity="1", opacity_hover="0.6", stroke_opacity="1", stroke_width="0.5", stroke_width_hover="1.5",
    font_family="Helvetica, Arial, sans-serif", title_font_size=17, legend_font_size=14, tooltip_font_size=14,
)
WIDTH, HEIGHT = 1000, 640


def world_map(probabilities: pd.DataFrame, *, title: str) -> tuple[str, list[str]]:
    """The map as SVG text, and the countries that it lacks, in the order of the table.

    probabilities   a row a country: country (name), iso2 (lower case, or missing), probability (0 to 1, that
                    tomorrow's new cases exceed today's), last_day (ISO date of the last day of data)

    Ascending (probability above one half) is orange, descending (one half or less) blue; the shade is the
    distance from one half, on the same scale for both (see `_opacity`). The map lacks a country that has no
    code, whose code it does not know, or whose code an earlier row has taken. The same table and title give
    the same text. Raises ValueError when a probability is missing or not between 0 and 1.
    """
    wrong = probabilities.loc[~probabilities["probability"].between(0, 1), "country"].tolist()
    if wrong:
        raise ValueError(f"world_map: the probability is missing or not between 0 and 1 for {wrong}")
    drawn = probabilities["iso2"].isin(COUNTRIES) & ~probabilities["iso2"].duplicated()
    shown = probabilities[drawn]
    up = shown["probability"] > 0.5
    days = sorted(set(shown["last_day"]))

    chart = World(
        title=title, x_title="Grey: no data. Last day of data: " + " to ".join(days[:1] + days[1:][-1:]),
        style=STYLE, width=WIDTH, height=HEIGHT, js=[], tooltip_fancy_mode=False,
        legend_at_bottom=True, legend_at_bottom_columns=1, truncate_legend=-1,
        formatter=lambda value: f"{100 * value[1]:.0f} % up",
    )
    # pygal's own id is random. This one is repeatable, and still differs between the maps of one page.
    chart.uuid = str(uuid5(NAMESPACE_OID, title + probabilities.to_csv()))
    chart.config.css.append(f"inline:#chart-{chart.uuid} .map-element:not(.series) {{ fill: #D9D9D9 }}")
    chart.add(f"ascending: more new cases are likely tomorrow than today (countries: {up.sum()})",
              _areas(shown[up]))
    chart.add(f"descending: as many or fewer are likely (countries: {(~up).sum()})", _areas(shown[~up]))
    chart.add_xml_filter(_finish)
    return chart.render(is_unicode=True), probabilities.loc[~drawn, "country"].tolist()


def _opacity(probability: float) -> float:
    """0.25 at one half, so that every country with data has a colour, to 1 at certainty (0 or 1)."""
    return 0.25 + 0.75 * abs(probability - 0.5) / 0.5


def _areas(countries: pd.DataFrame) -> list[dict]:
    # The style replaces pygal's own shading, which runs from the smallest to the largest value of each series
    # and would make 51 % as dark as 1 % where no country has more.
    return [
        {"value": (row.iso2, row.probability), "label": row.country,
         "style": f"fill-opacity: {_opacity(row.probability):.4f}"}
        for row in countries.itertuples()
    ]


def _finish(svg: Element) -> Element:
    """Add a key to the shades and the script of the tooltips; take out what does not belong in the file."""
    for comment in [node for node in svg if node.tag is etree.Comment]:  # they hold today's date
        svg.remove(comment)
    for node in svg.iter():  # a prefix, as in <ns0:path>, would mean nothing to a browser inside an HTML page
        node.tag = node.tag.removeprefix("{http://www.w3.org/2000/svg}")

    key = etree.SubElement(svg, "g", {"transform": f"translate({WIDTH - 300}, {HEIGHT - 50})"})
    for percent in range(0, 100, 5):
        shade = f"stroke: none; fill-opacity: {_opacity((percent + 2.5) / 100):.4f}"
        etree.SubElement(key, "rect", {"x": f"{2.6 * percent:g}", "width": "13", "height": "14",
                                       "class": f"color-{int(percent < 50)}", "style": shade})
    for percent in range(0, 101, 25):
        label = etree.SubElement(key, "text", {"x": f"{2.6 * percent:g}", "y": "30",
                                               "style": "font-size: 12px; text-anchor: middle"})
        label.text = f"{percent} %"

    tooltips = Path(pygaljs.path("latest", "pygal-tooltips.min.js")).read_text(encoding="utf-8")
    script = etree.SubElement(svg.find("defs"), "script", {"type": "text/javascript"})
    script.text = f"if (!window.pygal.init) {{ {tooltips} }}"  # once for all maps of a page
    return svg

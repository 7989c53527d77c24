"""The world maps of all runs of the sequence study, as one set of outlines and a table of probabilities.

`covid/world_map.py` draws the map of one run, 800 KB. Here its outlines are simplified to a sixth of that, and the
page colours them for each choice of split, cell and L.

Read next: explorer.py, the trained networks on the page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import pandas as pd

from tasks.covid.world_map import world_map
from tasks.study.results import CELLS, Run

ARGUMENTS = {"m": 2, "l": 2, "c": 6, "s": 4, "h": 1, "v": 1}  # how many numbers a step of each command of a path takes


@dataclass(frozen=True)
class Maps:
    """The maps of a study.

    countries   every country in the data, sorted
    outlines    {country: its shape, the `d` of an SVG path}, for the others
    lacking     the countries that the map has no shape for
    others      the shapes of all countries that are not in the data, as one path
    probabilities   {(split, cell, L): a row per country: mean, min and max over the seeds, and their number, `size`}
    last_day    ISO date of the last day of data; the probabilities are about the day after
    """

    countries: list[str]
    outlines: dict[str, str]
    lacking: list[str]
    others: str
    probabilities: dict[tuple[str, str, int], pd.DataFrame]
    last_day: str


def world_maps(runs: list[Run]) -> Maps:
    """The maps of sequence runs on the same data, at least one: by split (time first), cell and L."""
    keys = ["split", "cell", "L"]
    table = pd.concat([run.probabilities.assign(**{key: run.config[key] for key in keys}) for run in runs])
    found = table.groupby([*keys, "country"])["probability"].agg(["mean", "min", "max", "size"])
    tables = {key: rows.droplevel(keys) for key, rows in found.groupby(keys)}

    first = runs[0].probabilities.sort_values("country")
    svg, lacking = world_map(first, title="")
    shapes = outlines(svg)
    drawn = first[~first["country"].isin(lacking)]
    return Maps(
        countries=list(first["country"]),
        outlines={country: shapes.pop(code) for country, code in zip(drawn["country"], drawn["iso2"], strict=True)},
        lacking=lacking,
        others="".join(shapes.values()),
        probabilities={key: tables[key] for key in sorted(tables, key=_order)},
        last_day=first["last_day"].iloc[0],
    )


def _order(key: tuple[str, str, int]) -> tuple:
    split, cell, L = key
    return split != "time", split, CELLS.index(cell), L


def outlines(svg: str) -> dict[str, str]:
    """The shape of every country of a map drawn by pygal: {iso2: path}, the longest outline first."""
    areas = [node for node in ElementTree.fromstring(svg).iter() if "country" in node.get("class", "").split()]
    shapes = {area.get("class").split()[0]: [coarse(shape.get("d")) for shape in area if shape.get("d")]
              for area in areas}
    return {code: "".join(sorted(paths, key=len, reverse=True)) for code, paths in shapes.items()}


def coarse(path: str) -> str:
    """An SVG path of relative lines and curves, as straight lines between points that are rounded to whole units.

    A unit is 0.4 pixels of a map that is 1,000 pixels wide. A shape that would vanish becomes a square of one unit.
    """
    x = y = 0.0
    shapes: list[list[tuple[int, int]]] = []
    for command, arguments in re.findall(r"([a-z])([^a-z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", arguments)]
        if command == "m":
            shapes.append([])
        for step in zip(*[iter(numbers)] * ARGUMENTS[command], strict=True):
            dx, dy = {"h": (step[0], 0), "v": (0, step[0])}.get(command, step[-2:])
            x, y = x + dx, y + dy
            point = round(x), round(y)
            if not shapes[-1] or point != shapes[-1][-1]:
                shapes[-1].append(point)
    text = ""
    for shape in shapes:
        moves = [f"{b[0] - a[0]:+d}{b[1] - a[1]:+d}" for a, b in zip(shape, shape[1:], strict=False)]
        text += f"M{shape[0][0]} {shape[0][1]}" + ("l" + "".join(moves) if len(moves) > 1 else "h1v1h-1") + "z"
    return text

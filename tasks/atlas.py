"""The world maps of all runs of the sequence study as one map and a table: the outlines are there once.

`world_map.py` draws the map of one run, 800 KB. Here its outlines are made coarser, to a sixth of that, and the page
colours them anew for each choice of split, cell and L.

Read next: report.py, which puts the map on the page, and report.js, which colours it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import pandas as pd

from tasks.study_results import CELLS, Run
from tasks.world_map import world_map

NUMBERS = {"m": 2, "l": 2, "c": 6, "s": 4, "h": 1, "v": 1}  # that a step of each command of a path takes


@dataclass(frozen=True)
class Atlas:
    """The maps of a study.

    countries   all that there are data of, sorted
    outlines    {country: its shape, the `d` of an SVG path}, for those that the map has
    lacking     those that it lacks
    others      the shapes of all that there are no data of, as one path
    maps        {(split, cell, L): a row a country: mean, min and max of the probability over the seeds, and their size}
    last_day    ISO date of the last day of data; the probabilities are about the day after
    """

    countries: list[str]
    outlines: dict[str, str]
    lacking: list[str]
    others: str
    maps: dict[tuple[str, str, int], pd.DataFrame]
    last_day: str


def atlas(runs: list[Run]) -> Atlas:
    """The maps of sequence runs on the same data, at least one: by split (time first), cell and L."""
    keys = ["split", "cell", "L"]
    table = pd.concat([run.probabilities.assign(**{key: run.config[key] for key in keys}) for run in runs])
    found = table.groupby([*keys, "country"])["probability"].agg(["mean", "min", "max", "size"])
    maps = {key: rows.droplevel(keys) for key, rows in found.groupby(keys)}

    first = runs[0].probabilities.sort_values("country")
    svg, lacking = world_map(first, title="")
    shapes = outlines(svg)
    drawn = first[~first["country"].isin(lacking)]
    return Atlas(
        countries=list(first["country"]),
        outlines={country: shapes.pop(code) for country, code in zip(drawn["country"], drawn["iso2"], strict=True)},
        lacking=lacking,
        others="".join(shapes.values()),
        maps={key: maps[key] for key in sorted(maps, key=_order)},
        last_day=first["last_day"].iloc[0],
    )


def _order(key: tuple[str, str, int]) -> tuple:
    split, cell, L = key
    return split != "time", split, CELLS.index(cell), L


def outlines(svg: str) -> dict[str, str]:
    """The shape of every country of a map drawn by pygal: {iso2: path}, what has the longest outline first."""
    areas = [node for node in ElementTree.fromstring(svg).iter() if "country" in node.get("class", "").split()]
    shapes = {area.get("class").split()[0]: [coarse(shape.get("d")) for shape in area if shape.get("d")]
              for area in areas}
    return {code: "".join(sorted(paths, key=len, reverse=True)) for code, paths in shapes.items()}


def coarse(path: str) -> str:
    """An SVG path of relative lines and curves with its points moved to whole units, and straight between them.

    A unit is 0.4 pixels of a map of 1,000. A shape that would vanish becomes a square of one unit.
    """
    x = y = 0.0
    shapes: list[list[tuple[int, int]]] = []
    for command, arguments in re.findall(r"([a-z])([^a-z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", arguments)]
        if command == "m":
            shapes.append([])
        for step in zip(*[iter(numbers)] * NUMBERS[command], strict=True):
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

"""What people look at of a bench: the tables of the terminal, the chart, and the part of README.md that shows both.

Read next: tasks/explain/command.py, a page that plays back-propagation.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from rich import box
from rich.table import Column, Table

from data import BadInput
from tasks.bench.peers import LIBRARIES
from tasks.bench.workloads import EPOCHS
from tasks.common.files import write
from tasks.common.style import BLUE, GREEN, ORANGE, VERMILION, canvas, png

ROOT = Path(__file__).resolve().parents[2]
CHART = Path(".pictures", "bench.png")
BEGIN, END = "<!-- bench: `python run.py bench --readme` writes from here -->\n", "<!-- bench: to here -->\n"


# -- the terminal -------------------------------------------------------------------------------------------------


def milliseconds(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def ratio_table(rows: list[dict]) -> Table:
    """A line for our time, a line for each peer's, as a multiple of ours with its quartiles, and one for the floor."""
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("ms", "threads", "x ours", "quartiles"))
    table = Table(Column("work", no_wrap=True), Column("library", no_wrap=True), *numbers, box=box.SIMPLE_HEAD,
                  padding=(0, 1, 0, 0), title="The time of a step", title_justify="left")
    for row in rows:
        for library, r in row["libraries"].items():
            threads, *idiom = r["setting"].split(", ")
            cells = [", ".join([library, *idiom]), milliseconds(r["ms"]["median"]), threads]
            if library != "nn":
                cells += [f"{r['ratio']['median']:.3g}", f"{r['ratio']['low']:.2g}-{r['ratio']['high']:.2g}"]
            table.add_row(row["work"] if library == "nn" else "", *cells)
            if quiet := r.get("quiet_ms"):
                table.add_row("", "  quiet", milliseconds(quiet["median"]))
        share = row["floor_ms"] / row["libraries"]["nn"]["ms"]["median"]
        table.add_row("", "(floor)", milliseconds(row["floor_ms"]), "", f"{share:.2f}", end_section=True)
    return table


def growth_table(rows: list[dict]) -> Table:
    table = Table("work", *(Column(name, justify="right") for name in (
        "ms", "ns per window and day", "data, MB", "beyond the data, MB")), title="Growth: time and peak memory")
    for row in rows:
        table.add_row(row["work"], milliseconds(row["ms"]["median"]), f"{row['ns_per_element']:.0f}",
                      f"{row['data_mb']:.1f}", f"{row['beyond_mb']:.1f}")
    return table


# -- the picture --------------------------------------------------------------------------------------------------


def chart(rows: list[dict], where: dict) -> Figure:
    """The ratios of all works, with their quartiles: a dot to the right of 1 is a peer that takes longer."""
    colours = dict(zip(LIBRARIES, (VERMILION, BLUE, ORANGE, GREEN), strict=True))
    title = f"Time of a step, peer / ours: {where['processor']}, {where['cores']} cores, {where['date']}"
    figure, axes = canvas(title, size=(7.2, 1.6 + 0.32 * len(rows)))
    for library, colour in colours.items():
        found = [(i, row["libraries"][library]["ratio"]) for i, row in enumerate(rows) if library in row["libraries"]]
        if found:
            axes.errorbar([r["median"] for _, r in found], [i for i, _ in found], fmt="o", color=colour, label=library,
                          xerr=np.array([(r["median"] - r["low"], r["high"] - r["median"]) for _, r in found]).T)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.minorticks_off()
    axes.margins(x=0.05)
    axes.set_yticks(range(len(rows)), [row["work"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("time of the peer / our time (median of pairs, and quartiles)")
    if axes.containers:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


# -- the readme ---------------------------------------------------------------------------------------------------


def into_readme(folder: Path, root: Path = ROOT) -> list[Path]:
    """Put the results in a folder into README.md, between its two marks, and into the chart beside it; returns their
    paths. Raises BadInput if there are none.
    """
    try:
        results = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        table, picture = markdown(results), png(chart(results["rows"], results["machine"]))
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"--out: {folder} does not hold the bench.json of a whole bench ({error}): run the bench first, "
                       "without --readme") from None
    readme = root / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    write(readme, before + BEGIN + table + END + rest.split(END)[1])
    write(root / CHART, picture)
    return [readme, root / CHART]


def markdown(results: dict) -> str:
    """The table of README.md, what its last rows say, and the chart. KeyError if the parts g and h are missing."""
    rows, where = results["rows"], results["machine"]
    part = {row["part"]: row["libraries"] for row in rows}
    libraries = [name for name in LIBRARIES if any(name in row["libraries"] for row in rows)]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    lines = [f"{where['cores']} cores of a processor {where['processor']}, {where['date']}; {versions}; medians of "
             f"{results['pairs']} pairs.", "",
             f"| | ours, ms | {' | '.join(libraries)} | times the floor |", "|---" * (len(libraries) + 3) + "|"]
    for row in rows:
        ours = row["libraries"]["nn"]["ms"]["median"]
        peers = [f"{row['libraries'][name]['ratio']['median']:.2g}" if name in row["libraries"] else ""
                 for name in libraries]
        lines.append(f"| {row['work']} | {milliseconds(ours)} | {' | '.join(peers)} | {ours / row['floor_ms']:.1f} |")

    def each(text, libraries):
        return ", ".join(f"{'ours' if name == 'nn' else name} {text(r)}" for name, r in libraries.items())

    beside = each(lambda r: f"{r['ms']['median'] / r['quiet_ms']['median']:.1f}", part["h"])
    whole = each(lambda r: f"{EPOCHS * r['ms']['median'] / 1000:.0f} s", part["g"])
    return "\n".join([
        *lines, "",
        "*The grid* is an epoch of all networks of the sequence study with one seed, with a process of one thread for "
        f"each core; all {EPOCHS} epochs take: {whole}. *Beside a process* that computes on one core, a step takes so "
        f"many times as long as without it: {beside}.", "",
        f"![The time of each library as a multiple of ours]({CHART.as_posix()})", ""])

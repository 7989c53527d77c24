"""The study as one HTML page that holds all it needs: figures, maps, pictures, style and script.

The text and its order are in page.html, the style in page.css, and the script of the map in map.js. Here the results
are brought into the form in which the template shows them.

Read next: tasks/bench/command.py, our speed beside that of other libraries.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from tasks.common.progress import duration
from tasks.common.style import fixed
from tasks.covid.figures import correlation_figures
from tasks.study import discuss_covid, discuss_vae, figures, figures_covid, figures_vae, sweep
from tasks.study.answers import answers
from tasks.study.explorer import explorer
from tasks.study.maps import world_maps
from tasks.study.results import CELLS, Cases, Run, Study, scores, weight_name
from tasks.study.why_covid import why
from tasks.vae.figures import GAP

# The rows of each grid that are shown for every weight, and the row of test images above them.
ROWS = {
    "reconstructions": (slice(1, 2), slice(0, 1)),
    "prior_samples": (slice(0, 1), None),
    "posterior_samples": (slice(1, 3), slice(0, 1)),
    "interpolation": (slice(0, 2), None),
    "traversal": (slice(0, 2), None),
}


def page(study: Study) -> str:
    """The HTML of a study. A section without a finished run is left out."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )
    templates.filters.update(mean=mean, extent=extent, duration=duration, svg=figures.svg)
    return templates.get_template("page.html").render(
        study=study, discuss_covid=discuss_covid, discuss_vae=discuss_vae, figures_vae=figures_vae,
        sweep=sweep.table(study) if sweep.swept(study) else None,
        answers=answers(study), why_covid=why(study.covid), figures_covid=figures_covid, **gated(study),
        sequences=sequences(study.covid) if study.covid else None, explorer=explorer(study),
        cases=cases(study.cases) if study.cases else None,
        images=images(study.vae) if study.vae else None,
    )


# -- what the template shows --------------------------------------------------------------------------------------


def cases(found: Cases) -> dict:
    """The case counts: their days, which countries were dropped, and the correlation maps."""
    counts, r = found.counts, found.correlations
    highest = r.mask(np.eye(len(r), dtype=bool)).max()
    return {
        "days": counts.cumulative.index,
        "countries": len(r),
        "dropped": highest.drop(found.kept).sort_values(ascending=False),
        **correlation_figures(counts, r),
    }


def sequences(runs: list[Run]) -> dict:
    """The sequence runs: their scores by split, L and cell, and the maps."""
    table = scores(runs)
    splits = sorted(table["split"].unique(), key=lambda split: (split != "time", split))
    main = [run for run in runs if run.config["split"] == splits[0]]
    lengths = sorted({run.config["L"] for run in main if run.config["cell"] == "rnn"})
    maps = world_maps(runs)
    numbers = {" ".join(map(str, key)): rows.round({"mean": 6, "min": 3, "max": 3}).to_numpy().tolist()
               for key, rows in maps.probabilities.items()}
    shown = dict(zip(maps.countries, next(iter(numbers.values())), strict=True))
    return {
        "config": runs[0].config,
        "data": runs[0].metrics["data"],
        "parameters": {run.config["cell"]: run.metrics["parameters"] for run in runs},
        "cells": [cell for cell in CELLS if cell in {run.config["cell"] for run in main}],
        "splits": splits,
        "rnn_L": 7 if 7 in lengths else lengths[len(lengths) // 2] if lengths else None,
        "scores": {split: {L: {cell: found[found["cell"] == cell] for cell in CELLS if cell in set(found["cell"])}
                           for L, found in table[table["split"] == split].groupby("L")} for split in splits},
        "windows": windows(main),
        "world": maps,
        "asked": f"{pd.Timestamp(maps.last_day) + pd.Timedelta(days=1):%Y-%m-%d}",
        "choices": {name: list(dict.fromkeys(values)) for name, values in zip(
            ("split", "cell", "L"), zip(*maps.probabilities, strict=True), strict=True)},
        "maps": numbers,
        "shown": shown,
        "ups": sum(p > 0.5 for p, *_ in shown.values()),
    }


def gated(study: Study) -> dict:
    """The runs whose gates are shown, an LSTM and a GRU; and for which countries, those with most cases."""
    shown = []
    for cell in ("lstm", "gru"):
        runs = [run for run in study.covid if run.config["cell"] == cell and run.config["split"] == "time"
                and run.weights and study.cases]
        shown += sorted(runs, key=lambda run: (abs(run.config["L"] - 7), run.config["seed"]))[:1]
    largest = list(study.cases.counts.cumulative.iloc[-1].nlargest(4).index) if study.cases else []
    return {"gated": shown, "largest": largest}


def windows(runs: list[Run]) -> dict[int, dict[str, tuple[int, float]]]:
    """{L: {"train": (number of windows, share of rises), "test": the same}}."""
    found = {}
    for run in sorted(runs, key=lambda run: run.config["L"]):
        confusion = {set_name: np.array(run.metrics[set_name]["confusion"]) for set_name in ("train", "test")}
        found[run.config["L"]] = {set_name: (n.sum(), n[1].sum() / n.sum()) for set_name, n in confusion.items()}
    return found


def images(runs: list[Run]) -> dict:
    """The image runs, by weight: their metrics, and rows of their pictures, one below the other."""
    def order(run):
        kl = run.config["kl"]
        return run.config["per_channel"], math.inf if isinstance(kl, str) else kl

    runs = sorted(runs, key=order)
    named = [(weight_name(run.config), run) for run in runs]
    data = runs[0].metrics["data"]
    strips = {}
    for picture, (rows, above) in ROWS.items():
        shown = [("test images", runs[0], above)] if above else []
        shown += [(name, run, rows) for name, run in named]
        strips[picture] = [{"label": label} | strip(run.pictures[picture], rows, data["size"])
                           for label, run, rows in shown]
    return {"sorted": runs, "named": named, "config": runs[0].config, "data": data, "strips": strips}


def strip(png: bytes, rows: slice, size: int) -> dict:
    """Some rows of a grid of images: {"source": a data URI, "width": pixels, "height": pixels}."""
    step = size + GAP
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[rows.start * step:rows.stop * step - GAP]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WebP", lossless=True)
    return {"source": f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}",
            "width": pixels.shape[1], "height": pixels.shape[0]}


# -- numbers in the template ---------------------------------------------------------------------------------------


def mean(values: pd.Series, digits: int = 1, scale: float = 100) -> str:
    """The mean over the seeds, in per cent by default: "57.1"; a dash where there is no value."""
    return fixed(scale * values.mean(), digits).replace("nan", "–")


def extent(values: pd.Series, digits: int = 1, scale: float = 100) -> str:
    """From least to most over the seeds: "56.0 to 58.2"; empty where they do not differ in what is shown."""
    least, most = (mean(pd.Series([value]), digits, scale) for value in (values.min(), values.max()))
    return f"{least} to {most}" if least != most else ""

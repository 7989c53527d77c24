"""The command `run.py covid`: train a network, or ask that of a finished run about another day or another file.

Read next: metrics.py, how a forecast is judged.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

import nn
from data import BadInput
from tasks.common.files import write_all
from tasks.common.progress import log_to
from tasks.common.tensors import unpack
from tasks.covid import train
from tasks.covid.results import as_csv, tomorrow
from tasks.covid.train import Classifier, CovidOptions, forecaster, read
from tasks.covid.world_map import world_map


@dataclass(frozen=True)
class CovidCommand(CovidOptions):
    """Will a country report more new COVID-19 cases tomorrow than today?

    Learns from windows of L days in all countries.

    Writes curves, metrics, probabilities and a world map.
    """

    predict: Path | None = None
    """The folder of a finished run: ask its network about the last days of the file, and train none."""


def run(options: CovidCommand, console: Console) -> None:
    """Train a network, with all that `train.run` writes and raises, or ask a trained one: see `ask`."""
    if options.predict:
        ask(options, console)
    else:
        own = {field.name: getattr(options, field.name) for field in dataclasses.fields(CovidOptions)}
        train.run(CovidOptions(**own), console)


def saved(folder: Path) -> tuple[dict, nn.Module]:
    """The options and the network of a finished run. Raises BadInput if the folder does not hold one."""
    arrays, _ = unpack(folder / "model.safetensors")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = Classifier(config["cell"], config["hidden"], config["layers"], np.random.default_rng(0))
        model.load_state_dict(arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"--predict: {folder} is not the folder of a run of this study ({error})") from None
    return config, model


def ask(options: CovidCommand, console: Console) -> None:
    """Print what a saved network expects of the day after the last one, and write it as a table and a map.

    Raises BadInput if there is no such network, if the file has too few days, and if the folder is in use already.
    """
    log = log_to(console)
    counts = read(options, log)
    config, model = saved(options.predict)
    last = counts.cumulative.index[-1]
    out = options.out or Path("runs", f"predict-{options.predict.resolve().name}-{last:%Y-%m-%d}")
    if out.exists() and not options.overwrite:
        raise BadInput(f"--out: {out} exists: --overwrite replaces its files, --out DIR keeps both")
    table = tomorrow(counts.new_cases, config["L"], forecaster(model))
    day = last + pd.Timedelta(days=1)
    question = f"More new cases on {day:%Y-%m-%d} than the day before?"
    svg, _ = world_map(table, title=f"{question} {config['cell'].upper()}, L = {config['L']}, {counts.source}")
    write_all(out, {"probabilities.csv": as_csv(table), "world_map.svg": svg})
    log(f"{question} The probability, by the network in {options.predict}, trained on {config['source']}:")
    for row in table.sort_values("probability", ascending=False).itertuples():
        log(f"{100 * row.probability:5.1f} %  {row.country}")
    log(f"The table and the map are in {out}/")

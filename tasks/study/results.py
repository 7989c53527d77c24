"""The results of a study: its runs, as read back from their folders, and one table of all their scores.

Read next: sweep.py, the image runs of all weights as a table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from data.covid import CaseCounts
from tasks.common.tensors import unpack

CELLS = ("rnn", "lstm", "gru")


@dataclass(frozen=True)
class Run:
    """A finished run.

    config          its options, and the name and fingerprint of its data, as in config.json
    metrics         as in metrics.json: see tasks/covid/train.py and tasks/vae/results.py
    history         a row an epoch: epoch; loss and accuracy, or the terms of the ELBO, of both sets; seconds
    probabilities   of a sequence run, a row a country: country, iso2 (or missing), probability, last_day
    weights         of a sequence run, {name: array}, as in model.safetensors
    pictures        of an image run, {"reconstructions": PNG, ...}: grids, a pixel for a pixel, white gaps of 2
    """

    config: dict
    metrics: dict
    history: pd.DataFrame
    probabilities: pd.DataFrame | None = None
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """All that the page shows.

    covid, vae      the finished runs
    failed          {name of a run: why it failed}
    cases           what the sequence study was trained on; None if it was not run
    provenance      how it was computed: command, versions {package: version}, seeds, seconds, workers, date, machine
    sweep           finished image runs of more weights and seeds; with those of `vae` they are the sweep of weights
    faces           whether faces.html, the latent explorer, stands beside the page
    """

    covid: list[Run]
    vae: list[Run]
    failed: dict[str, str]
    cases: Cases | None
    provenance: dict
    sweep: list[Run] = field(default_factory=list)
    faces: bool = False


@dataclass(frozen=True)
class Cases:
    """The case counts as the sequence study saw them.

    counts          cumulative cases (day x country), their source, whether simulated, what was changed on reading
    correlations    of daily new cases, country x country
    kept            the countries whose correlation with another country exceeds the threshold
    threshold       that threshold
    """

    counts: CaseCounts
    correlations: pd.DataFrame
    kept: list[str]
    threshold: float


def read_run(folder: Path) -> Run:
    """A finished run from its folder."""
    def table(name):
        # "NA" is the code of Namibia, and a country may be called "nan": only an empty cell is missing
        return pd.read_csv(folder / name, keep_default_na=False, na_values={"iso2": [""]})

    return Run(
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        metrics=json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        history=pd.read_csv(folder / "history.csv"),
        probabilities=table("probabilities.csv") if (folder / "probabilities.csv").exists() else None,
        weights=unpack(folder / "model.safetensors")[0] if (folder / "probabilities.csv").exists() else {},
        pictures={path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))},
    )


def scores(runs: list[Run]) -> pd.DataFrame:
    """Sequence runs as a table, a row a run.

    cell, L, split, seed; for both sets ("train_", "test_"): accuracy, balanced_accuracy, roc_auc, log_loss, majority
    (the share of the larger class), rule and regression (the accuracy of the one-line rule and of logistic
    regression), rule_auc and regression_auc; gap (accuracy, train - test). A missing value is nan.
    """
    rows = []
    for run in runs:
        row = {name: run.config[name] for name in ("cell", "L", "split", "seed")}
        for set_name in ("train", "test"):
            scores, baselines = run.metrics[set_name], run.metrics["baselines"]
            row |= {f"{set_name}_{name}": scores[name]
                    for name in ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "majority")}
            for name, baseline in (("rule", "rule"), ("regression", "logistic_regression")):
                row[f"{set_name}_{name}"] = baselines[baseline][set_name]["accuracy"]
                row[f"{set_name}_{name}_auc"] = baselines[baseline][set_name]["roc_auc"]
        rows.append(row | {"gap": row["train_accuracy"] - row["test_accuracy"]})
    table = pd.DataFrame(rows)
    numbers = [name for name in table if name not in ("cell", "split")]
    return table.astype(dict.fromkeys(numbers, float)).astype({"L": int, "seed": int}) if rows else table


def weight_name(config: dict) -> str:
    """The name of a run's weight of the KL term: "weight 1", "learned", "0 to 1", ..."""
    kl = config["kl"]
    name = {"learned": "learned", "anneal": "0 to 1"}[kl] if isinstance(kl, str) else f"weight {kl:g}"
    return f"{name}, each channel by itself" if config["per_channel"] else name

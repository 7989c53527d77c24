"""What a study found: its runs, as read back from their folders, and one table of all their scores.

Read next: discussion.py, which says what the numbers mean, and report.py, which shows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.covid import CaseCounts

CELLS = ("rnn", "lstm", "gru")


@dataclass(frozen=True)
class Run:
    """A finished run.

    config          its options, and the name and fingerprint of its data, as in config.json
    metrics         as in metrics.json: see covid.measure and vae_results.measure
    history         a row an epoch: epoch; loss and accuracy, or the terms of the ELBO, of both sets; seconds
    probabilities   of a sequence run, a row a country: country, iso2 (or missing), probability, last_day
    pictures        of an image run, {"reconstructions": PNG, ...}: grids, a pixel for a pixel, white gaps of 2
    """

    config: dict
    metrics: dict
    history: pd.DataFrame
    probabilities: pd.DataFrame | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """All that the page shows.

    covid, vae      the finished runs
    failed          {name of a run: what went wrong}
    cases           of the sequence study: see CasesFound; None if it was not run
    made            how: command, versions {package: version}, seeds, seconds, workers, date, machine
    """

    covid: list[Run]
    vae: list[Run]
    failed: dict[str, str]
    cases: CasesFound | None
    made: dict


@dataclass(frozen=True)
class CasesFound:
    """The case counts as the sequence study saw them.

    counts          cumulative cases (day x country), their source, whether simulated, what was mended on reading
    correlations    of daily new cases, country x country
    kept            the countries that are correlated with some other
    threshold       above which they are
    """

    counts: CaseCounts
    correlations: pd.DataFrame
    kept: list[str]
    threshold: float


def read_run(folder: Path) -> Run:
    """A finished run from its folder."""
    def table(name):
        # "NA" is Namibia, and a country may be called "nan": only an empty cell is missing
        return pd.read_csv(folder / name, keep_default_na=False, na_values={"iso2": [""]})

    return Run(
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        metrics=json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        history=pd.read_csv(folder / "history.csv"),
        probabilities=table("probabilities.csv") if (folder / "probabilities.csv").exists() else None,
        pictures={path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))},
    )


def scores(runs: list[Run]) -> pd.DataFrame:
    """Sequence runs as a table, a row a run.

    cell, L, split, seed; for both sets ("train_", "test_"): accuracy, balanced_accuracy, roc_auc, log_loss, majority
    (the share of the larger class), rule and regression (the accuracy of the one-line rule and of logistic
    regression), rule_auc and regression_auc; gap (accuracy, train - test). What has no value is nan.
    """
    rows = []
    for run in runs:
        row = {name: run.config[name] for name in ("cell", "L", "split", "seed")}
        for part in ("train", "test"):
            found, simple = run.metrics[part], run.metrics["baselines"]
            row |= {f"{part}_{name}": found[name]
                    for name in ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "majority")}
            for name, baseline in (("rule", "rule"), ("regression", "logistic_regression")):
                row[f"{part}_{name}"] = simple[baseline][part]["accuracy"]
                row[f"{part}_{name}_auc"] = simple[baseline][part]["roc_auc"]
        rows.append(row | {"gap": row["train_accuracy"] - row["test_accuracy"]})
    table = pd.DataFrame(rows)
    numbers = [name for name in table if name not in ("cell", "split")]
    return table.astype(dict.fromkeys(numbers, float)).astype({"L": int, "seed": int}) if rows else table


def weight_name(config: dict) -> str:
    """What was the weight of the KL term? "weight 1", "learned", "0 to 1", ..."""
    kl = config["kl"]
    name = {"learned": "learned", "anneal": "0 to 1"}[kl] if isinstance(kl, str) else f"weight {kl:g}"
    return f"{name}, each channel by itself" if config["per_channel"] else name

"""Finished runs that are made up: as complete as those of a study, with the numbers that a test chooses."""

from __future__ import annotations

import pandas as pd

from tasks.study.results import Run


def scores(accuracy: float = 0.6, roc_auc: float = 0.58, **others) -> dict:
    """What tasks/covid/metrics.py finds of a set."""
    return {"accuracy": accuracy, "balanced_accuracy": 0.55, "roc_auc": roc_auc, "log_loss": 0.7, "brier": 0.2,
            "majority": 0.57, "confusion": [[100, 20], [60, 20]], **others}


def baseline(accuracy: float, roc_auc: float = 0.58, train_roc_auc: float | None = None) -> dict:
    """A baseline of the same accuracy on both sets."""
    return {"train": scores(accuracy, roc_auc if train_roc_auc is None else train_roc_auc),
            "test": scores(accuracy, roc_auc)}


def findings(L: int, auc: list[float] | None = None, forecast: float = 0.5, share: float = 0.4,
             beyond: tuple[float, float] = (-0.05, 0.02)) -> dict:
    """What lookback.py and reliability.py find of a run: AUC by days, mean forecast and share of rises, and the
    interval of the difference between its accuracy and the rule's (that of the AUC is above 0).
    """
    bins = [{"forecast": forecast - 0.1, "share": share - 0.1, "low": share - 0.2, "high": share, "windows": 10},
            {"forecast": forecast + 0.1, "share": share + 0.1, "low": share, "high": share + 0.2, "windows": 10}]
    return {
        "lookback": {"auc": auc or [0.7] * L, "sensitivity": [0.8**t for t in range(L)],
                     "untrained_sensitivity": [0.5**t for t in range(L)]},
        "reliability": {"bins": bins, "brier": 0.22, "reliability": 0.02, "resolution": 0.04, "uncertainty": 0.24,
                        "within": 0.0, "mean_forecast": forecast, "share": share},
        "intervals": {"accuracy": [0.5, 0.7], "roc_auc": [0.5, 0.7], "log_loss": [0.6, 0.7],
                      "accuracy_beyond_rule": list(beyond), "roc_auc_beyond_rule": [0.01, 0.1]},
        "weekday": {"share": [0.4] * 6 + [0.5], "forecast": [0.5] * 7},
    }


def sequence_run(cell: str, L: int, split: str, seed: int, *, train: dict, test: dict, rule: dict, regression: dict,
                 history: dict, probabilities: pd.DataFrame | None = None, **data) -> Run:
    """A run of the sequence study; `data` replaces what metrics.json says of the data."""
    return Run(
        {"cell": cell, "L": L, "split": split, "seed": seed, "hidden": 12, "lr": 0.01, "epochs": len(history["epoch"])},
        {"data": {"source": "made up", "simulated": False, "first_day": "2020-01-22", "last_day": "2020-02-20",
                  "countries": 5, "countries_kept": 4, "windows": 1000, "share_up": 0.15} | data,
         "train": train, "test": test, "parameters": 566, **findings(L),
         "baselines": {"rule": rule, "logistic_regression": regression | {"weights": [0.1] * L}}},
        pd.DataFrame(history), probabilities)


def image_run(kl: float | str, per_channel: bool, *, test: dict, history: dict, train: dict | None = None,
              pictures: dict | None = None, learned: dict | None = None, data: dict | None = None) -> Run:
    """A run of the image study; `test` and `train` are terms in nats per image, `data` replaces defaults."""
    defaults = {"bits_per_dimension": 0.9, "active_units": 18, "constant_image": 705.0}
    metrics = {
        "data": {"source": "made up", "simulated": False, "train": 70, "test": 30, "size": 4, "channels": 3,
                 **(data or {})},
        "kl": kl, "train": defaults | (test if train is None else train), "test": defaults | test, "parameters": 1234}
    if kl == "learned":
        metrics["learned"] = learned or {"sigma": 0.1, "kl_weight": 0.01, "train": -400.0, "test": -300.0}
    return Run({"kl": kl, "per_channel": per_channel, "images": "folder", "hidden": 400, "latent": 20, "batch": 128,
                "epochs": len(history["epoch"]), "lr": 0.001, "seed": 0}, metrics, pd.DataFrame(history),
               pictures=pictures or {})

"""Why the sequence study comes out as it does, in sentences chosen by the numbers: how far back the networks look, and
whether their probabilities are right.

Read next: discuss_vae.py, the same for the images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.covid.lookback import days_needed
from tasks.study.numbers import Paragraph, percent
from tasks.study.results import CELLS, Run

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Why(NamedTuple):
    """The paragraphs of the sections "Why ...", each a claim and its numbers; and the runs that they are about."""

    length: int
    lookback: Paragraph
    memory: Paragraph
    reliability: Paragraph
    intervals: Paragraph
    weekday: Paragraph
    runs: list[Run]


def why(runs: list[Run]) -> Why | None:
    """The findings of the runs that ask about days to come, with the longest windows; None if there are none."""
    asked = [run for run in runs if run.config["split"] == "time" and None not in run.metrics["lookback"]["auc"]]
    if not asked:
        return None
    length = max(run.config["L"] for run in asked)
    longest = [run for run in asked if run.config["L"] == length]
    return Why(length, looks_back(longest), remembers(longest), is_reliable(asked), is_sure(asked), weekdays(asked),
               longest)


def by_cell(runs: list[Run], *path: str) -> dict[str, np.ndarray]:
    """{cell: the mean over its runs of a number, or of a list of numbers, of the metrics}."""
    found = {}
    for cell in CELLS:
        values = []
        for run in runs:
            if run.config["cell"] == cell:
                value = run.metrics
                for name in path:
                    value = value[name]
                values.append(value)
        if values:
            found[cell] = np.mean(np.array(values, float), axis=0)
    return found


def looks_back(runs: list[Run]) -> Paragraph:
    """How many days does a network need for the AUC that it has with all days?"""
    auc = by_cell(runs, "lookback", "auc")
    needed = {cell: days_needed(list(values)) for cell, values in auc.items()}
    L, most = len(next(iter(auc.values()))), max(needed.values())
    claim = (f"The last {most} of {L} days hold nearly all that the networks use." if most <= L / 2 else
             f"The networks use more than half of the {L} days.")
    each = "; ".join(f"{cell.upper()}: {values[0]:.3f} with the last day alone, {values[needed[cell] - 1]:.3f} with "
                     f"{needed[cell]}, {values[-1]:.3f} with all {L}" for cell, values in auc.items())
    return Paragraph(claim, f"Test AUC when every older day is overwritten by the oldest that is kept. {each}.",
                     "That is why longer windows do not help: what they add is not used." if most <= L / 2 else None)


def slope(sensitivity: np.ndarray) -> float:
    """By which factor the derivative changes from one lag to the next, by a line through its logarithms."""
    lags = np.flatnonzero(sensitivity > 0)
    return float(np.exp(np.polyfit(lags, np.log(sensitivity[lags]), 1)[0])) if len(lags) > 1 else float("nan")


def remembers(runs: list[Run]) -> Paragraph:
    """Does the LSTM look farther back than the RNN? Do gradients vanish before the training, and after it?"""
    trained, untrained = by_cell(runs, "lookback", "sensitivity"), by_cell(runs, "lookback", "untrained_sensitivity")
    far = {cell: values[len(values) // 2:].sum() / values.sum() for cell, values in trained.items()}
    if {"rnn", "lstm"} <= far.keys():
        each = [by_cell([run], "lookback", "sensitivity") for run in runs]
        shares = {cell: [v[cell][len(v[cell]) // 2:].sum() / v[cell].sum() for v in each if cell in v] for cell in far}
        apart = min(shares["lstm"]) > max(shares["rnn"])
        claim = ("The LSTM looks farther back than the RNN." if apart else
                 "The LSTM does not look farther back than the RNN." if max(shares["lstm"]) <= max(shares["rnn"]) else
                 "Whether the LSTM looks farther back than the RNN differs between the seeds.")
    else:
        claim = "Derivatives by the input show how far back a network looks."
    share = ", ".join(f"{cell.upper()} {percent(value)}" for cell, value in far.items())
    factors = "; ".join(f"{cell.upper()} {slope(untrained[cell]):.2f} before the training and "
                        f"{slope(trained[cell]):.2f} after it" for cell in trained)
    return Paragraph(claim, f"Of the derivative of the logit by all days, the older half of the days has: {share}.",
                     f"From one day to the day before, the derivative changes by the factor: {factors}. A factor well "
                     "below 1 is the vanishing gradient: at first the networks hardly see the older days, and training "
                     "has to open that way.")


def is_reliable(runs: list[Run]) -> Paragraph:
    """Do rises happen as often as forecast? If not, accuracy suffers where the ranking does not."""
    forecast = np.mean([run.metrics["reliability"]["mean_forecast"] for run in runs])
    share = np.mean([run.metrics["reliability"]["share"] for run in runs])
    train = np.mean([run.metrics["data"]["share_up"] for run in runs])
    parts = pd.DataFrame([run.metrics["reliability"] for run in runs])[["brier", "reliability", "resolution",
                                                                         "uncertainty"]].mean()
    beyond = pd.DataFrame([{name: np.mean(run.metrics["intervals"][f"{name}_beyond_rule"])
                            for name in ("accuracy", "roc_auc")} for run in runs]).mean()
    off = [(b["forecast"] > b["share"], abs(b["forecast"] - b["share"])) for run in runs
           for b in run.metrics["reliability"]["bins"] if 0.25 < b["forecast"] < 0.75]
    above = np.mean([more for more, _ in off]) if off else 0.5
    too_high = forecast - share
    if abs(too_high) < 0.03:
        claim = "On average the forecasts are right."
    else:
        claim = f"The forecasts are too {'high' if too_high > 0 else 'low'}: {percent(forecast)} on average, and " \
                f"{percent(share)} of the test days have more new cases."
    why_not = None
    if beyond["roc_auc"] > 0 >= beyond["accuracy"] and abs(too_high) >= 0.03:
        why_not = ("This is why accuracy does not beat the one-line rule although AUC does: the order of the "
                   "forecasts is better than the rule's, but one half is not the right place to cut it. The test days "
                   "are unlike the training days, so a correction that is fitted on those need not hold.")
    return Paragraph(claim, f"In {percent(above)} of the groups with forecasts from 25 to 75 %, less happened than "
                     f"was forecast. Rises are {percent(train)} of all windows.",
                     f"The Brier score of {parts['brier']:.3f} is {parts['uncertainty']:.3f} for the uncertainty of "
                     f"the days, less {parts['resolution']:.3f} for what the forecasts tell apart, plus "
                     f"{parts['reliability']:.3f} for being wrong on average.", why_not)


def is_sure(runs: list[Run]) -> Paragraph:
    """Are the differences from the rule larger than what other test days would make of them?"""
    ends = {name: np.array([run.metrics["intervals"][f"{name}_beyond_rule"] for run in runs])
            for name in ("accuracy", "roc_auc")}
    n = len(runs)
    above = {name: int((low_high[:, 0] > 0).sum()) for name, low_high in ends.items()}
    below = {name: int((low_high[:, 1] < 0).sum()) for name, low_high in ends.items()}
    claim = (f"It does not hang on a few of the test days: by AUC {above['roc_auc']} of {n} runs are surely above the "
             f"one-line rule, by accuracy {above['accuracy']}." if above["roc_auc"] > n / 2 else
             f"With so few test days, only {above['roc_auc']} of {n} runs are surely above the one-line rule by AUC.")
    return Paragraph(claim, f"This counts the runs whose 95 % interval of the difference lies above 0, when the test "
                     f"days are drawn anew, with all their windows. Surely below the rule are {below['accuracy']} runs "
                     f"by accuracy and {below['roc_auc']} by AUC. These intervals are about the days; the bars in the "
                     "figures are about the seeds.")


def weekdays(runs: list[Run]) -> Paragraph:
    """Do rises depend on the weekday, and do the networks know it? Does the day a week before carry weight?"""
    share = {day: value for day, value in zip(WEEKDAYS, runs[0].metrics["weekday"]["share"], strict=True)
             if value is not None}  # a weekday that the test days do not have
    forecast = {day: np.mean([run.metrics["weekday"]["forecast"][WEEKDAYS.index(day)] for run in runs])
                for day in share}
    most, least = max(share, key=share.get), min(share, key=share.get)
    spread, of_forecast = share[most] - share[least], max(forecast.values()) - min(forecast.values())
    claim = ("The networks do not know the weekday." if of_forecast < spread / 2 else
             "The forecasts follow the weekday.")
    week = None
    weights = [run.metrics["baselines"]["logistic_regression"]["weights"] for run in runs if run.config["L"] > 7]
    if weights:
        size = np.mean([np.abs(w[:8]) for w in weights], axis=0)
        larger = "larger" if size[6] > (size[5] + size[7]) / 2 else "no larger"
        week = ("In logistic regression the weight of the day a week before the day in question is "
                f"{larger} than those beside it.")
    return Paragraph(claim, f"In the test days, rises are most frequent on {most} ({percent(share[most])}) and least "
                     f"on {least} ({percent(share[least])}); the mean forecasts of the weekdays differ by at most "
                     f"{percent(of_forecast)}. There are only two or three days of each.", week)

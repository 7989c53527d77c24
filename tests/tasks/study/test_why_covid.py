"""The sentences on why the sequence study comes out as it does: other numbers, other sentences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tasks.covid.train import Classifier
from tasks.study import figures_covid
from tasks.study.figures import svg
from tasks.study.why_covid import slope, why
from tests.tasks.study import made_up


def run(cell="rnn", L=8, seed=0, split="time", far=0.8, weekday=None, **findings):
    """`far`: the factor by which the derivative falls from a day to the day before."""
    made = made_up.sequence_run(
        cell, L, split, seed, train=made_up.scores(), test=made_up.scores(), rule=made_up.baseline(0.6),
        regression=made_up.baseline(0.6), history={"epoch": [1]})
    metrics = made.metrics | made_up.findings(L, **findings)
    metrics["lookback"] |= {"sensitivity": [far**t for t in range(L)]}
    metrics["weekday"] |= weekday or {}
    return dataclasses.replace(made, metrics=metrics)


def test_only_runs_that_ask_about_days_to_come_are_asked_and_the_longest_are_shown():
    assert why([]) is None and why([run(split="random")]) is None
    found = why([run(L=3), run(L=8), run(L=8, split="random")])
    assert found.length == 8 and [each.config["L"] for each in found.runs] == [8]


@pytest.mark.parametrize("auc, says, explains", [
    ([0.5, 0.7] + [0.72] * 6, "The last 3 of 8 days hold nearly all", True),
    ([0.5, 0.55, 0.6, 0.62, 0.64, 0.66, 0.68, 0.72], "The networks use more than half of the 8 days", False),
])
def test_how_far_back(auc, says, explains):
    paragraph = why([run(auc=auc)]).lookback
    assert paragraph.claim.startswith(says) and ("longer windows do not help" in paragraph.rest) == explains
    assert f"{auc[0]:.3f} with the last day alone" in paragraph.rest


@pytest.mark.parametrize("lstm, says", [
    ((0.9, 0.95), "The LSTM looks farther back"), ((0.6, 0.7), "The LSTM does not look farther back"),
    ((0.6, 0.95), "differs between the seeds"),
])
def test_the_memory_of_the_lstm(lstm, says):
    runs = [run("rnn", far=0.8), run("rnn", seed=1, far=0.81)]
    runs += [run("lstm", seed=seed, far=far) for seed, far in enumerate(lstm)]
    paragraph = why(runs).memory
    assert says in paragraph.claim and "RNN 0.50 before the training" in paragraph.rest


def test_the_slope_is_the_factor_by_day():
    assert slope(0.7 ** np.arange(9)) == pytest.approx(0.7) and np.isnan(slope(np.zeros(4)))


@pytest.mark.parametrize("forecast, beyond, says, explains", [
    (0.55, (-0.05, 0.02), "The forecasts are too high: 55.0 %", True),
    (0.55, (0.02, 0.05), "The forecasts are too high: 55.0 %", False),
    (0.30, (-0.05, 0.02), "The forecasts are too low: 30.0 %", True),
    (0.41, (-0.05, 0.02), "On average the forecasts are right", False),
])
def test_reliability(forecast, beyond, says, explains):
    paragraph = why([run(forecast=forecast, beyond=beyond)]).reliability
    assert paragraph.claim.startswith(says) and ("although AUC does" in paragraph.rest) == explains


@pytest.mark.parametrize("beyond, below", [((-0.05, 0.02), 0), ((-0.05, -0.01), 1)])
def test_intervals_by_days_are_counted(beyond, below):
    paragraph = why([run(beyond=beyond)]).intervals
    assert "by AUC 1 of 1 runs are surely above the one-line rule, by accuracy 0" in paragraph.claim
    assert f"Surely below the rule are {below} runs by accuracy and 0 by AUC" in paragraph.rest


@pytest.mark.parametrize("forecast, says", [([0.5] * 7, "do not know the weekday"),
                                            ([0.45] * 6 + [0.55], "follow the weekday")])
def test_weekdays(forecast, says):
    paragraph = why([run(weekday={"forecast": forecast})]).weekday
    assert says in paragraph.claim and "most frequent on Sunday (50.0 %)" in paragraph.rest
    assert "week before the day in question is no larger" in paragraph.rest


def test_figures_are_drawn_from_the_runs():
    runs = [run(cell, seed=seed) for cell in ("rnn", "lstm", "gru") for seed in (0, 1)]
    for draw in (figures_covid.auc_by_days, figures_covid.sensitivity_by_lag, figures_covid.reliability,
                 figures_covid.by_weekday):
        drawn = svg(draw(runs))
        assert all(cell in drawn for cell in ("RNN", "LSTM", "GRU")) and "made up" in drawn
    lines = figures_covid.auc_by_days(runs).axes[0].lines
    assert lines[0].get_ydata().tolist() == [0.7] * 8 and lines[-1].get_ydata()[0] == 0.58


@pytest.mark.parametrize("cell, gates", [("lstm", ["forget gate", "cell state"]), ("gru", ["update gate", "state h"])])
def test_the_gates_of_some_countries(rng, cell, gates):
    names, days = ["A", "$B$", "C"], pd.date_range("2020-01-01", periods=20)
    new_cases = pd.DataFrame(rng.integers(0, 99, (20, 3)), days, names)
    trained = dataclasses.replace(run(cell), weights=Classifier(cell, 3, 1, rng).state_dict())
    drawn = svg(figures_covid.gates_by_day(trained, new_cases, names))
    assert all(name in drawn for name in (*names, *gates))

"""How far back a network looks: with days overwritten, and by derivatives; and what its gates do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nn
from data.windows import Windows
from tasks.covid.gates import gates
from tasks.covid.lookback import auc_by_days, days_needed, sensitivity
from tasks.covid.metrics import roc_auc
from tasks.covid.train import CELLS, Classifier


def windows(values, label):
    n = len(values)
    return Windows(values, label, np.zeros(n, int), np.arange(n), ["A"], pd.date_range("2020-01-01", periods=n))


def test_days_that_a_forecast_does_not_use_cost_nothing(rng):
    values, label = rng.normal(size=(200, 6)), rng.integers(0, 2, 200)
    found = auc_by_days(lambda v: v[:, -3] - v[:, -1], windows(values, label))
    assert len(found) == 6 and len(set(found[2:])) == 1
    assert found[0] == 0.5  # with the last day alone, all are tied
    assert found[1] == roc_auc(label, values[:, -2] - values[:, -1]) != found[2]


@pytest.mark.parametrize("cell", CELLS)
def test_the_derivative_by_each_day_against_differences(rng, cell):
    model = Classifier(cell, 3, 1, rng)
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    x = rng.normal(size=(7, 5, 1))

    def logit(x):
        logits = model(nn.Tensor(x)).data
        return logits[:, 1] - logits[:, 0]

    expected = []
    for lag in range(5):
        step = np.zeros((1, 5, 1))
        step[0, 4 - lag] = 1e-6
        expected.append(np.abs(logit(x + step) - logit(x - step)).mean() / 2e-6)
    np.testing.assert_allclose(sensitivity(model, x), expected, rtol=1e-6)
    np.testing.assert_allclose(sensitivity(model, x, chunk=2), expected, rtol=1e-6)


@pytest.mark.parametrize("auc, days", [([0.5, 0.7, 0.72], 2), ([0.5, 0.6, 0.72], 3), ([0.72, 0.72, 0.72], 1),
                                       ([0.8, 0.5, 0.72], 3), ([0.7], 1)])
def test_the_days_that_are_needed(auc, days):
    assert days_needed(auc, margin=0.05) == days


@pytest.mark.parametrize("cell, names", [("rnn", "h"), ("lstm", "ifogch"), ("gru", "rznh")])
def test_the_gates_are_those_of_the_layer(rng, cell, names):
    model, x = Classifier(cell, 3, 1, rng), rng.normal(size=(4, 6, 1)).astype(np.float32)
    found = gates(cell, model.state_dict(), x)
    assert "".join(found) == names and all(gate.shape == (4, 3) for gate in found.values())
    _, last = model.recurrent(nn.Tensor(x))
    h, c = (last[0], last[1]) if cell == "lstm" else (last, None)
    np.testing.assert_allclose(found["h"], h.data[0], atol=1e-6)
    if cell == "lstm":
        np.testing.assert_allclose(found["c"], c.data[0], atol=1e-6)
        np.testing.assert_allclose(found["o"] * np.tanh(found["c"]), found["h"])

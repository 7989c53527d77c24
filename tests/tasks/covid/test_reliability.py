"""Reliability, the parts of the Brier score, and intervals from resampled days, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.covid.metrics import classification, roc_auc
from tasks.covid.reliability import by_weekday, interval, intervals, reliability, resampled_days, weighted_auc


@pytest.fixture
def forecast(rng):
    """Label, probability with ties, and day of 300 windows on 12 days."""
    probability = np.round(rng.random(300), 2)
    return (rng.random(300) < probability).astype(int), probability, rng.integers(0, 12, 300)


def test_the_auc_of_windows_that_count_several_times(forecast, rng):
    label, p, _ = forecast
    w = rng.integers(0, 3, (5, 300))
    expected = [roc_auc(np.repeat(label, times), np.repeat(p, times)) for times in w]
    np.testing.assert_allclose(weighted_auc(label, p, w.astype(float)), expected, rtol=1e-12)


def test_the_windows_of_a_day_come_and_go_together(forecast):
    *_, day = forecast
    w = resampled_days(day)
    for each in np.unique(day):
        assert (np.ptp(w[:, day == each], axis=1) == 0).all()
    counts = np.stack([w[:, day == each][:, 0] for each in np.unique(day)], axis=1)
    assert (counts.sum(axis=1) == 12).all() and counts.std() > 0.5


def test_an_interval_holds_95_in_100():
    assert interval(np.arange(1001)) == [25, 975]


def test_the_scores_lie_in_their_intervals(forecast):
    label, p, day = forecast
    rule = (p > 0.3).astype(float)
    found, scores, of_rule = intervals(label, p, rule, day), classification(label, p), classification(label, rule)
    for name in ("accuracy", "roc_auc", "log_loss"):
        low, high = found[name]
        assert low < scores[name] < high and high - low < 0.3
    for name in ("accuracy", "roc_auc"):
        low, high = found[f"{name}_beyond_rule"]
        assert low < scores[name] - of_rule[name] < high
    same = intervals(label, rule, rule, day)
    assert same["accuracy_beyond_rule"] == [0, 0] and same["roc_auc_beyond_rule"] == [0, 0]


def test_days_that_differ_make_wide_intervals(rng):
    right = np.repeat([0, 1] * 5, 30)  # all windows of a day are right, or none is
    label = rng.integers(0, 2, 300)
    p = np.where(label == right, 0.9, 0.1)
    (low, high), (low_if_apart, high_if_apart) = (
        intervals(label, p, p, day)["accuracy"] for day in (np.repeat(np.arange(10), 30), np.arange(300)))
    assert high - low > 3 * (high_if_apart - low_if_apart)


def test_murphys_parts_add_up_and_are_those_of_the_definition(forecast):
    label, p, day = forecast
    found = reliability(label, p, day, count=7)
    assert sum(b["windows"] for b in found["bins"]) == 300
    assert {b["windows"] for b in found["bins"]} == {42, 43}
    assert found["brier"] == pytest.approx(((p - label) ** 2).mean())
    assert found["brier"] == pytest.approx(
        found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"])
    order, share = np.argsort(p, kind="stable"), label.mean()
    parts = [(len(i), p[i].mean(), label[i].mean()) for i in np.array_split(order, 7)]
    assert found["reliability"] == pytest.approx(sum(n * (f - s) ** 2 for n, f, s in parts) / 300)
    assert found["resolution"] == pytest.approx(sum(n * (s - share) ** 2 for n, _, s in parts) / 300)
    assert found["uncertainty"] == pytest.approx(share * (1 - share)) and found["share"] == pytest.approx(share)
    assert all(b["low"] <= b["share"] <= b["high"] for b in found["bins"])
    assert [b["forecast"] for b in found["bins"]] == sorted(b["forecast"] for b in found["bins"])


def test_right_forecasts_are_reliable_and_shifted_ones_are_not(rng):
    p = rng.random(20_000)
    label, day = (rng.random(20_000) < p).astype(int), rng.integers(0, 50, 20_000)
    assert reliability(label, p, day)["reliability"] < 0.001
    assert reliability(label, np.minimum(p + 0.2, 1), day)["reliability"] > 0.02


def test_by_weekday():
    found = by_weekday(np.array([1, 0, 1]), np.array([0.2, 0.4, 0.9]), np.array([0, 0, 6]))
    assert found == {"share": [0.5, *[None] * 5, 1.0], "forecast": [pytest.approx(0.3), *[None] * 5, 0.9]}


def test_one_half_is_no_rise_in_the_intervals():
    label, day = np.array([0, 0, 1, 0]), np.array([1, 2, 1, 2])
    found = intervals(label, np.full(4, 0.5), np.zeros(4), day)
    assert found["accuracy_beyond_rule"] == [0, 0]  # both say "no rise" every time

"""From new cases to windows: correlation, labels, the three splits, features."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import BadInput
from data import windows as cut
from data.covid import read_cases


def test_correlation_is_pearsons_and_a_constant_correlates_with_nothing() -> None:
    x = np.random.default_rng(0).poisson(9, (30, 5)).astype(float)
    x[:, 1] = -3 * x[:, 0] + 2
    x[:, 4] = 7
    r = cut.correlation(pd.DataFrame(x, columns=list("abcde")))
    np.testing.assert_allclose(r.iloc[:4, :4], np.corrcoef(x[:, :4].T), atol=1e-12)
    np.testing.assert_array_equal(r["e"], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(r, r.T)
    assert list(r.index) == list(r.columns) == list("abcde")


def test_no_correlation_exceeds_1_by_rounding() -> None:
    x = np.random.default_rng(0).poisson(9, (30, 1)) * np.arange(1, 40)
    assert cut.correlation(pd.DataFrame(x)).to_numpy().max() == 1


def test_correlated_countries_exceed_the_threshold_with_another_country() -> None:
    r = pd.DataFrame([[1, 0.5, -0.9], [0.5, 1, 0.2], [-0.9, 0.2, 1]], list("abc"), list("abc"))
    assert cut.correlated_countries(r, 0.1) == ["a", "b", "c"]
    assert cut.correlated_countries(r, 0.49) == ["a", "b"]
    assert cut.correlated_countries(r, 0.5) == []
    assert np.diag(r).tolist() == [1, 1, 1]
    for threshold in (1, -1.1, float("nan")):
        with pytest.raises(BadInput, match="threshold"):
            cut.correlated_countries(r, threshold)


@pytest.fixture
def new_cases() -> pd.DataFrame:
    x = np.random.default_rng(1).integers(-1, 4, (31, 10))
    return pd.DataFrame(x, pd.date_range("2020-01-23", periods=31), list("abcdefghij"))


@pytest.mark.parametrize("L", [1, 5, 30])
def test_windows_are_those_of_a_plain_loop(new_cases: pd.DataFrame, L: int) -> None:
    windows = cut.make_windows(new_cases, L)
    expected = {}
    for c, country in enumerate(new_cases):
        x = new_cases[country].tolist()
        for t in range(L, len(x)):
            expected[c, t] = (x[t - L : t], int(x[t] > x[t - 1]))
    found = {
        (int(c), int(t)): (v.tolist(), int(y))
        for v, y, c, t in zip(windows.values, windows.label, windows.country, windows.day, strict=True)
    }
    assert found == expected and len(windows) == len(expected)
    assert windows.countries == list(new_cases) and windows.days.equals(new_cases.index)
    assert windows.label.dtype == np.int64 and windows.values.dtype == np.float64


def test_a_subset_of_windows_keeps_rows_together(new_cases: pd.DataFrame) -> None:
    windows = cut.make_windows(new_cases, 3)
    mask = windows.country == 4
    for part in (windows[mask], windows[np.flatnonzero(mask)]):
        assert set(part.country) == {4} and len(part) == 28
        np.testing.assert_array_equal(part.values[:, -1], new_cases["e"].iloc[part.day - 1])
        assert part.countries == windows.countries


def test_latest_windows_hold_the_last_days_of_every_country(new_cases: pd.DataFrame) -> None:
    latest = cut.latest_windows(new_cases, 4)
    np.testing.assert_array_equal(latest, new_cases.iloc[-4:].T)


@pytest.mark.parametrize("L", [0, -1, 31])
def test_too_few_days_for_L_is_refused_with_the_numbers(new_cases: pd.DataFrame, L: int) -> None:
    for function in (cut.make_windows, cut.latest_windows):
        with pytest.raises(BadInput, match=f"windows of {L} days .* {L + 1} days .* there are 31"):
            function(new_cases, L)


def places(windows: cut.Windows) -> set[tuple[int, int]]:
    return set(zip(windows.country.tolist(), windows.day.tolist(), strict=True))


@pytest.mark.parametrize("how", ["time", "country", "random"])
def test_every_split_puts_each_window_on_one_side(new_cases: pd.DataFrame, how: str) -> None:
    windows = cut.make_windows(new_cases, 5)
    train, test = cut.split_windows(windows, how, seed=0)
    assert len(train) + len(test) == len(windows)
    assert places(train) | places(test) == places(windows)
    again = cut.split_windows(windows, how, seed=0)
    assert places(again[1]) == places(test)
    other = cut.split_windows(windows, how, seed=1)
    assert (places(other[1]) == places(test)) == (how == "time")


@pytest.mark.parametrize("L", [2, 5, 20])
def test_the_time_split_tests_the_same_last_days_for_every_L(new_cases: pd.DataFrame, L: int) -> None:
    train, test = cut.split_windows(cut.make_windows(new_cases, L), "time", seed=0)
    assert set(test.day) == set(range(25, 31))
    assert set(train.day) == set(range(L, 25))


def test_the_country_split_keeps_countries_whole(new_cases: pd.DataFrame) -> None:
    windows = cut.make_windows(new_cases, 5)
    train, test = cut.split_windows(windows, "country", seed=0)
    assert not set(train.country) & set(test.country) and len(set(test.country)) == 2
    _, test = cut.split_windows(windows[windows.country < 5], "country", seed=0)
    assert len(set(test.country)) == 1


def test_the_random_split_takes_a_fifth_of_the_windows(new_cases: pd.DataFrame) -> None:
    train, test = cut.split_windows(cut.make_windows(new_cases, 6), "random", seed=0)
    assert (len(train), len(test)) == (200, 50)
    assert set(test.day) <= set(train.day)


def test_a_split_that_leaves_a_side_empty_is_refused(new_cases: pd.DataFrame) -> None:
    windows = cut.make_windows(new_cases, 28)
    with pytest.raises(BadInput, match="30 test and 0 training"):
        cut.split_windows(windows, "time", seed=0)
    with pytest.raises(BadInput, match="0 test and 3 training"):
        cut.split_windows(windows[windows.country == 0], "country", seed=0)
    with pytest.raises(BadInput, match="'tme' is not time, country or random"):
        cut.split_windows(windows, "tme", seed=0)


def test_features_are_signed_logarithms_of_the_same_shape() -> None:
    v = np.array([[0.0, 1.0, -1.0], [1e6, -26.0, 3.0]])
    np.testing.assert_allclose(np.sign(v) * np.expm1(np.abs(cut.features(v))), v, rtol=1e-12)
    assert cut.features(v)[0].tolist() == [0, np.log(2), -np.log(2)]


@pytest.fixture
def real() -> Path:
    return Path(os.environ["NN_DATA"], "covid")


@pytest.mark.realdata
def test_published_numbers_of_the_real_file(real: Path) -> None:
    counts = read_cases(real / "covid_19.csv")
    assert counts.cumulative.shape == (82, 185)
    assert "2 (Guyana 2020-03-24, Uruguay 2020-04-12)" in counts.notes[-1]
    r = cut.correlation(counts.new_cases)
    kept = {t: len(cut.correlated_countries(r, t)) for t in (0.4, 0.5, 0.6, 0.7, 0.8)}
    assert kept == {0.4: 181, 0.5: 179, 0.6: 167, 0.7: 143, 0.8: 103}
    windows = cut.make_windows(counts.new_cases[cut.correlated_countries(r, 0.5)], 5)
    assert len(windows) == 13_604 and round(windows.label.mean(), 3) == 0.219


@pytest.mark.realdata
def test_published_scores_of_the_majority_and_of_the_one_line_rule(real: Path) -> None:
    """They belong to the last 14 days, which are a share of 0.175 of the 81 days of new cases."""
    new_cases = read_cases(real / "covid_19.csv").new_cases
    kept = cut.correlated_countries(cut.correlation(new_cases), 0.5)
    _, test = cut.split_windows(cut.make_windows(new_cases[kept], 7), "time", seed=0, test_share=0.175)
    rule = test.values[:, -1] < test.values[:, -2]
    assert round(1 - test.label.mean(), 3) == 0.570
    assert round((rule == test.label).mean(), 3) == 0.650

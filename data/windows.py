"""From daily new cases to windows of days: countries are chosen by correlation, windows cut, split and scaled.

Read next: epidemic.py, the simulated counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from data import BadInput


def correlation(new_cases: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of every pair of countries: new_cases (T, C) -> (C, C), countries on both sides.

    r[a, b] = sum_t z[t, a] z[t, b]    with    z = (x - mean(x)) / ||x - mean(x)||

    A country whose series is constant correlates with nothing: 0 with every other, 1 with itself.
    """
    x = new_cases.to_numpy(float)
    x = x - x.mean(axis=0)
    norm = np.sqrt((x * x).sum(axis=0))
    z = x / np.where(norm > 0, norm, 1)
    r = np.clip(z.T @ z, -1, 1)
    np.fill_diagonal(r, 1)
    return pd.DataFrame(r, new_cases.columns, new_cases.columns)


def correlated_countries(correlation: pd.DataFrame, threshold: float) -> list[str]:
    """The countries whose correlation with some other one exceeds the threshold in [-1, 1), else BadInput."""
    if not -1 <= threshold < 1:
        raise BadInput(f"threshold: {threshold} is not a correlation from -1 up to (not including) 1")
    others = correlation.to_numpy(copy=True)
    np.fill_diagonal(others, -np.inf)
    return list(correlation.columns[(others > threshold).any(axis=0)])


@dataclass(frozen=True)
class Windows:
    """n windows of L consecutive days of one country, each with the answer for the day after.

    values     (n, L) float64, new cases, raw counts, oldest first
    label      (n,) int64, 1 when the day after has more new cases than the window's last day, else 0
    country    (n,) int64, index into `countries`
    day        (n,) int64, index of the label's day, the day after the window, into `days`
    countries  C names;  days  T days of new cases
    """

    values: np.ndarray
    label: np.ndarray
    country: np.ndarray
    day: np.ndarray
    countries: list[str]
    days: pd.DatetimeIndex

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, which: np.ndarray) -> Windows:
        """The windows that a mask (n,) or an array of indices picks."""
        picked = {name: getattr(self, name)[which] for name in ("values", "label", "country", "day")}
        return replace(self, **picked)


def make_windows(new_cases: pd.DataFrame, L: int) -> Windows:
    """Every window of L days that has a day after it: new_cases (T, C) -> (T - L) C windows, day by day.

    Raises BadInput when there are too few days.
    """
    _check_length(new_cases, L)
    x = new_cases.to_numpy(float)
    T, C = x.shape
    day, country = np.mgrid[L:T, :C].reshape(2, -1)
    values = np.lib.stride_tricks.sliding_window_view(x, L, axis=0)[:-1].reshape(-1, L)
    label = (x[L:] > x[L - 1 : -1]).astype(np.int64).ravel()
    return Windows(values, label, country, day, list(new_cases.columns), new_cases.index)


def latest_windows(new_cases: pd.DataFrame, L: int) -> np.ndarray:
    """The last L days of every country, for the world map: new_cases (T, C) -> (C, L), oldest first."""
    _check_length(new_cases, L)
    return new_cases.to_numpy(float)[-L:].T.copy()


def _check_length(new_cases: pd.DataFrame, L: int) -> None:
    if not 1 <= L < len(new_cases):
        raise BadInput(
            f"L: windows of {L} days and the day after need L >= 1 and {L + 1} days of new cases; "
            f"there are {len(new_cases)}"
        )


def split_windows(windows: Windows, how: str, seed: int, test_share: float = 0.2) -> tuple[Windows, Windows]:
    """Training and test windows, by one of three questions.

    time     does it hold in the days to come? Test: the windows whose label's day is among the last
             round(test_share T) of the T days of new cases, the same days for every L.
    country  does it hold for other countries? Test: a seeded draw of test_share of the countries, whole.
    random   a seeded draw of test_share of the windows. It leaks: windows overlap, so the day that a test
             label asks about is inside training windows of the same country. For comparison only.

    Raises BadInput for another `how` and when either side would be empty.
    """
    rng = np.random.default_rng(seed)
    if how == "time":
        test = windows.day >= len(windows.days) - round(test_share * len(windows.days))
    elif how == "country":
        countries = rng.permutation(np.unique(windows.country))
        test = np.isin(windows.country, countries[: round(test_share * len(countries))])
    elif how == "random":
        test = rng.permutation(len(windows)) < round(test_share * len(windows))
    else:
        raise BadInput(f"split: {how!r} is not time, country or random")
    if test.all() or not test.any():
        raise BadInput(
            f"split: {how} with a test share of {test_share} leaves {test.sum()} test and {(~test).sum()} "
            "training windows: both are needed"
        )
    return windows[~test], windows[test]


def features(values: np.ndarray) -> np.ndarray:
    """Signed log1p, sign(v) log(1 + |v|), of new cases of any shape; the shape is kept."""
    return np.sign(values) * np.log1p(np.abs(values))

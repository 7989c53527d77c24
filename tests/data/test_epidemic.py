"""The simulated epidemic: the same everywhere for one seed, in the form of the real counts, of their kind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import covid, epidemic
from data.countries import iso2
from data.windows import correlated_countries, correlation, make_windows


@pytest.fixture(scope="module")
def cumulative() -> pd.DataFrame:
    return epidemic.simulate(seed=0)


def checksum(cumulative: pd.DataFrame) -> str:
    by_code = cumulative[sorted(cumulative.columns, key=iso2)]  # a later ISO list may have other names
    return hashlib.sha256(by_code.to_numpy().astype("<i8").tobytes()).hexdigest()


def test_seed_0_is_the_recorded_epidemic(cumulative: pd.DataFrame) -> None:
    """Results that say "simulated epidemic (seed 0)" compare only while this holds."""
    assert checksum(cumulative) == "7682c6289aea4c37f0677d57fa494ddf61c955ff60f38a608f56f287d164184e"


def test_another_process_with_other_hashes_and_threads_agrees(cumulative: pd.DataFrame) -> None:
    script = "from data.epidemic import simulate; print(simulate().to_csv(lineterminator='\\n'), end='')"
    env = os.environ | {
        "PYTHONPATH": str(Path(epidemic.__file__).parents[1]),
        "PYTHONHASHSEED": "7",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUTF8": "1",
    }
    run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    assert run.stdout.decode() == cumulative.to_csv(lineterminator="\n")


def test_another_seed_is_another_epidemic(cumulative: pd.DataFrame) -> None:
    assert not epidemic.simulate(seed=1).equals(cumulative)


def test_the_form_is_that_of_case_counts(cumulative: pd.DataFrame) -> None:
    assert cumulative.shape == (82, 182) and set(cumulative.dtypes) == {np.dtype("int64")}
    assert cumulative.index.equals(pd.date_range("2020-01-22", "2020-04-12"))
    assert (cumulative.index.name, cumulative.columns.name) == ("date", "country")
    assert list(cumulative.columns) == sorted(cumulative.columns)
    assert len({iso2(country) for country in cumulative.columns} - {None}) == 182
    short = epidemic.simulate(seed=0, days=5, start="2021-12-30")
    assert short.index.equals(pd.date_range("2021-12-30", "2022-01-03"))


def test_written_as_a_pivot_table_it_reads_back_the_same(cumulative: pd.DataFrame) -> None:
    epidemic.write_pivot(cumulative, "simulated.csv")
    assert [path.name for path in Path.cwd().iterdir()] == ["simulated.csv"]
    first, second, third = Path("simulated.csv").read_text(encoding="utf-8").splitlines()[:3]
    assert first.startswith(",Lat,Long,1/22/20,1/23/20")
    assert set(second.split(",")) == {"", "sum"} and third.strip(",") == "Country/Region"
    read = covid.read_cases("simulated.csv").cumulative
    pd.testing.assert_frame_equal(read, cumulative)


def test_it_is_of_the_kind_of_the_real_counts(cumulative: pd.DataFrame) -> None:
    new_cases = cumulative.diff().iloc[1:]
    kept = correlated_countries(correlation(new_cases), 0.5)
    windows = make_windows(new_cases[kept], 5)
    assert len(kept) > 150
    assert 0.2 < windows.label.mean() < 0.35
    first_day = (cumulative > 0).to_numpy().argmax(axis=0)
    assert 21 < np.median(first_day) < 60  # weeks without a case, then growth
    assert 1 <= (new_cases < 0).to_numpy().sum() <= 20  # few corrections
    assert cumulative.iloc[-1].max() > 50 * cumulative.iloc[-1].median()  # sizes of many orders


def test_fewer_cases_are_reported_at_the_weekend(cumulative: pd.DataFrame) -> None:
    by_day = cumulative.diff().iloc[-28:].sum(axis=1)
    weekend = by_day.index.day_of_week >= 5
    assert by_day[weekend].mean() < 0.9 * by_day[~weekend].mean()


def test_without_travel_it_stays_in_one_country(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epidemic, "TRAVELLERS", 0)
    assert (epidemic.simulate(seed=0).iloc[-1] > 0).sum() == 1


def test_intervention_lowers_the_cases(monkeypatch: pytest.MonkeyPatch, cumulative: pd.DataFrame) -> None:
    monkeypatch.setattr(epidemic, "ALARM", 10**12)
    late = epidemic.simulate(seed=0).iloc[-1].sum()
    monkeypatch.setattr(epidemic, "ALARM", 1000)
    early = epidemic.simulate(seed=0).iloc[-1].sum()
    assert 2 * early < cumulative.iloc[-1].sum() < late

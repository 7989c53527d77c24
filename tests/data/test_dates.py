"""Headings of days: what each may mean, and the one reading that makes them consecutive."""

from __future__ import annotations

from datetime import date

import pytest

from data.dates import consecutive, read_day, readings


@pytest.mark.parametrize("cell, day", [
    ("1/22/20", date(2020, 1, 22)), ("1/22/2020", date(2020, 1, 22)), ("2020-01-22", date(2020, 1, 22)),
    ("22/1/20", None), ("22.01.2020", None), ("1/22", None), ("sum", None), ("0001-01-01", None)])
def test_the_usual_forms(cell, day):
    assert read_day(cell) == day


@pytest.mark.parametrize("cell, day", [
    ("22.01.2020", date(2020, 1, 22)), ("2020-01-22 00:00:00", date(2020, 1, 22)),
    ("2020-01-22T00:00", date(2020, 1, 22)),
    ("2002/1/20", date(2020, 2, 1)), ("02-01-2020", date(2020, 1, 2)), ("02-01-2020", date(2020, 2, 1))])
def test_a_heading_may_mean(cell, day):
    assert day in readings(cell)


@pytest.mark.parametrize("cell", ["", "sum", "2020", "1/2", "1/2/3/4", "40/40/40", "2020-01-22 noon", "1850-01-01"])
def test_what_is_no_date_means_none(cell):
    assert readings(cell) == set()


def test_the_one_reading_that_is_consecutive_decides():
    assert consecutive(["31.01.2020", "01.02.2020"]) == [date(2020, 1, 31), date(2020, 2, 1)]
    assert consecutive(["1/31/20", "2002/1/20", "2002/2/20"]) == [date(2020, 1, 31), date(2020, 2, 1), date(2020, 2, 2)]


def test_none_and_several_readings_are_refused():
    assert consecutive(["31.01.2020", "02.02.2020"]) is None  # a day is missing
    assert consecutive(["01/02/03"]) is None  # several days
    assert consecutive([]) is None

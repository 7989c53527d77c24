"""Columns of days: headings such as 1/22/20, 2020-01-22 or what a spreadsheet made of them, read as dates.

Read next: countries.py, from names to codes.
"""

from __future__ import annotations

import itertools
import re
from datetime import date, datetime, timedelta


def read_day(cell: str) -> date | None:
    """The date of a heading in one of the three usual forms: 1/22/20, 1/22/2020 or 2020-01-22."""
    for form in ("%m/%d/%y", "%Y-%m-%d", "%m/%d/%Y"):
        try:
            day = datetime.strptime(cell, form).date()
        except ValueError:
            continue
        if 1900 <= day.year < 2100:
            return day
    return None


def readings(cell: str) -> set[date]:
    """Every date that a heading may mean: its three numbers in any order, without a time of day behind them.

    A spreadsheet that takes 2/1/20 (1 February) for year/month/day writes 2002/1/20, so a year from 2000 on may also be
    the number of its last two digits.
    """
    found = set()
    time = r"([ T]\d{1,2}:\d{2}(:\d{2}(\.0+)?)?)?"
    numbers = re.fullmatch(r"(\d\d?|[12]\d{3})[-/.](\d\d?)[-/.](\d\d?|[12]\d{3})" + time, cell)
    if not numbers:
        return found
    for parts in itertools.permutations(map(int, numbers.groups()[:3])):
        for year, month, day in itertools.product(*({n, n - 2000} if n >= 2000 else {n} for n in parts)):
            try:
                found.add(date(year + 2000 if year < 100 else year, month, day))
            except ValueError:
                continue
    return {day for day in found if 1900 <= day.year < 2100}


def consecutive(cells: list[str]) -> list[date] | None:
    """The dates of headings, by the one reading that makes them consecutive days; None if there is none, or several."""
    choices = [readings(cell) for cell in cells]
    starts = [start for start in (choices[0] if choices else ())
              if all(start + timedelta(days=i) in days for i, days in enumerate(choices))]
    return [starts[0] + timedelta(days=i) for i in range(len(cells))] if len(starts) == 1 else None

"""Case counts in other layouts: a row for each day and country, or a column for each country.

Read next: dates.py, how the headings of days are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data import BadInput
from data.cells import bad, read_count
from data.countries import iso2
from data.dates import consecutive, read_day, readings


class Long(NamedTuple):
    """A kind of table with a row for each day and country: its source, and what it calls its columns, in small letters.

    form    of its days
    daily   the counts are the new cases of each day
    parts   the column of provinces, which are summed
    """

    source: str
    day: str
    country: str
    count: str
    form: str
    daily: bool = False
    parts: str | None = None


LONG = (
    Long("Our World in Data", "date", "location", "total_cases", "%Y-%m-%d"),
    Long("Our World in Data", "date", "country", "total_cases", "%Y-%m-%d"),
    Long("the WHO", "date_reported", "country", "cumulative_cases", "%Y-%m-%d"),
    Long("the ECDC", "daterep", "countriesandterritories", "cases", "%d/%m/%Y", daily=True),
    Long("Kaggle", "observationdate", "country/region", "confirmed", "%m/%d/%Y", parts="province/state"),
)
AGGREGATES = {  # of Our World in Data
    "World", "Africa", "Asia", "Europe", "European Union", "European Union (27)", "North America", "Oceania",
    "South America", "International", "High income", "High-income countries", "Upper middle income",
    "Upper-middle-income countries", "Lower middle income", "Lower-middle-income countries", "Low income",
    "Low-income countries", "World excl. China", "Asia excl. China",
}


def wanted(header: list[str]) -> set[int] | None:
    """The columns that are needed of a table with this heading; None for all."""
    if kind := _known(header):
        needed = {kind.day, kind.country, kind.count, kind.parts, "continent"}
        return {column for column, cell in enumerate(header) if cell.casefold() in needed}
    return None


def _known(header: list[str]) -> Long | None:
    names = {cell.casefold() for cell in header}
    return next((kind for kind in LONG if {kind.day, kind.country, kind.count} <= names), None)


class Counts(NamedTuple):
    """What was read: counts (countries, days) int64, in the order of the file; whether they are new cases; notes; and
    the last day in the file.
    """

    table: pd.DataFrame
    daily: bool
    notes: list[str]
    end: date


def read_layout(path: Path, rows: list[list[str]], last_day: Callable[[date, date], date]) -> Counts | None:
    """The counts of a table in one of these layouts, or None if it has a row for each country.

    A count that is missing is 0 before the first one of its country; after it, it is that of the day before, or, among
    new cases, 0. Sums of several countries are left out. A note tells of all this.

    last_day    the first and the last day of the table -> the last one to be used
    BadInput, with row and column, for cells that are wrong, and for tables of this kind that are not known.
    """
    if kind := _known(rows[0]):
        return _read_long(path, rows, kind, last_day)
    if sum(read_day(cell) is not None for cell in rows[0]) > 1 or consecutive(rows[0][-5:]):
        return None
    with_days = [column for column in range(len(rows[0])) if len(rows) > 2 and all(
        column < len(row) and readings(row[column]) for row in rows[1:20])]
    if not with_days:
        return None
    if with_days[0] == 0 and any(map(iso2, rows[0][1:])):
        return _read_wide(path, rows, last_day)
    day = rows[0][with_days[0]]
    raise BadInput(f"{path}: has a row for each day (column {day!r}), and a row for each country with a column for "
                   f"each day is needed: with pandas, table.pivot_table(index=COUNTRY, columns={day!r}, values=COUNT, "
                   "aggfunc='sum').to_csv('cases.csv')")


def _read_long(path: Path, rows: list[list[str]], kind: Long, last_day) -> Counts:
    header = [cell.casefold() for cell in rows[0]]
    at_day, at_country, at_count = (header.index(name) for name in (kind.day, kind.country, kind.count))
    at_part = header.index(kind.parts) if kind.parts in header else None
    at_continent = header.index("continent") if "continent" in header else None
    days: dict[str, date] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise BadInput(f"{path}, row {number}: {len(row)} cells, but row 1 has {len(header)}")
        if row[at_day] not in days:
            try:
                days[row[at_day]] = datetime.strptime(row[at_day][:10], kind.form).date()
            except ValueError:
                raise bad(path, number, at_day, row[at_day], f"is not a date, in the form {kind.form}") from None
    last = _check_days(path, sorted(set(days.values())), last_day)

    counts: dict[str, dict[date, int]] = {}
    seen: dict[tuple, int] = {}
    sums: dict[str, None] = {}
    for number, row in enumerate(rows[1:], start=2):
        name, day, cell = row[at_country], days[row[at_day]], row[at_count]
        if name in AGGREGATES or (at_continent is not None and not row[at_continent]):
            sums[name] = None
            continue
        if not name:
            raise bad(path, number, at_country, "", "is not the name of a country")
        if not name.isprintable():
            raise bad(path, number, at_country, name, "holds a character that cannot be shown: is it the name?")
        of_country = counts.setdefault(name, {})
        if day > last or not cell:
            continue
        corrected = kind.daily and cell.startswith("-")
        count = -read_count(path, number, at_count, cell[1:]) if corrected else read_count(path, number, at_count, cell)
        place = (name, day) if at_part is None else (name, day, row[at_part])
        if place in seen:
            if seen[place] != count:
                raise bad(path, number, at_country, name, f"has another count for {day} in an earlier row")
            continue
        seen[place] = count
        of_country[day] = of_country.get(day, 0) + count
    return _counts(path, counts, days.values(), last, kind.daily, sums,
                   f"A table of {kind.source}, with a row for each day and country.")


def _read_wide(path: Path, rows: list[list[str]], last_day) -> Counts:
    names = rows[0][1:]
    for column, name in enumerate(names, start=1):
        if not name or name in names[:column - 1]:
            raise bad(path, 1, column, name, "repeats an earlier column" if name else "is not the name of a country")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise BadInput(f"{path}, row {number}: {len(row)} cells, but row 1 has {len(rows[0])}")
    cells = [row[0] for row in rows[1:]]
    days = consecutive(cells) or [read_day(cell) for cell in cells]
    for number, day in enumerate(days, start=2):
        if day is None or day in days[:number - 2]:
            raise bad(path, number, 0, cells[number - 2], "repeats an earlier row" if day else "is not a date")
    last = _check_days(path, sorted(days), last_day)
    sums = {name: None for name in names if name in AGGREGATES}
    counts = {name: {day: read_count(path, number, column, row[column])
                     for number, (day, row) in enumerate(zip(days, rows[1:], strict=True), start=2)
                     if day <= last and row[column]}
              for column, name in enumerate(names, start=1) if name not in sums}
    return _counts(path, counts, days, last, False, sums, "A table with a column for each country.")


def _check_days(path: Path, days: list[date], last_day) -> date:
    """The last day that is used, of the days in the file, in order."""
    if len(days) < 2:
        raise BadInput(f"{path}: at least two days are needed, there are {len(days)}")
    for day, following in itertools.pairwise(days):
        if following - day != timedelta(days=1):
            raise BadInput(f"{path}: no row for the days between {day} and {following}")
    return last_day(days[0], days[-1])


def _counts(path: Path, counts: dict[str, dict[date, int]], days, last: date, daily: bool, sums, note: str) -> Counts:
    if not counts:
        raise BadInput(f"{path}: there is no country below the heading")
    dates = pd.date_range(str(min(days)), str(last), name="date")
    table = np.full((len(counts), len(dates)), np.nan)
    for row, of_country in zip(table, counts.values(), strict=True):
        for day, count in of_country.items():
            row[(day - min(days)).days] = count
    found = pd.DataFrame(table, pd.Index(counts, name="country"), dates)
    filled = found.fillna(0) if daily else found.ffill(axis=1).fillna(0)
    gaps = int(found.isna().sum().sum() - (found.ffill(axis=1).isna()).sum().sum())
    notes = [note]
    if sums:
        notes.append(f"Sums of several countries, left out: {', '.join(sums)}.")
    if gaps:
        notes.append(f"Counts that are missing after the first of a country: {gaps}; "
                     f"{'they are 0' if daily else 'each is that of the day before'}.")
    return Counts(filled.astype("int64"), daily, notes, max(days))

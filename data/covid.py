"""Case counts from a file: the file is found and read, and every cell is checked.

Read next: cells.py, the file as rows of cells.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from data import BadInput, epidemic, shown
from data.cells import bad, read_count, read_rows
from data.countries import iso2
from data.dates import consecutive, read_day
from data.download import DownloadError, fetch
from data.layouts import read_layout, wanted

CACHE = Path(__file__).parent / "cache"
SOURCE = "time_series_covid19_confirmed_global.csv"
SOURCE_URL = (
    "https://raw.githubusercontent.com/CSSEGISandData/COVID-19/master/"
    f"csse_covid_19_data/csse_covid_19_time_series/{SOURCE}"
)
LAST_DAY = "2020-04-12"
HEADINGS = {  # what the columns beside the days are called
    "Province/State": {"province/state", "province_state", "province", "state"},
    "Country/Region": {"country/region", "country_region", "country", "country name", "location"},
    "Lat": {"lat", "latitude"},
    "Long": {"long", "long_", "lon", "longitude"},
}
MOST_FALLS = 0.05  # of the steps from day to day


@dataclass(frozen=True)
class CaseCounts:
    """Cumulative confirmed cases of every country on every day.

    cumulative  (T, C) int64; index: consecutive days, named "date"; columns: countries, sorted
    source      short name for titles and metrics: the file's name, or "simulated epidemic (seed 0)"
    simulated   True when the counts are about no real country
    notes       sentences for the log
    """

    cumulative: pd.DataFrame
    source: str
    simulated: bool
    notes: tuple[str, ...] = ()

    @property
    def new_cases(self) -> pd.DataFrame:
        """Daily differences (T - 1, C), int64; negative where the source corrected itself."""
        return self.cumulative.diff().iloc[1:].astype("int64")


def load_cases(
    csv: str | Path = "auto", until: str | None = LAST_DAY, log: Callable[[str], None] = print, daily: bool = False
) -> CaseCounts:
    """Case counts from a file, from the source, or simulated, up to and including the day `until`.

    csv    a path; or "simulated"; or "auto": what the folder NN_DATA holds (covid/covid_19.csv or the
           source's own file), else the cache, else a download into the cache, else the simulated epidemic
    until  a date as 2020-04-12, or None for all days. A date outside the file is refused, with one exception:
           a file without the default date is used whole, since nobody asked for that date.
    log    takes one line that says what was done
    daily  the file of the path `csv` has the new cases of each day, which are added up

    Raises BadInput for a damaged file (also for one in NN_DATA or in the cache) and for a wrong date.
    """
    if csv == "simulated":
        return _simulated(until)
    if csv != "auto":
        return read_cases(csv, until, daily)
    if folder := os.environ.get("NN_DATA"):
        for name in ("covid_19.csv", SOURCE):
            if (path := Path(folder, "covid", name)).exists():
                return read_cases(path, until)
        log(f"NN_DATA: {folder} holds neither covid/covid_19.csv nor covid/{SOURCE}.")
    try:
        path = fetch(SOURCE_URL, CACHE, SOURCE, check=read_cases, log=log)
    except DownloadError as error:
        log(f"The real case counts could not be downloaded: {error}. A file that you have can be given by --csv.")
        log("Using the simulated epidemic instead: its numbers are not about real countries.")
        return _simulated(until)
    return read_cases(path, until)


def read_cases(path: str | Path, until: str | None = None, daily: bool = False) -> CaseCounts:
    """Case counts from a CSV file. A table with a row for each country is in one of two formats, told apart by content:

    pivot table   three header rows: names and dates; "sum" in every column; "Country/Region" alone
    the source's  one header row: Province/State, Country/Region, Lat, Long, dates; provinces are summed. Other common
                  headings will do (Country, Country_Region, ...), and only the country and the days are needed

    Tables with a row for each day and country (Our World in Data, WHO, ECDC, Kaggle) or a column for each country are
    read too: see `layouts.read_layout`.

    Dates are 1/22/20, 1/22/2020 or 2020-01-22, in any order of the columns; or in other forms, as spreadsheets write
    them, if exactly one reading makes the columns consecutive days.
    until   as in `load_cases`; None for all days. Cells of later days are not looked at
    daily   the counts are new cases, and are added up

    Raises BadInput, naming file, row, column and reason, for anything else: days missing or doubled, a country or
    province doubled or spelled in two ways, a count that is empty, not a number, negative, fractional or larger
    than the number of people.
    Counts may fall from one day to the next, where the source corrected itself: they are kept, and a note says so. If
    many fall, they are daily counts and not cumulative ones: BadInput. A row that is the sum of all others is left out;
    what looks like the sum of some, or like one country under two names, is kept, and a note says so.
    """
    path = Path(path)
    rows = read_rows(path, wanted)

    def last_day(start, end):
        return _last_day(until, start, end, shown(path.name))

    if found := read_layout(path, rows, last_day):
        table, of_days, notes, end = found
        if daily and not of_days:
            raise BadInput(f"{path}: --daily is for new cases, and this table has cumulative counts")
    else:
        table, end = _read_row_a_country(path, rows, last_day)
        notes, of_days = ["The counts of each day were added up (--daily)."] if daily else [], daily
    if of_days:
        table = table.cumsum(axis=1)
    cumulative = table.groupby(level="country", sort=False).sum().T
    _check_cumulative(path, cumulative)
    if len(table) > len(cumulative.columns):
        notes.insert(0, f"Provinces are summed: {len(table)} rows make {len(cumulative.columns)} countries.")
    cumulative, about_totals = without_totals(cumulative)
    return _case_counts(cumulative.sort_index(axis=1), shown(path.name), False, notes + about_totals, end)


def _read_row_a_country(
    path: Path, rows: list[list[str]], last_day: Callable[[date, date], date]
) -> tuple[pd.DataFrame, date]:
    """The counts (rows, days), in the order of the file, and the last day in the file."""
    header = [next((name for name, others in HEADINGS.items() if cell.casefold() in others), cell) for cell in rows[0]]
    if header[:1] == [""] and "Country/Region" in header:  # the index that pandas wrote
        header, rows = header[1:], [row[1:] for row in rows]
    if "Country/Region" in header:
        first, country = 1, header.index("Country/Region")
        province = header.index("Province/State") if "Province/State" in header else None
    elif header[:1] == [""] and len(rows) > 2 and rows[2][:1] == ["Country/Region"] and not any(rows[2][1:]):
        first, country, province = 3, 0, None
        header = ["Country/Region", *header[1:]]
    else:
        raise BadInput(
            f"{path}: is in neither of the two formats of case counts: row 1 has a heading Country/Region, or "
            "it begins with an empty cell and row 3 has Country/Region alone"
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BadInput(f"{path}, row {number}: {len(row)} cells, but row 1 has {len(header)}")
    if first == 3:
        for column, cell in enumerate(rows[1][1:], start=1):
            if cell != "sum":
                raise bad(path, 2, column, cell, "is where a pivot table of sums has 'sum'")
    days = _read_days(path, header)
    last = last_day(min(days), max(days))
    columns = [column for day, column in days.items() if day <= last]

    counts: dict[tuple[str, str], list[int]] = {}
    spelling: dict[str, str] = {}
    for number, row in enumerate(rows[first:], start=first + 1):
        name, part = row[country], "" if province is None else row[province]
        place, both = (name.casefold(), part.casefold()), ", ".join(filter(None, (name, part)))
        if not name:
            raise bad(path, number, country, "", "is not the name of a country")
        if not both.isprintable():
            raise bad(path, number, country, both, "holds a character that cannot be shown: is it the name?")
        if place in counts:
            raise bad(path, number, country, both, "is in an earlier row already")
        if spelling.setdefault(place[0], name) != name:
            raise bad(path, number, country, name, f"is spelled {spelling[place[0]][:40]!r} in an earlier row")
        counts[place] = [read_count(path, number, column, row[column]) for column in columns]
    if not counts:
        raise BadInput(f"{path}: there is no country below the heading")

    names = pd.Index([spelling[name] for name, _ in counts], name="country")
    dates = pd.date_range(str(min(days)), periods=len(columns), name="date")
    return pd.DataFrame(list(counts.values()), names, dates, "int64"), max(days)


def _simulated(until: str | None) -> CaseCounts:
    cumulative, source = epidemic.simulate(seed=0), "simulated epidemic (seed 0)"
    start, end = (day.date() for day in cumulative.index[[0, -1]])
    last = _last_day(until, start, end, source)
    return _case_counts(cumulative.loc[: str(last)], source, True, [], end)


def _last_day(until: str | None, start: date, end: date, source: str) -> date:
    """The last day to use, of the days from start to end."""
    if until is None or (until == LAST_DAY and not start < date.fromisoformat(LAST_DAY) <= end):
        return end
    try:
        day = datetime.strptime(until, "%Y-%m-%d").date()
    except ValueError:
        raise BadInput(f"until: {until!r} is not a date such as {LAST_DAY}") from None
    if not start < day <= end:
        raise BadInput(
            f"until: {until} is out of range: {source} needs a day from {start + timedelta(days=1)} to {end}"
        )
    return day


def _check_cumulative(path: Path, cumulative: pd.DataFrame) -> None:
    """BadInput if the counts fall too often to be cumulative: real cumulative files fall in 0.2 % of the steps."""
    falls = np.diff(cumulative, axis=0) < 0
    if falls.sum() > max(1, MOST_FALLS * falls.size):
        raise BadInput(
            f"{path}: {100 * falls.mean():.0f} % of the counts are lower than on the day before: these look like daily "
            "counts, and cumulative ones are needed; --daily reads them as daily"
        )


def without_totals(cumulative: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The counts (T, C), countries in the order of the file, without a total of all others; and notes about it, about
    totals of some that follow each other, and about two names of one country.
    """
    notes, values = [], cumulative.to_numpy()
    is_total = (2 * values == values.sum(axis=1, keepdims=True)).all(axis=0) & values.any(axis=0)
    if len(cumulative.columns) > 2 and is_total.any():
        name = cumulative.columns[is_total.argmax()]
        notes.append(f"{name} is the sum of all others and was left out.")
        cumulative = cumulative.drop(columns=name)
    notes += [f"{name} equals the sum of the rows {first} to {last} and was kept."
              for name, first, last in _sums_of_neighbours(cumulative)]
    names = pd.Series(cumulative.columns, [iso2(name) for name in cumulative.columns])
    notes += [f"One country under several names, which were kept apart: {', '.join(same)}."
              for _, same in names[names.index.notna()].groupby(level=0) if len(same) > 1]
    return cumulative, notes


def _sums_of_neighbours(cumulative: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(name, first, last) for each column that equals, on every day, the sum of the columns from first to last."""
    values, names = cumulative.to_numpy(), list(cumulative.columns)
    upto = np.concatenate([np.zeros((len(values), 1), np.int64), values.cumsum(axis=1)], axis=1)
    at_the_end = np.triu(upto[-1] - upto[-1][:, None], 2)  # of the columns first to end - 1, two or more
    found = {}
    for first, end in np.argwhere(np.isin(at_the_end, values[-1][values[-1] > 0])):
        total = upto[:, end] - upto[:, first]
        for c in np.flatnonzero(values[-1] == total[-1]):
            several = (values[-1, first:end] > 0).sum() > 1
            if several and not first <= c < end and (values[:, c] == total).all():
                found.setdefault(names[c], (names[c], names[first], names[end - 1]))
    return list(found.values())


def _case_counts(cumulative: pd.DataFrame, source: str, simulated: bool, notes: list[str], end: date) -> CaseCounts:
    """With notes on the days that are used, of those until `end`, and on the corrections among them."""
    first, last = (day.date() for day in cumulative.index[[0, -1]])
    left_out = f"; {(end - last).days} days after that are left out (--until)" if end > last else ""
    notes = [*notes, f"Days used: {first} to {last}{left_out}."]
    falls = np.argwhere(np.diff(cumulative, axis=0) < 0)
    if len(falls):
        named = [f"{cumulative.columns[c]} {cumulative.index[t + 1]:%Y-%m-%d}" for t, c in falls[:5]]
        where = ", ".join(named) + ", ..." * (len(falls) > 5)
        notes.append(f"Negative daily differences, kept as corrections of the source: {len(falls)} ({where}).")
    return CaseCounts(cumulative, source, simulated, tuple(notes))


def _read_days(path: Path, header: list[str]) -> dict[date, int]:
    """The column of every day, in the order of the days."""
    others = [column for column, cell in enumerate(header) if cell not in HEADINGS]
    for column, cell in enumerate(header):
        if cell in HEADINGS and header.index(cell) < column:
            raise bad(path, 1, column, cell, "repeats an earlier column")
    if len(others) > 1 and (dates := consecutive([header[column] for column in others])):
        return dict(zip(dates, others, strict=True))
    columns: dict[date, int] = {}
    for column in others:
        day = read_day(header[column])
        if day is None:
            raise bad(path, 1, column, header[column], "is not a date such as 1/22/20 or 2020-01-22")
        if day in columns:
            raise bad(path, 1, column, header[column], "repeats an earlier column")
        columns[day] = column
    if len(columns) < 2:
        raise BadInput(f"{path}, row 1: at least two columns of dates are needed, there are {len(columns)}")
    for day, following in itertools.pairwise(sorted(columns)):
        if following - day != timedelta(days=1):
            raise BadInput(f"{path}, row 1: no column for the days between {day} and {following}")
    return {day: columns[day] for day in sorted(columns)}

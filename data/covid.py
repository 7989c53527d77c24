"""Case counts from a file: the file is found and read, and every cell is checked.

Read next: dates.py, how the headings of days are read.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from data import BadInput, epidemic, shown
from data.countries import iso2
from data.dates import consecutive, read_day
from data.download import DownloadError, fetch

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
MOST_BYTES = 2**25  # 20 times the source's own file with all its days
WHOLE_NUMBER = re.compile(r"([0-9]+)(\.0*)?")
DOUBTFUL = re.compile(r"[0-9]{1,3}(\.[0-9]{3})+")  # a point before thousands, or before decimals?
MOST_FALLS = 0.05  # of the steps from day to day
MOST_DIGITS = 10  # as many as the number of people alive has


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
        log(f"The real case counts could not be downloaded: {error}.")
        log("Using the simulated epidemic instead: its numbers are not about real countries.")
        return _simulated(until)
    return read_cases(path, until)


def read_cases(path: str | Path, until: str | None = None, daily: bool = False) -> CaseCounts:
    """Case counts from a CSV file in either of two formats, told apart by content.

    pivot table   three header rows: names and dates; "sum" in every column; "Country/Region" alone
    the source's  one header row: Province/State, Country/Region, Lat, Long, dates; provinces are summed. Other common
                  headings will do (Country, Country_Region, ...), and only the country and the days are needed

    UTF-8, or UTF-16 with its byte order mark; commas, semicolons or tabs; "607.0" is 607. Dates are 1/22/20, 1/22/2020
    or 2020-01-22, in any order of the columns; or in other forms, as spreadsheets write them, if exactly one reading
    makes the columns consecutive days.
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
    rows = _read_rows(path)
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
                raise _bad(path, 2, column, cell, "is where a pivot table of sums has 'sum'")
    days = _read_days(path, header)
    last = _last_day(until, min(days), max(days), shown(path.name))
    columns = [column for day, column in days.items() if day <= last]

    counts: dict[tuple[str, str], list[int]] = {}
    spelling: dict[str, str] = {}
    for number, row in enumerate(rows[first:], start=first + 1):
        name, part = row[country], "" if province is None else row[province]
        place, both = (name.casefold(), part.casefold()), ", ".join(filter(None, (name, part)))
        if not name:
            raise _bad(path, number, country, "", "is not the name of a country")
        if not both.isprintable():
            raise _bad(path, number, country, both, "holds a character that cannot be shown: is it the name?")
        if place in counts:
            raise _bad(path, number, country, both, "is in an earlier row already")
        if spelling.setdefault(place[0], name) != name:
            raise _bad(path, number, country, name, f"is spelled {spelling[place[0]][:40]!r} in an earlier row")
        counts[place] = [_read_count(path, number, column, row[column]) for column in columns]
    if not counts:
        raise BadInput(f"{path}: there is no country below the heading")

    names = pd.Index([spelling[name] for name, _ in counts], name="country")
    dates = pd.date_range(str(min(days)), periods=len(columns), name="date")
    table = pd.DataFrame(list(counts.values()), names, dates, "int64")
    if daily:
        table = table.cumsum(axis=1)
    cumulative = table.groupby(level="country", sort=False).sum().T
    _check_cumulative(path, cumulative)
    notes = []
    if len(counts) > len(cumulative.columns):
        notes.append(f"Provinces are summed: {len(counts)} rows make {len(cumulative.columns)} countries.")
    if daily:
        notes.append("The counts of each day were added up (--daily).")
    cumulative, found = without_totals(cumulative)
    notes += found
    return _case_counts(cumulative.sort_index(axis=1), shown(path.name), False, notes, max(days))


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


def _bad(path: Path, row: int, column: int, cell: str, why: str) -> BadInput:
    """Rows and columns as a spreadsheet counts them; `row` from 1, `column` from 0."""
    return BadInput(f"{path}, row {row}, column {column + 1}: {cell[:40]!r} {why}")


def _read_rows(path: Path) -> list[list[str]]:
    """The cells of a CSV file without the blanks around them and without empty rows at the end."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise BadInput(f"{path}: is larger than {MOST_BYTES:,} bytes, too large for a table of case counts")
    if raw.startswith((b"PK", b"\x1f\x8b")):
        raise BadInput(f"{path}: is an archive or a spreadsheet: give the CSV file itself")
    try:
        text = raw.decode("utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}, row {row}: not UTF-8 text: save the file as 'CSV UTF-8'") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"{path}, row {row}: contains a NUL byte and is not text: save the file as 'CSV UTF-8'")
    text = unicodedata.normalize("NFC", text)  # one name, one spelling: an accent may be a character of its own
    if text.lstrip().startswith("<"):
        raise BadInput(f"{path}: is a web page, not a CSV file")
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise BadInput(f"{path}, row {reader.line_num}: not CSV: {error}") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise BadInput(f"{path}: is empty")
    return rows


def _read_days(path: Path, header: list[str]) -> dict[date, int]:
    """The column of every day, in the order of the days."""
    others = [column for column, cell in enumerate(header) if cell not in HEADINGS]
    for column, cell in enumerate(header):
        if cell in HEADINGS and header.index(cell) < column:
            raise _bad(path, 1, column, cell, "repeats an earlier column")
    if len(others) > 1 and (dates := consecutive([header[column] for column in others])):
        return dict(zip(dates, others, strict=True))
    columns: dict[date, int] = {}
    for column in others:
        day = read_day(header[column])
        if day is None:
            raise _bad(path, 1, column, header[column], "is not a date such as 1/22/20 or 2020-01-22")
        if day in columns:
            raise _bad(path, 1, column, header[column], "repeats an earlier column")
        columns[day] = column
    if len(columns) < 2:
        raise BadInput(f"{path}, row 1: at least two columns of dates are needed, there are {len(columns)}")
    for day, following in itertools.pairwise(sorted(columns)):
        if following - day != timedelta(days=1):
            raise BadInput(f"{path}, row 1: no column for the days between {day} and {following}")
    return {day: columns[day] for day in sorted(columns)}


def _read_count(path: Path, row: int, column: int, cell: str) -> int:
    number = WHOLE_NUMBER.fullmatch(cell)
    if DOUBTFUL.fullmatch(cell):
        raise _bad(path, row, column, cell, f"may mean {cell.partition('.')[0]} or {cell.replace('.', ',')}: write "
                   "whole numbers without a point")
    if number and len(number[1]) <= MOST_DIGITS:
        return int(number[1])
    if not cell:
        why = "is an empty cell"
    elif number:
        why = "has more digits than the number of people"
    elif re.fullmatch(r"-[0-9.]+", cell):
        why = "is negative, which a cumulative count cannot be"
    elif re.fullmatch(r"[0-9]*\.[0-9]+", cell):
        why = "is not a whole number"
    else:
        why = "is not a number in plain digits"
    raise _bad(path, row, column, cell, why)

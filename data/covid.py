"""Case counts from a file: the file is found and read, and every cell is checked.

Read next: countries.py, from names to codes.
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
from data.download import DownloadError, fetch

CACHE = Path(__file__).parent / "cache"
SOURCE = "time_series_covid19_confirmed_global.csv"
SOURCE_URL = (
    "https://raw.githubusercontent.com/CSSEGISandData/COVID-19/master/"
    f"csse_covid_19_data/csse_covid_19_time_series/{SOURCE}"
)
LAST_DAY = "2020-04-12"
NOT_DAYS = {"Province/State", "Country/Region", "Lat", "Long"}
MOST_BYTES = 2**25  # 20 times the source's own file with all its days
WHOLE_NUMBER = re.compile(r"([0-9]+)(\.0*)?")
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
    csv: str | Path = "auto", until: str | None = LAST_DAY, log: Callable[[str], None] = print
) -> CaseCounts:
    """Case counts from a file, from the source, or simulated, up to and including the day `until`.

    csv    a path; or "simulated"; or "auto": what the folder NN_DATA holds (covid/covid_19.csv or the
           source's own file), else the cache, else a download into the cache, else the simulated epidemic
    until  a date as 2020-04-12, or None for all days. A date outside the file is refused, with one exception:
           a file that ends before the default date is used whole, since nobody asked for that date.
    log    takes one line that says what was done

    Raises BadInput for a damaged file (also for one in NN_DATA or in the cache) and for a wrong date.
    """
    if csv == "simulated":
        return _simulated(until)
    if csv != "auto":
        return read_cases(csv, until)
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


def read_cases(path: str | Path, until: str | None = None) -> CaseCounts:
    """Case counts from a CSV file in either of two formats, told apart by content.

    pivot table   three header rows: names and dates; "sum" in every column; "Country/Region" alone
    the source's  one header row: Province/State, Country/Region, Lat, Long, dates; provinces are summed

    UTF-8, or UTF-16 with its byte order mark; commas, semicolons or tabs; dates as 1/22/20, 1/22/2020 or
    2020-01-22 in any order; "607.0" is 607.
    until   as in `load_cases`; None for all days

    Raises BadInput, naming file, row, column and reason, for anything else: days missing or doubled, a country or
    province doubled or spelled in two ways, a count that is empty, not a number, negative, fractional or larger
    than the number of people.
    Counts may fall from one day to the next, where the source corrected itself: they are kept, and a note says so.
    """
    path = Path(path)
    rows = _read_rows(path)
    header = rows[0]
    if {"Province/State", "Country/Region"} <= set(header):
        first, country, province = 1, header.index("Country/Region"), header.index("Province/State")
    elif header[:1] == [""] and len(rows) > 2 and rows[2][:1] == ["Country/Region"] and not any(rows[2][1:]):
        first, country, province = 3, 0, None
        header = ["Country/Region", *header[1:]]
    else:
        raise BadInput(
            f"{path}: is in neither of the two formats of case counts: row 1 has Province/State and Country/Region, or "
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
        counts[place] = [_read_count(path, number, column, row[column]) for column in days.values()]
    if not counts:
        raise BadInput(f"{path}: there is no country below the heading")

    names = pd.Index([spelling[name] for name, _ in counts], name="country")
    dates = pd.date_range(str(min(days)), periods=len(days), name="date")
    table = pd.DataFrame(list(counts.values()), names, dates, "int64")
    cumulative = table.groupby(level="country").sum().T
    notes: tuple[str, ...] = ()
    if len(counts) > len(cumulative.columns):
        notes = (f"Provinces are summed: {len(counts)} rows make {len(cumulative.columns)} countries.",)
    return _case_counts(cumulative, shown(path.name), False, notes, until)


def _simulated(until: str | None) -> CaseCounts:
    return _case_counts(epidemic.simulate(seed=0), "simulated epidemic (seed 0)", True, (), until)


def _case_counts(
    cumulative: pd.DataFrame, source: str, simulated: bool, notes: tuple[str, ...], until: str | None
) -> CaseCounts:
    """Cut the days at `until`, then note the corrections among those that are left."""
    start, end = cumulative.index[[0, -1]]
    if until is not None and not (until == LAST_DAY and end < pd.Timestamp(LAST_DAY)):
        try:
            day = pd.Timestamp(datetime.strptime(until, "%Y-%m-%d"))
        except ValueError:
            raise BadInput(f"until: {until!r} is not a date such as {LAST_DAY}") from None
        if not start < day <= end:
            raise BadInput(
                f"until: {until} is out of range: {source} needs a day "
                f"from {start + pd.Timedelta(days=1):%Y-%m-%d} to {end:%Y-%m-%d}"
            )
        cumulative = cumulative.loc[:day]
    falls = np.argwhere(np.diff(cumulative, axis=0) < 0)
    if len(falls):
        named = [f"{cumulative.columns[c]} {cumulative.index[t + 1]:%Y-%m-%d}" for t, c in falls[:5]]
        where = ", ".join(named) + ", ..." * (len(falls) > 5)
        notes += (f"Negative daily differences, which are kept as corrections of the source: {len(falls)} ({where}).",)
    return CaseCounts(cumulative, source, simulated, notes)


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
    columns: dict[date | str, int] = {}
    for column, cell in enumerate(header):
        heading = cell if cell in NOT_DAYS else _read_day(cell)
        if heading is None:
            raise _bad(path, 1, column, cell, "is not a date such as 1/22/20 or 2020-01-22")
        if heading in columns:
            raise _bad(path, 1, column, cell, "repeats an earlier column")
        columns[heading] = column
    days = {day: columns[day] for day in sorted(columns.keys() - NOT_DAYS)}
    if len(days) < 2:
        raise BadInput(f"{path}, row 1: at least two columns of dates are needed, there are {len(days)}")
    for day, following in itertools.pairwise(days):
        if following - day != timedelta(days=1):
            raise BadInput(f"{path}, row 1: no column for the days between {day} and {following}")
    return days


def _read_day(cell: str) -> date | None:
    for form in ("%m/%d/%y", "%Y-%m-%d", "%m/%d/%Y"):
        try:
            day = datetime.strptime(cell, form).date()
        except ValueError:
            continue
        if 1900 <= day.year < 2100:
            return day
    return None


def _read_count(path: Path, row: int, column: int, cell: str) -> int:
    number = WHOLE_NUMBER.fullmatch(cell)
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

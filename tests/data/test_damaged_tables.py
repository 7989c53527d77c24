"""Case counts out of damaged files: refused in one line, or read as they stand there; never anything else.

What stands there is said by `plainly`, which knows nothing of damage: it takes every number that it can find.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from data import BadInput
from data.covid import read_cases

PIVOT = """\
,Lat,Long,1/30/20,1/31/20,2/1/20,2/2/20,2/3/20
,sum,sum,sum,sum,sum,sum,sum
Country/Region,,,,,,,
"Korea, South",36.0,128.0,1,2,5,4,6
Curaçao,12.2,-69.0,0,0,3,3,3
Guyana,5.0,-58.75,0,0,7,607,700
"""
SOURCE = """\
Province/State,Country/Region,Lat,Long,1/30/20,1/31/20,2/1/20,2/2/20,2/3/20
,"Korea, South",36.0,128.0,1,2,5,4,6
,Curaçao,12.2,-69.0,0,0,3,3,3
Interior,Guyana,5.0,-58.75,0,0,3,600,650
Coast,Guyana,5.1,-58.75,0,0,4,7,50
"""
WHOLE = [table.encode() for table in (PIVOT, SOURCE)]
WHOLE += [table.replace(b"\n", b"\r\n") for table in WHOLE]
WHOLE += [PIVOT.replace(", ", "-").replace(",", ";").encode(), SOURCE.encode("utf-16"), b"\xef\xbb\xbf" + WHOLE[1]]

ODD = ["", "0", "-1", "1.5", "8.0", "1e308", "nan", "inf", "9" * 10, "1" + "0" * 30, "+5", "0x10", "1_000", "1 000",
       "٣", "=1+1", '"', '""', "'", "<b>", "\0", "\ufeff", "\u2028", "\xa0", ",", ";", "\t", "\r", "\n", " ", "#", "\\",
       "sum", "1/30/20", "2/4/20", "2020-02-04", "2/4/2020", "Guyana", "guyana", "Country/Region", "Province/State"]
odd = st.sampled_from([text.encode() for text in ODD]) | st.binary(max_size=3)


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files, hurt up to three times."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        ways = ["flip", "digit", "digit", "cut", "insert", "cell", "swap cells", "double line", "swap lines"]
        way = draw(st.sampled_from(ways))
        places = st.integers(0, max(0, len(data) - 1))
        at, to = sorted((draw(places), draw(places)))
        if way == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1:]
        elif way == "digit" and (digits := [m.start() for m in re.finditer(rb"[0-9]", data)]):
            at = draw(st.sampled_from(digits))
            data = data[:at] + draw(st.sampled_from([b"0", b"7", b"12", b""])) + data[at + 1:]
        elif way == "cut":
            data = data[:at] + data[draw(st.sampled_from([at + 1, to, len(data)])):]
        elif way == "insert":
            data = data[:at] + draw(odd) + data[at:]
        elif way in ("cell", "swap cells"):
            pieces = re.split(rb"([,\n])", data)
            i, j = (2 * draw(st.integers(0, len(pieces) // 2)) for _ in range(2))
            pieces[i], pieces[j] = (draw(odd), pieces[j]) if way == "cell" else (pieces[j], pieces[i])
            data = b"".join(pieces)
        elif way in ("double line", "swap lines"):
            lines = data.splitlines(keepends=True) or [b""]
            i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if way == "double line":
                lines.insert(i, lines[j])
            else:
                lines[i], lines[j] = lines[j], lines[i]
            data = b"".join(lines)
    return data


def plainly(data: bytes) -> dict[tuple[str, date], int]:
    """The cases of each country on each day, by reading what is there without a question."""
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8").removeprefix("\ufeff")
    tables = [list(csv.reader(io.StringIO(text, newline=""), delimiter=separator)) for separator in ",;\t"]
    rows = max(tables, key=lambda rows: len(rows[0]))
    heading = [cell.strip() for cell in rows[0]]
    first, column = (1, heading.index("Country/Region")) if "Country/Region" in heading[1:] else (3, 0)
    cases: Counter[tuple[str, date]] = Counter()
    for row in rows[first:]:
        for cell, found in zip(row, map(re.compile(r"(\d+)[-/](\d+)[-/](\d+)").fullmatch, heading), strict=False):
            if found:
                a, b, c = map(int, found.groups())
                day = date(a, b, c) if a > 99 else date(c if c > 99 else c + (1900 if c > 68 else 2000), a, b)
                cases[unicodedata.normalize("NFC", row[column].strip()), day] += int(float(cell))
    return dict(cases)


def read_or_refused(data: bytes) -> None:
    path = Path("cases.csv")
    path.write_bytes(data)
    try:
        table = read_cases(path).cumulative
    except BadInput as refusal:
        event("refused")
        line = str(refusal)
        assert line.startswith("cases.csv") and line.isprintable() and len(line) < 250
        return
    event("read")
    assert {(name, day.date()): n for name, column in table.items() for day, n in column.items()} == plainly(data)
    assert (table.index[1:] - table.index[:-1] == timedelta(days=1)).all() and table.to_numpy().min() >= 0


@pytest.mark.parametrize("data", WHOLE)
def test_what_is_whole_is_read(data: bytes) -> None:
    path = Path("cases.csv")
    path.write_bytes(data)
    assert read_cases(path).cumulative["Guyana"].tolist() == [0, 0, 7, 607, 700]
    assert plainly(data)["Guyana", date(2020, 2, 2)] == 607


@settings(max_examples=150, deadline=timedelta(minutes=1), database=None, derandomize=True)
@example(b",,,\n,,,\n")
@example(PIVOT.replace("Country/Region,,,,,,,", "").encode())
@example(b"1/30/20" + PIVOT.encode())
@given(damaged(WHOLE))
def test_a_damaged_table_is_read_as_it_stands_or_refused(data: bytes) -> None:
    read_or_refused(data)


@pytest.mark.long
@settings(max_examples=30_000, deadline=timedelta(minutes=1), database=None)
@given(damaged(WHOLE))
def test_thousands_of_damaged_tables(data: bytes) -> None:
    read_or_refused(data)

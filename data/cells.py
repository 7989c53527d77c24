"""A CSV file as rows of cells, and cells as counts: whatever is wrong is said with its row and its column.

Read next: layouts.py, which tables there are.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

from data import BadInput

MOST_BYTES = 2**27  # that of Our World in Data, the largest that is in use, has 100 million
WHOLE_NUMBER = re.compile(r"([0-9]+)(\.0*)?")
DOUBTFUL = re.compile(r"[0-9]{1,3}(\.[0-9]{3})+")  # a point before thousands, or before decimals?
MOST_DIGITS = 10  # as many as the number of people alive has


def bad(path: Path, row: int, column: int, cell: str, why: str) -> BadInput:
    """Rows and columns as a spreadsheet counts them; `row` from 1, `column` from 0."""
    return BadInput(f"{path}, row {row}, column {column + 1}: {cell[:40]!r} {why}")


def read_rows(path: Path, wanted: Callable[[list[str]], set[int] | None]) -> list[list[str]]:
    """The cells of a CSV file, packed with gzip or not, without blanks around them, and without empty rows at the end.

    wanted      heading -> the columns that are needed, or None for all; below it the cells of others are left empty,
                which saves memory

    UTF-8, or UTF-16 with its byte order mark; commas, semicolons or tabs. BadInput for anything else.
    """
    raw = _read_bytes(path)
    if raw.startswith(b"PK"):
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
        rows = [[cell.strip() for cell in next(reader, [])]]
        columns = wanted(rows[0])
        rows += [[cell.strip() if columns is None or column in columns else "" for column, cell in enumerate(row)]
                 for row in reader]
    except csv.Error as error:
        raise BadInput(f"{path}, row {reader.line_num}: not CSV: {error}") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise BadInput(f"{path}: is empty")
    return rows


def _read_bytes(path: Path) -> bytes:
    if re.match(r"https?:/", path.as_posix()):
        raise BadInput(f"{path.as_posix().replace(':/', '://', 1)}: is an address on the web: download the file, and "
                       "give its path")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            raw = (gzip.GzipFile(fileobj=file) if packed else file).read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: is damaged ({error})") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise BadInput(f"{path}: holds more than {MOST_BYTES:,} bytes, too many for a table of case counts")
    return raw


def read_count(path: Path, row: int, column: int, cell: str) -> int:
    """A count of people; "607.0" is 607."""
    if cell.isascii() and cell.isdigit() and len(cell) <= MOST_DIGITS:  # nearly all
        return int(cell)
    number = WHOLE_NUMBER.fullmatch(cell)
    if DOUBTFUL.fullmatch(cell):
        raise bad(path, row, column, cell, f"may mean {cell.partition('.')[0]} or {cell.replace('.', ',')}: write "
                  "whole numbers without a point")
    if number and len(number[1]) <= MOST_DIGITS:
        return int(number[1])
    if not cell:
        why = "is an empty cell"
    elif number:
        why = "has more digits than the number of people"
    elif re.fullmatch(r"-[0-9.]+", cell):
        why = "is negative, which a count of cases cannot be"
    elif re.fullmatch(r"[0-9]*\.[0-9]+", cell):
        why = "is not a whole number"
    else:
        why = "is not a number in plain digits"
    raise bad(path, row, column, cell, why)

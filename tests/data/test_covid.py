"""Case counts: what is plainly meant is read, all else refused in one line."""

from __future__ import annotations

import codecs
import csv
import gzip
import os
import tracemalloc
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import BadInput, cells, covid
from data.countries import iso2
from data.download import DownloadError
from tests.data.tables import PIVOT, SOURCE

COUNTS = pd.DataFrame(
    {"Guyana": [0, 0, 7, 607], "Korea, South": [1, 2, 5, 4]},
    pd.date_range("2020-01-30", periods=4, name="date"),
).rename_axis(columns="country")


def write(text: str | bytes, name: str = "cases.csv") -> Path:
    path = Path(name).absolute()
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def same(counts: covid.CaseCounts) -> None:
    pd.testing.assert_frame_equal(counts.cumulative, COUNTS)


@pytest.mark.parametrize("text", [PIVOT, SOURCE], ids=["pivot", "source"])
def test_both_formats_are_read_whatever_the_name(text: str) -> None:
    counts = covid.read_cases(write(text, "any name.txt"))
    same(counts)
    assert (counts.source, counts.simulated) == ("any name.txt", False)
    assert counts.new_cases["Korea, South"].tolist() == [1, 3, -1]
    assert counts.new_cases["Guyana"].tolist() == [0, 7, 600]
    assert counts.new_cases.index[0] == pd.Timestamp("2020-01-31")
    assert set(counts.new_cases.dtypes) == {np.dtype("int64")}


DATES = "1/30/20,1/31/20,2/1/20,2/2/20"
MEANT = {
    "byte order mark": "\ufeff" + SOURCE,
    "UTF-16, little-endian": PIVOT.encode("utf-16-le").join((codecs.BOM_UTF16_LE, b"")),
    "UTF-16, big-endian": SOURCE.encode("utf-16-be").join((codecs.BOM_UTF16_BE, b"")),
    "Windows line ends": PIVOT.replace("\n", "\r\n"),
    "line ends of an old Mac": PIVOT.replace("\n", "\r"),
    "line ends mixed": SOURCE.replace("\n", "\r\n", 2),
    "no line end at the end": PIVOT[:-1],
    "quotes around every cell": "".join(
        ",".join(f'"{cell}"' for cell in row) + "\n" for row in csv.reader(PIVOT.splitlines())
    ),
    "whole number with a decimal point": PIVOT.replace("607", "607.0"),
    "zero before a number": PIVOT.replace("607", "0607"),
    "semicolons": PIVOT.replace(", ", "~").replace(",", ";").replace("~", ", "),
    "tabs": SOURCE.replace(", ", "~").replace(",", "\t").replace("~", ", "),
    "ISO dates": PIVOT.replace(DATES, "2020-01-30,2020-01-31,2020-02-01,2020-02-02"),
    "years of four digits": PIVOT.replace("/20", "/2020"),
    "dates in another order": PIVOT.replace(DATES, "1/30/20,1/31/20,2/2/20,2/1/20")
    .replace("1,2,5,4", "1,2,4,5")
    .replace("0,0,7,607", "0,0,607,7"),
    "blanks around": SOURCE.replace(",0,0,", ", 0 ,0,").replace("Guyana", " Guyana "),
    "empty rows at the end": PIVOT + ",,,,,,\n\n",
    "packed with gzip": gzip.compress(SOURCE.encode()),
}


@pytest.mark.parametrize("text", MEANT.values(), ids=MEANT)
def test_what_is_plainly_meant_is_read(text: str) -> None:
    same(covid.read_cases(write(text)))


DAMAGE = {
    "empty cell": (PIVOT, "0,0,7,607", "0,,7,607", "row 5, column 5: '' is an empty cell"),
    "text": (PIVOT, "607", "n/a", "row 5, column 7: 'n/a' is not a number"),
    "not a number": (PIVOT, "607", "nan", "row 5, column 7: 'nan' is not a number"),
    "infinite": (PIVOT, "607", "inf", "row 5, column 7: 'inf' is not a number"),
    "rounded by a spreadsheet": (SOURCE, "600", "6E+02", "row 3, column 8: '6E+02' is not a number"),
    "negative": (SOURCE, "600", "-600", "row 3, column 8: '-600' is negative"),
    "fraction": (PIVOT, "607", "607.5", "row 5, column 7: '607.5' is not a whole number"),
    "thousands": (PIVOT, "607", '"1,607"', "row 5, column 7: '1,607' is not a number"),
    "absurd": (PIVOT, "607", "6" * 11, "row 5, column 7: '66666666666' has more digits than the number of people"),
    "absurdly long": (PIVOT, "607", "6" * 5000, "has more digits"),
    "1 and 30 zeros": (SOURCE, "600", f"{10**30}", f"row 3, column 8: '1{'0' * 30}' has more"),
    "1e308": (PIVOT, "607", "1e308", "row 5, column 7: '1e308' is not a number"),
    "less than nothing": (PIVOT, "607", "-0", "row 5, column 7: '-0' is negative"),
    "formula": (PIVOT, "607", "=600+7", "row 5, column 7: '=600+7' is not a number"),
    "digits of another script": (PIVOT, "607", "٦٠٧", "row 5, column 7: '٦٠٧' is not a number"),
    "decimal comma": (PIVOT.replace(",", ";"), "607", "607,5", "row 5, column 7: '607,5' is not a number"),
    "short row": (PIVOT, "0,0,7,607", "0,0,7", "row 5: 6 cells, but row 1 has 7"),
    "empty row": (PIVOT, "Guyana", "\nGuyana", "row 5: 0 cells"),
    "no name": (PIVOT, "Guyana", "", "row 5, column 1: '' is not the name of a country"),
    "country twice": (PIVOT, "Guyana", '"Korea, South"', "row 5, column 1: 'Korea, South' is in"),
    "country twice, in capitals": (PIVOT, "Guyana", '"KOREA, SOUTH"', "row 5, column 1: 'KOREA, SOUTH' is in"),
    "country in two spellings": (SOURCE, "Coast,Guyana", "Coast,guyana", "row 4, column 2: 'guyana' is spelled 'Guy"),
    "line break in a name": (PIVOT, "Guyana", '"Guy\nana"', r"row 5, column 1: 'Guy\nana' holds a character"),
    "escape in a name": (SOURCE, "Coast", "\x1b[31m", r"row 4, column 2: 'Guyana, \x1b[31m' holds a character"),
    "blank without width in a name": (PIVOT, "Guyana", "Guyana\u200b", r"'Guyana\u200b' holds a character"),
    "province twice": (SOURCE, "Coast", "Interior", "row 4, column 2: 'Guyana, Interior' is in"),
    "province twice, in capitals": (SOURCE, "Coast", "INTERIOR", "row 4, column 2: 'Guyana, INTERIOR' is in"),
    "day missing": (PIVOT, "2/2/20", "2/3/20", "no column for the days between 2020-02-01 and 2020-02-03"),
    "day twice": (PIVOT, "2/1/20", "1/31/20", "row 1, column 6: '1/31/20' repeats an earlier column"),
    "day twice, in two forms": (PIVOT, "2/1/20", "2020-01-31", "row 1, column 6: '2020-01-31' repeats"),
    "the year 20": (PIVOT, "1/30/20", "1/30/0020", "row 1, column 4: '1/30/0020' is not a date"),
    "column twice": (PIVOT, "Long", "Lat", "row 1, column 3: 'Lat' repeats an earlier column"),
    "column of countries twice": (SOURCE, "Lat", "Country/Region", "row 1, column 3: 'Country/Region' repeats"),
    "column of countries missing": (SOURCE, "Country/Region", "Land", "neither of the two formats"),
    "column without a heading": (SOURCE, "Lat", "", "row 1, column 3: '' is not a date"),
    "day before month": (PIVOT, "1/30/20", "30/2/20", "row 1, column 4: '30/2/20' is not a date"),
    "day above the names": (PIVOT, ",Lat", "1/30/20,Lat", "neither of the two formats"),
    "column of something else": (PIVOT, "2/2/20", "total", "row 1, column 7: 'total' is not a date"),
    "means in place of sums": (PIVOT, "sum,sum\n", "sum,mean\n", "row 2, column 7: 'mean'"),
    "one day": (SOURCE, SOURCE, "Province/State,Country/Region,1/30/20\n,A,1\n", "row 1: at least two columns"),
    "heading alone": (SOURCE, SOURCE, SOURCE.splitlines()[0], "no country"),
    "another table": (SOURCE, SOURCE, "a,b\n1,2\n3,4\n", "neither of the two formats"),
    "empty row in place of the third": (PIVOT, "Country/Region,,,,,,", "", "neither of the two formats"),
    "empty row in place of the first": (PIVOT, PIVOT.splitlines()[0], "", "neither of the two formats"),
    "empty row in place of the second": (PIVOT, ",sum,sum,sum,sum,sum,sum", "", "row 2: 0 cells, but row 1 has 7"),
    "open quote": (PIVOT, "Guyana", '"Guyana', "row 5: not CSV"),
    "quote within": (PIVOT, "Guyana", '"Guy"ana', "row 5: not CSV"),
    "line without an end": (PIVOT, PIVOT, "1" * 200_000, "row 1: not CSV"),
    "NUL in a number": (PIVOT, "607", "6\0007", "row 5: contains a NUL byte"),
    "NUL in a name": (SOURCE, "Coast", "Coa\0st", "row 4: contains a NUL byte"),
    "empty": (PIVOT, PIVOT, "", "is empty"),
    "byte order mark alone": (PIVOT, PIVOT, "\ufeff", "is empty"),
    "commas alone": (PIVOT, PIVOT, ",,,\n,,,\n", "is empty"),
    "blank": (PIVOT, PIVOT, " \n\n", "is empty"),
    "web page": (PIVOT, PIVOT, "\n<!DOCTYPE html>\n<html>", "is a web page"),
    "archive": (PIVOT, PIVOT, "PK\x03\x04rest", "is an archive"),
}


@pytest.mark.parametrize("text, old, new, message", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_in_one_line_that_says_where(text: str, old: str, new: str, message: str) -> None:
    assert old in text
    path = write(text.replace(old, new, 1))
    with pytest.raises(BadInput) as refusal:
        covid.read_cases(path)
    line = str(refusal.value)
    assert line.startswith(str(path)) and message in line
    assert "\n" not in line and len(line) < len(str(path)) + 200


@pytest.mark.parametrize("content, message", [
    (PIVOT.replace("Guyana", "Curaçao").encode("latin-1"), "row 5: not UTF-8"),  # names would be guessed
    (PIVOT.encode("utf-16-le"), "row 1: contains a NUL byte"),
    (PIVOT.encode("utf-16")[:-1], "row 5: not UTF-8"),
    (PIVOT.encode("utf-32"), "row 1: contains a NUL byte"),
    (b"PK\3\4" + bytes(99), "is an archive"),
    (gzip.compress(PIVOT.encode())[:-20], "is damaged"),
    (b"\x89PNG\r\n\x1a\n", "row 1: not UTF-8"),
], ids=["Latin-1", "UTF-16 without its mark", "UTF-16, cut", "UTF-32", "zip", "gzip, cut", "a picture"])
def test_other_bytes_are_refused(content: bytes, message: str) -> None:
    path = write(content)
    with pytest.raises(BadInput, match=f"^{path}(, |: ){message}"):
        covid.read_cases(path)


@pytest.mark.parametrize("name", ["=1+1", "<script>alert(1)</script>", "$x$", "Curaçao", "مصر", "nan", "x" * 9000])
def test_a_name_is_a_name_whatever_it_looks_like(name: str) -> None:
    assert covid.read_cases(write(PIVOT.replace("Guyana", name))).cumulative[name].tolist() == [0, 0, 7, 607]


def test_an_accent_may_be_a_character_of_its_own() -> None:
    apart = unicodedata.normalize("NFD", "Curaçao")
    assert "Curaçao" in covid.read_cases(write(SOURCE.replace("Guyana", apart))).cumulative
    with pytest.raises(BadInput, match="row 7, column 1: 'Curaçao' is in an earlier row"):
        covid.read_cases(write(PIVOT + f"Curaçao,1,1,1,2,3,4\n{apart},1,1,1,2,3,4\n"))


def test_a_country_without_a_case_and_a_country_alone_are_read() -> None:
    assert covid.read_cases(write(PIVOT.replace("0,0,7,607", "0,0,0,0"))).cumulative["Guyana"].tolist() == [0, 0, 0, 0]
    assert list(covid.read_cases(write(PIVOT.rpartition("Guyana")[0])).cumulative) == ["Korea, South"]


def test_what_is_no_file_is_refused_in_one_line() -> None:
    Path("itself.csv").symlink_to("itself.csv")
    for path in (Path.cwd(), Path("missing.csv"), Path("itself.csv"), Path("x" * 300)):
        with pytest.raises(BadInput, match=f"^{path}: cannot be read: "):
            covid.read_cases(path)


def test_what_is_said_is_one_line_whatever_the_name() -> None:
    with pytest.raises(BadInput) as refusal:
        covid.read_cases("new\nline\x1b[31m.csv")
    assert str(refusal.value).startswith(r"new\nline\x1b[31m.csv: cannot be read")


def test_a_file_without_permission(nobody: Callable[[], AbstractContextManager]) -> None:
    path = write(PIVOT)
    path.chmod(0)
    with nobody(), pytest.raises(BadInput, match="^cases.csv: cannot be read: Permission denied$"):
        covid.read_cases("cases.csv")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(BadInput, match="^/dev/zero: holds more than 134,217,728 bytes"):
        covid.read_cases("/dev/zero")


def test_a_name_of_a_file_that_is_no_text_can_be_shown() -> None:
    assert covid.read_cases(write(PIVOT, os.fsdecode(b"\xff\x1b.csv"))).source == r"\udcff\x1b.csv"


def test_notes_tell_of_corrections_and_summed_provinces() -> None:
    provinces, days, corrections = covid.read_cases(write(SOURCE)).notes
    assert "3 rows make 2 countries" in provinces
    assert days == "Days used: 2020-01-30 to 2020-02-02."
    assert ": 1 (Korea, South 2020-02-02)." in corrections
    assert covid.read_cases(write(PIVOT), until="2020-02-01").notes == (
        "Days used: 2020-01-30 to 2020-02-01; 1 days after that are left out (--until).",)


def test_until_is_the_last_day_read() -> None:
    path = write(PIVOT)
    pd.testing.assert_frame_equal(covid.load_cases(path, until="2020-02-01").cumulative, COUNTS.iloc[:3])
    same(covid.load_cases(path, until=None))
    same(covid.load_cases(path))  # ends before the default date: whole
    for until in ("2020-01-30", "2020-02-03", "2019-12-31", "0001-01-01", "9999-12-31", "2020-W05-6", "tomorrow"):
        with pytest.raises(BadInput, match=f"^until: .*{until}"):
            covid.load_cases(path, until=until)


def test_a_file_that_starts_after_the_default_date_is_used_whole() -> None:
    counts = covid.load_cases(write(PIVOT.replace("/20", "/21")))
    assert (counts.cumulative.to_numpy() == COUNTS.to_numpy()).all()
    assert "Days used: 2021-01-30 to 2021-02-02." in counts.notes


def test_a_billion_is_a_count_and_a_row_with_one_cell_more_is_none() -> None:
    assert covid.read_cases(write(PIVOT.replace("607", "1000000000"))).cumulative["Guyana"].tolist()[-1] == 10**9
    for table in (PIVOT, SOURCE):
        last = table.rstrip("\n") + ",1\n"
        with pytest.raises(BadInput, match=r"row \d: \d+ cells, but row 1 has \d"):
            covid.read_cases(write(last))


def test_no_more_of_a_packed_table_is_unpacked_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gzip can hold a thousand times its size."""
    monkeypatch.setattr(cells, "MOST_BYTES", 10**5)
    path = write(gzip.compress(bytes(10**8), 1))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="holds more than 100,000 bytes"):
            covid.read_cases(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


# -- what people's files have, and must not be read wrongly without a word: made-up counts in tests/data/cases ---------

CASES = Path(__file__).parent / "cases"


def expected(name: str = "plain.csv") -> pd.DataFrame:
    """Cumulative counts (T, C) as pandas reads them."""
    table = pd.read_csv(CASES / name).drop(columns=["Province/State", "Lat", "Long"])
    return table.groupby("Country/Region").sum().T


def equal(counts: covid.CaseCounts, table: pd.DataFrame) -> bool:
    return list(counts.cumulative.columns) == list(table.columns) and np.array_equal(counts.cumulative, table)


def test_a_point_before_three_digits_is_refused_with_both_readings() -> None:
    with pytest.raises(BadInput, match=r"row 2, column 6: '1.000' may mean 1 or 1,000: write whole numbers"):
        covid.read_cases(CASES / "mini_thousand.csv")
    for doubtful in ("12.345", "1.000.000"):
        with pytest.raises(BadInput, match="may mean"):
            covid.read_cases(write(PIVOT.replace("607", doubtful)))
    for plain in ("607.0", "607.00", "607.", "607.0000"):
        same(covid.read_cases(write(PIVOT.replace("607", plain))))


@pytest.mark.parametrize("name, share", [("mini_daily.csv", 60), ("daily.csv", 37)])
def test_daily_counts_are_refused_unless_they_are_said_to_be(name: str, share: int) -> None:
    with pytest.raises(BadInput, match=f"{share} % of the counts .*look like daily counts.*--daily"):
        covid.load_cases(CASES / name, until=None)
    counts = covid.load_cases(CASES / name, until=None, daily=True)
    assert equal(counts, expected(name).cumsum()) and any("added up" in note for note in counts.notes)


def test_daily_counts_of_the_same_epidemic_give_the_cumulative_ones() -> None:
    assert equal(covid.load_cases(CASES / "daily.csv", until=None, daily=True), expected())


def test_a_total_of_all_is_left_out_and_others_are_told() -> None:
    counts = covid.read_cases(CASES / "world_row.csv")
    assert equal(counts, expected()) and counts.notes[0] == "World is the sum of all others and was left out."
    counts = covid.read_cases(CASES / "sum_of_three.csv")
    assert equal(counts, expected("sum_of_three.csv"))
    assert counts.notes[0].startswith("threesum equals the sum of the rows Austria to ")
    counts = covid.read_cases(CASES / "two_names.csv")
    assert equal(counts, expected("two_names.csv"))
    assert "One country under several names, which were kept apart: Cape Verde, Cabo Verde." in counts.notes
    assert covid.read_cases(CASES / "plain.csv").notes == ("Days used: 2020-01-22 to 2020-03-01.",)


@pytest.mark.parametrize("order", ["both Spain Chad Peru Fiji", "Spain both Chad Peru Fiji",
                                   "Spain Chad Peru both Fiji", "Chad Peru Spain Fiji both"])
def test_a_total_of_neighbours_is_told_wherever_it_stands(order: str) -> None:
    counts = {"Spain": [7, 19], "Chad": [1, 5], "Peru": [2, 9], "Fiji": [40, 90], "both": [3, 14]}
    parts = pd.DataFrame({name: counts[name] for name in order.split()})
    cumulative, notes = covid.without_totals(parts)
    assert cumulative is parts and notes == ["both equals the sum of the rows Chad to Peru and was kept."]


def test_a_country_with_the_counts_of_another_is_not_the_sum_of_it_and_of_zeros() -> None:
    parts = pd.DataFrame({"Chad": [0, 0], "Peru": [2, 9], "Fiji": [40, 90], "Togo": [2, 9]})
    assert covid.without_totals(parts)[1] == []


def test_of_two_countries_with_the_same_counts_none_is_the_total() -> None:
    assert covid.without_totals(pd.DataFrame({"Chad": [2, 9], "Peru": [2, 9]}))[1] == []


def test_two_days_are_enough_and_one_is_not() -> None:
    Path("two.csv").write_text("Country,2020-02-01,2020-02-02\nChad,1,4\nPeru,2,9\n")
    assert covid.load_cases("two.csv", until=None).cumulative.to_numpy().tolist() == [[1, 2], [4, 9]]
    Path("one.csv").write_text("Country,2020-02-01\nChad,1\nPeru,2\n")
    with pytest.raises(BadInput, match="two columns of dates"):
        covid.load_cases("one.csv", until=None)


def test_a_file_that_begins_on_the_default_last_day_is_used_whole() -> None:
    days = ",".join(f"4/{day}/20" for day in range(12, 31))
    counts = ",".join(map(str, range(19)))
    rows = "".join(f",{name},0,0,{counts}\n" for name in ("Chad", "Peru"))
    Path("late.csv").write_text(f"Province/State,Country/Region,Lat,Long,{days}\n{rows}")
    assert len(covid.load_cases("late.csv", until=covid.LAST_DAY).cumulative) == 19


def test_cells_after_the_last_day_are_not_looked_at() -> None:
    counts = covid.load_cases(CASES / "mini_late.csv")
    assert equal(counts, expected("mini_late.csv").iloc[:4])
    assert "Days used: 2020-04-09 to 2020-04-12; 1 days after that are left out (--until)." in counts.notes
    with pytest.raises(BadInput, match="'-1' is negative"):
        covid.load_cases(CASES / "mini_late.csv", until="2020-04-13")


@pytest.mark.parametrize("name", ["no_province", "country_heading", "underscores", "pandas_index", "excel_zh",
                                  "excel_in", "excel_iso", "timestamps", "day_first", "german_dates"])
def test_headings_and_dates_as_people_have_them_are_read_as_the_plain_file(name: str) -> None:
    plain, counts = covid.read_cases(CASES / "plain.csv"), covid.read_cases(CASES / f"{name}.csv")
    pd.testing.assert_frame_equal(counts.cumulative, plain.cumulative)
    assert equal(counts, expected()) and counts.notes == plain.notes


def test_one_heading_in_another_form_is_read_by_its_neighbours() -> None:
    same(covid.read_cases(write(PIVOT.replace("1/30/20", "30/1/20"))))


def test_codes_of_states_colour_no_country() -> None:
    assert [iso2(name) for name in covid.read_cases(CASES / "mini_codes.csv").cumulative] == [None] * 3


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> Path:
        raise DownloadError("no connection to example.org")

    monkeypatch.setattr(covid, "fetch", fetch)
    monkeypatch.delenv("NN_DATA", raising=False)


def test_auto_takes_NN_DATA_first(monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    monkeypatch.setenv("NN_DATA", str(Path.cwd()))
    Path("covid").mkdir()
    write(SOURCE, f"covid/{covid.SOURCE}")
    assert covid.load_cases().source == covid.SOURCE
    write(PIVOT, "covid/covid_19.csv")
    assert covid.load_cases().source == "covid_19.csv"
    write("damaged", "covid/covid_19.csv")
    with pytest.raises(BadInput, match="covid_19.csv: is in neither of the two formats"):
        covid.load_cases()


def test_auto_downloads_into_the_cache_and_checks_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, folder: Path, name: str, *, check: object, log: object) -> Path:
        assert url.startswith("https://") and url.endswith(name)
        assert folder == Path(covid.__file__).parent / "cache"
        with pytest.raises(BadInput):
            check(write("<html>"))
        return write(SOURCE, name)

    monkeypatch.delenv("NN_DATA", raising=False)
    monkeypatch.setattr(covid, "fetch", fetch)
    same(covid.load_cases())


def test_auto_without_network_says_so(monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    lines: list[str] = []
    counts = covid.load_cases(log=lines.append)
    assert counts.simulated and counts.source == "simulated epidemic (seed 0)"
    assert "no connection to example.org" in lines[0] and "simulated" in lines[1]
    monkeypatch.setenv("NN_DATA", str(Path.cwd()))
    covid.load_cases(log=lines.append)
    assert lines[2].startswith(f"NN_DATA: {Path.cwd()} holds neither")


def test_the_simulated_epidemic_can_be_asked_for_and_cut() -> None:
    counts = covid.load_cases("simulated", until="2020-03-01")
    assert counts.simulated and counts.cumulative.index[-1] == pd.Timestamp("2020-03-01")


@pytest.fixture
def real() -> Path:
    return Path(os.environ["NN_DATA"], "covid")


@pytest.mark.realdata
def test_the_sources_own_file_is_read_with_its_provinces_summed(real: Path) -> None:
    counts = covid.load_cases(real / covid.SOURCE)
    assert counts.cumulative.shape == (82, 201)
    assert "289 rows make 201 countries" in counts.notes[0]

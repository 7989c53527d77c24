"""Tables with a row for each day and country, or a column for each country, are read as pandas reads them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import BadInput, covid, layouts
from data.cells import read_rows

CASES = Path(__file__).parent / "cases"
PLAIN = covid.read_cases(CASES / "plain.csv").cumulative
AUSTRIA, PERU = PLAIN["Austria"], PLAIN["Peru"]


def read(text: str, **options) -> covid.CaseCounts:
    Path("cases.csv").write_text(text, encoding="utf-8")
    return covid.read_cases("cases.csv", **options)


def pivot(name: str, day: str, country: str, count: str, **options) -> pd.DataFrame:
    """Counts (days, countries) by pandas alone."""
    table = pd.read_csv(CASES / name, encoding="utf-8-sig")
    table[day] = pd.to_datetime(table[day], **options)
    return table.pivot_table(count, day, country, "sum").astype(int).sort_index(axis=1)


@pytest.mark.parametrize("name, source, columns, options", [
    ("long_owid.csv", "Our World in Data", ("date", "location", "total_cases"), {}),
    ("long_who.csv", "the WHO", ("Date_reported", "Country", "Cumulative_cases"), {}),
    ("long_kaggle.csv", "Kaggle", ("ObservationDate", "Country/Region", "Confirmed"), {}),
    ("long_ecdc.csv", "the ECDC", ("dateRep", "countriesAndTerritories", "cases"), {"dayfirst": True}),
])
def test_a_row_for_each_day_and_country(name, source, columns, options):
    found = covid.read_cases(CASES / name)
    expected = pivot(name, *columns, **options)[["Austria", "Peru"]]
    expected = expected.cumsum() if "ECDC" in source else expected
    assert list(found.cumulative) == ["Austria", "Peru"] and found.notes[0].startswith(f"A table of {source}, ")
    assert list(found.cumulative.index) == list(expected.index)
    np.testing.assert_array_equal(found.cumulative, expected)
    np.testing.assert_array_equal(found.cumulative["Austria"], AUSTRIA)
    sums = [note for note in found.notes if "left out: World" in note]
    assert len(sums) == (source == "Our World in Data")


def test_a_column_for_each_country():
    found = covid.read_cases(CASES / "transposed.csv")
    pd.testing.assert_frame_equal(found.cumulative, PLAIN)
    assert found.notes[:2] == ("A table with a column for each country.",
                               "Sums of several countries, left out: World, Europe.")


OWID = """\
iso_code,continent,location,date,total_cases,new_cases
PER,South America,Peru,2020-03-01,,
PER,South America,Peru,2020-03-02,3,x
PER,South America,Peru,2020-03-03,,
PER,South America,Peru,2020-03-04,5.0,
AUT,Europe,Austria,2020-03-02,7,
OWID_WRL,,World,2020-03-01,1e9,
OWID_EUR,Europe,Europe,2020-03-02,-1,
"""


def test_what_is_missing_is_filled_and_told():
    found = read(OWID)
    assert found.cumulative["Peru"].tolist() == [0, 3, 3, 5] and found.cumulative["Austria"].tolist() == [0, 7, 7, 7]
    assert "Counts that are missing after the first of a country: 3; each is that of the day before." in found.notes
    assert "Sums of several countries, left out: World, Europe." in found.notes
    found = read(OWID.replace("location", "country"), until="2020-03-03")
    assert found.cumulative["Peru"].tolist() == [0, 3, 3]
    assert "Days used: 2020-03-01 to 2020-03-03; 1 days after that are left out (--until)." in found.notes


def test_provinces_are_summed_as_they_come_and_go():
    found = read("SNo,ObservationDate,Province/State,Country/Region,Last Update,Confirmed\n"
                 "1,03/01/2020,\"King County, WA\",US,x,3.0\n2,03/01/2020,Boston,US,x,2.0\n"
                 "3,03/02/2020,Washington,US,x,9\n4,03/02/2020,Washington,US,later,9\n5,03/02/2020,,Peru,x,1\n")
    assert found.cumulative["US"].tolist() == [5, 9] and found.cumulative["Peru"].tolist() == [0, 1]


def test_new_cases_may_be_corrected_and_missing_ones_are_none():
    found = read("dateRep,cases,countriesAndTerritories\n04/03/2020,5,Spain\n03/03/2020,-2,Spain\n01/03/2020,9,Spain\n"
                 "02/03/2020,1,Peru\n04/03/2020,1,Peru\n")
    assert found.cumulative["Spain"].tolist() == [9, 9, 7, 12] and found.cumulative["Peru"].tolist() == [0, 1, 1, 2]
    assert "Counts that are missing after the first of a country: 2; they are 0." in found.notes


WIDE = "Date,Peru,World,Chad\n2020-03-01,,9,1\n2020-03-02,2,9,\n2020-03-03,3,x,4\n"


def test_gaps_of_a_wide_table():
    found = read(WIDE)
    assert found.cumulative["Peru"].tolist() == [0, 2, 3] and found.cumulative["Chad"].tolist() == [1, 1, 4]


@pytest.mark.parametrize("text, message", [
    (OWID.replace("5.0", "5.5"), "row 5, column 5: '5.5' is not a whole number"),
    (OWID.replace("2020-03-04", "yesterday"), "row 5, column 4: 'yesterday' is not a date, in the form %Y-%m-%d"),
    (OWID.replace("AUT,Europe,Austria", "AUT,Europe,"), "row 6, column 3: '' is not the name"),
    (OWID.replace("2020-03-04", "2020-03-05"), "no row for the days between 2020-03-03 and 2020-03-05"),
    (OWID.replace("2020-03-04", "2020-03-02"), "row 5, column 3: 'Peru' has another count for 2020-03-02"),
    (OWID + "PER,South America\n", "row 9: 2 cells, but row 1 has 6"),
    (OWID.split("PER")[0] + "OWID_WRL,,World,2020-03-01,1,\nOWID_WRL,,World,2020-03-02,1,\n", "there is no country"),
    (OWID.split("PER")[0] + "AUT,Europe,Austria,2020-03-01,1,\n", "at least two days are needed, there are 1"),
    (OWID.replace("Peru,2020-03-02,3", "Pe\x07ru,2020-03-02,3"), r"row 3, column 3: 'Pe\\x07ru' holds a character"),
    (OWID.replace("5.0,", "5.0,,"), "row 5: 7 cells, but row 1 has 6"),
    (WIDE.replace("3,x,4", "3,x,4,5"), "row 4: 5 cells, but row 1 has 4"),
    (WIDE.replace("2,9", "2.5,9"), "row 3, column 2: '2.5' is not a whole number"),
    (WIDE.replace("Chad", "Peru"), "row 1, column 4: 'Peru' repeats an earlier column"),
    (WIDE.replace("Chad", ""), "row 1, column 4: '' is not the name of a country"),
    (WIDE.replace("2020-03-03", "2020-03-02"), "row 4, column 1: '2020-03-02' repeats an earlier row"),
    (WIDE.replace("3,x,4", "3,x"), "row 4: 3 cells, but row 1 has 4"),
    ("day,land,n\n2020-03-01,Peru,1\n2020-03-02,Peru,2\n", r"has a row for each day \(column 'day'\), and a row "
     r"for each country .*: with pandas, table.pivot_table\(index=COUNTRY, columns='day', values=COUNT, aggfunc="),
])
def test_what_is_wrong_is_said_with_its_place(text, message):
    with pytest.raises(BadInput, match=f"^cases.csv(, |: ){message}"):
        read(text)


def test_daily_is_refused_where_the_counts_are_cumulative():
    with pytest.raises(BadInput, match="^cases.csv: --daily is for new cases, and this table has cumulative counts"):
        read(OWID, daily=True)


def test_what_pandas_makes_of_it_as_we_advise_is_read():
    text = "day,land,n\n2020-03-01,Peru,1\n2020-03-02,Peru,2\n2020-03-01,Chad,0\n2020-03-02,Chad,5\n"
    table = pd.read_csv(io.StringIO(text))
    table = table.pivot_table(index="land", columns="day", values="n", aggfunc="sum")
    table.rename_axis("country").to_csv("cases.csv")
    assert covid.read_cases("cases.csv").cumulative["Chad"].tolist() == [0, 5]


def test_only_the_columns_that_are_needed_are_kept():
    rows = read_rows(CASES / "long_owid.csv", layouts.wanted)
    assert rows[0][5] == "new_cases" and {row[0] for row in rows[1:]} == {""}
    assert {row[2] for row in rows[1:]} == {"Austria", "Peru", "World"}


@pytest.mark.parametrize("address", ["https://example.org/cases.csv", "http://example.org/cases.csv"])
def test_an_address_is_to_be_downloaded_first(address):
    with pytest.raises(BadInput, match=f"^{address}: is an address on the web: download the file, and give its path$"):
        covid.load_cases(address)

"""Every name in the case counts has its code, or is known to be no country."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data import covid
from data.countries import iso2

CODES = {
    "US": "us",
    "Burma": "mm",
    "Congo (Brazzaville)": "cg",
    "Congo (Kinshasa)": "cd",
    "Cote d'Ivoire": "ci",
    "Holy See": "va",
    "Iran": "ir",
    "Korea, North": "kp",
    "Korea, South": "kr",
    "Kosovo": "xk",
    "Laos": "la",
    "Micronesia": "fm",
    "Niger": "ne",
    "Nigeria": "ng",
    "Russia": "ru",
    "Syria": "sy",
    "Taiwan*": "tw",
    "Turkey": "tr",
    "West Bank and Gaza": "ps",
    "Western Sahara": "eh",
    "Antarctica": "aq",
}
NO_COUNTRIES = {"Diamond Princess", "MS Zaandam", "Summer Olympics 2020", "Winter Olympics 2022"}


@pytest.mark.parametrize("name, code", CODES.items())
def test_the_sources_spellings_have_their_codes(name: str, code: str) -> None:
    assert iso2(name) == code


@pytest.mark.parametrize("name", [*sorted(NO_COUNTRIES), "", "Guinea-Bisau", "Korea", "United"])
def test_what_is_no_country_has_no_code_and_none_is_guessed(name: str) -> None:
    assert iso2(name) is None


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["covid_19.csv", covid.SOURCE])
def test_every_country_of_the_real_files_has_a_code_of_its_own(name: str) -> None:
    countries = covid.read_cases(Path(os.environ["NN_DATA"], "covid", name)).cumulative.columns
    codes = {country: iso2(country) for country in countries}
    assert {country for country, code in codes.items() if code is None} == NO_COUNTRIES & set(countries)
    mapped = [code for code in codes.values() if code]
    assert len(set(mapped)) == len(mapped)


@pytest.mark.parametrize("name, code", [
    ("Gambia, The", "gm"), ("The Gambia", "gm"), ("Bahamas, The", "bs"), ("The United Kingdom", "gb"),
    ("Iran (Islamic Republic of)", "ir"), ("Venezuela (Bolivarian Republic of)", "ve"), ("Ivory Coast", "ci"),
    ("DR Congo", "cd"), ("Swaziland", "sz"), ("Macedonia", "mk"), ("US", "us"), ("UK", "gb"),
    ("CA", None), ("IN", None), ("DE", None), ("GEO", None), ("World", None),
])
def test_common_spellings_are_known_and_codes_of_states_are_not(name, code):
    assert iso2(name) == code

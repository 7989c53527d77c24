"""From the names of countries, as the case counts spell them, to ISO codes: exact look-ups, no guesses.

Read next: windows.py, what the networks learn from.
"""

from __future__ import annotations

import re

import pycountry

# Spellings of the source that are not ISO names, and names that some editions of the ISO list do not have.
SPELLINGS = {
    "Bolivia": "bo",
    "Brunei": "bn",
    "Burma": "mm",
    "Cape Verde": "cv",
    "Congo (Brazzaville)": "cg",
    "Congo (Kinshasa)": "cd",
    "Cote d'Ivoire": "ci",
    "DR Congo": "cd",
    "Czech Republic": "cz",
    "East Timor": "tl",
    "Holy See": "va",
    "Hong Kong SAR": "hk",
    "Iran": "ir",
    "Ivory Coast": "ci",
    "Korea, North": "kp",
    "Korea, South": "kr",
    "Kosovo": "xk",
    "Laos": "la",
    "Macao SAR": "mo",
    "Macau": "mo",
    "Macedonia": "mk",
    "Mainland China": "cn",
    "Micronesia": "fm",
    "Moldova": "md",
    "North Korea": "kp",
    "Palestine": "ps",
    "Republic of Korea": "kr",
    "Russia": "ru",
    "South Korea": "kr",
    "Swaziland": "sz",
    "Syria": "sy",
    "Taiwan": "tw",
    "Taiwan*": "tw",
    "Tanzania": "tz",
    "Turkey": "tr",
    "UK": "gb",
    "US": "us",
    "USA": "us",
    "Vatican City": "va",
    "Venezuela": "ve",
    "Vietnam": "vn",
    "West Bank and Gaza": "ps",
}


def iso2(country: str) -> str | None:
    """The ISO 3166-1 code in two lower-case letters, as pygal's maps need it ("xk" for Kosovo, by custom).

    None for anything else: cruise ships, Olympic Games, a misspelling, and other names of two or three letters, as CA
    is a state as well as Canada. "Gambia, The" and "Iran (Islamic Republic of)" are brought into ISO's form.
    """
    if country in SPELLINGS:
        return SPELLINGS[country]
    if len(country) <= 3:
        return None
    plain = re.sub(r"^The |, The$", "", country)
    for name in (country, plain, re.sub(r"^(.+) \((.+)\)$", r"\1, \2", country)):
        if name in SPELLINGS:
            return SPELLINGS[name]
        try:
            return pycountry.countries.lookup(name).alpha_2.lower()
        except LookupError:
            continue
    return None

"""From the names of countries, as the case counts spell them, to ISO codes: exact look-ups, no guesses.

Read next: windows.py, what the networks learn from.
"""

from __future__ import annotations

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
    "Czech Republic": "cz",
    "East Timor": "tl",
    "Holy See": "va",
    "Hong Kong SAR": "hk",
    "Iran": "ir",
    "Korea, North": "kp",
    "Korea, South": "kr",
    "Kosovo": "xk",
    "Laos": "la",
    "Macao SAR": "mo",
    "Macau": "mo",
    "Mainland China": "cn",
    "Micronesia": "fm",
    "Moldova": "md",
    "North Korea": "kp",
    "Palestine": "ps",
    "Republic of Korea": "kr",
    "Russia": "ru",
    "South Korea": "kr",
    "Syria": "sy",
    "Taiwan": "tw",
    "Taiwan*": "tw",
    "Tanzania": "tz",
    "The Bahamas": "bs",
    "The Gambia": "gm",
    "Turkey": "tr",
    "UK": "gb",
    "Vatican City": "va",
    "Venezuela": "ve",
    "Vietnam": "vn",
    "West Bank and Gaza": "ps",
}


def iso2(country: str) -> str | None:
    """The ISO 3166-1 code in two lower-case letters, as pygal's maps need it ("xk" for Kosovo, by custom).

    None for anything else: cruise ships, Olympic Games, a misspelling.
    """
    if country in SPELLINGS:
        return SPELLINGS[country]
    try:
        return pycountry.countries.lookup(country).alpha_2.lower()
    except LookupError:
        return None

"""From countries' names, as the case counts spell them, to ISO codes: exact look-ups, no guesses."""

from __future__ import annotations

import pycountry

# The source's spellings that are no ISO name, and names that not every edition of the ISO list has.
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
    """The ISO 3166-1 code in two lower-case letters, as pygal's maps want it ("xk" for Kosovo, by custom).

    None for what is no country: cruise ships, Olympic Games, a misspelling.
    """
    if country in SPELLINGS:
        return SPELLINGS[country]
    try:
        return pycountry.countries.lookup(country).alpha_2.lower()
    except LookupError:
        return None

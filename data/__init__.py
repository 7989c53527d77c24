"""The data of the two studies: read, checked and reshaped. Read `covid.py` first, then `windows.py`."""

from __future__ import annotations


class BadInput(ValueError):
    """An input or an option is wrong; the message is the one line that the user reads."""

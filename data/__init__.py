"""The data of the two studies: read, checked and reshaped. Here is what the files of this package share.

Read next: covid.py, the case counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BadInput(ValueError):
    """An input or an option is wrong; the message is the one line that the user reads."""

    def __init__(self, message: str):
        super().__init__(shown(message))


def shown(text: str | Path) -> str:
    """The text in one line, safe on a terminal: control characters and bytes that are not text are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; at the end that file replaces `path`, if nothing went wrong.

    Each process has a name of its own, so that two which write the same file at once do not mix their bytes.
    """
    beside = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

"""What the commands' options have in common: their ranges, the folder they name, and which of them decide a run.

Read next: covid.py.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from data import BadInput

NOT_OF_THE_RUN = ("out", "resume", "overwrite")  # options that change no number


def check_ranges(config, **ranges: tuple[float, float]) -> None:
    """BadInput unless each option named lies in its range (lowest, highest), bounds included; nan never does."""
    for name, (low, high) in ranges.items():
        if not low <= getattr(config, name) <= high:
            raise BadInput(f"--{name}: {getattr(config, name)} is not between {low:,} and {high:,}")


def default_folder(config, name: str, *in_name: str) -> Path:
    """runs/NAME, with each option behind it that is not at its default and not in the name already."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in (*in_name, *NOT_OF_THE_RUN) and value != field.default:
            name += f"-{field.name}-{Path(value).stem[:40] if isinstance(value, str) else value}"
    return Path("runs", re.sub(r"[^\w.-]+", "_", name))


def identity(config) -> dict:
    """The options that decide the numbers of a run."""
    return {key: value for key, value in dataclasses.asdict(config).items() if key not in NOT_OF_THE_RUN}

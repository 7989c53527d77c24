"""The options of the commands: a dataclass each, which declares the range of a number beside the number.

`tyro` makes the command line and its `--help` out of such a dataclass.

Read next: progress.py, what a person sees while a command works.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import dataclass
from pathlib import Path

from tyro.constructors import PrimitiveConstructorSpec

from data import BadInput


def between(kind: type, low: float, high: float) -> PrimitiveConstructorSpec:
    """The range of an option, bounds included: `epochs: Annotated[int, between(int, 1, 10**6)] = 300`.

    `--help` shows it in the place of the type, and `check_ranges` checks it. It is not checked while the command line
    is parsed, as options are also made by code.
    """
    def parse(words):
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"{words[0]} is not a number from {low} to {high}") from None

    return PrimitiveConstructorSpec(
        nargs=1, metavar=f"{low}..{high}", instance_from_str=parse,
        is_instance=lambda value: isinstance(value, (int, float)) and low <= value <= high,
        str_from_instance=lambda value: [str(value)])


Seed = typing.Annotated[int, between(int, 0, 2**32 - 1)]


@dataclass(frozen=True)
class RunOptions:
    """The options that every run has and that change none of its numbers."""

    out: Path | None = None
    """The run's folder. By default runs/ and a name made of the options that are not at their defaults."""
    resume: bool = False
    """Continue a run that was stopped."""
    overwrite: bool = False
    """Replace the run that is in the folder."""


def check_ranges(options) -> None:
    """Raises BadInput unless each number among the options is in its range; nan never is."""
    for name, hint in typing.get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        values = value if isinstance(value, tuple) else [value]
        for part in (hint, *typing.get_args(hint)):  # a union, `int | None`, and a tuple have the range inside
            for spec in getattr(part, "__metadata__", ()):
                for each in values:
                    if not (each is None or isinstance(each, str) or spec.is_instance(each)):
                        raise BadInput(f"--{name}: {each} is outside {spec.metavar}")


def default_folder(options: RunOptions, name: str, *in_name: str) -> Path:
    """runs/NAME, followed by each option that is not at its default; the options `in_name` are in the name already."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name not in in_name and field.name in identity(options) and value != field.default:
            name += f"-{field.name}-{Path(value).stem[:40] if isinstance(value, str) else value}"
    return Path("runs", re.sub(r"[^\w.-]+", "_", name))


def identity(options: RunOptions) -> dict:
    """The options that decide the numbers of a run."""
    others = {field.name for field in dataclasses.fields(RunOptions)}
    return {name: value for name, value in dataclasses.asdict(options).items() if name not in others}

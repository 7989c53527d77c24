"""Write a piece of nn yourself, and let it be judged.

Read next: cut.py, how a piece is cut out of the source.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from data import BadInput
from tasks.common.files import write
from tasks.exercise.catalog import BY_NAME, EXERCISES
from tasks.exercise.cut import exercise_file
from tasks.exercise.judge import judge

FOLDER = Path("runs", "exercises")


@dataclass(frozen=True)
class ExerciseOptions:
    """Write a piece of nn yourself: without a NAME the list of exercises, with one the file to write in."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """The exercise."""
    check: bool = False
    """Judge the file of this exercise."""


def run(options: ExerciseOptions, console: Console) -> bool:
    """Print the list, write a file that does not exist yet, or judge it. Returns False if it is not right.

    Raises BadInput for an exercise that there is not, or a file that cannot be read. A file that exists is never
    written to.
    """
    if not options.name:
        if options.check:
            raise BadInput("exercise --check: which one? python run.py exercise NAME --check")
        return show_list(console)
    if options.name not in BY_NAME:
        near = difflib.get_close_matches(options.name, BY_NAME, 1)
        raise BadInput(f"there is no exercise {options.name!r}{f'; did you mean {near[0]}?' if near else ''} "
                       "(python run.py exercise lists them)")
    exercise = BY_NAME[options.name]
    number = EXERCISES.index(exercise) + 1
    path = FOLDER / f"{exercise.name}.py"
    if options.check:
        return check(exercise, path, console)
    if path.exists():
        console.print(f"{path} exists and stays as it is. To judge it: python run.py exercise {exercise.name} --check",
                      soft_wrap=True, highlight=False)
    else:
        write(path, exercise_file(exercise, f"{number} of {len(EXERCISES)}"))
        console.print(f"Exercise {number} of {len(EXERCISES)} is in {path}: write it in the place of each `...`, then\n"
                      f"python run.py exercise {exercise.name} --check", soft_wrap=True, highlight=False)
    return True


def show_list(console: Console) -> bool:
    for number, exercise in enumerate(EXERCISES, 1):
        begun = "begun" if (FOLDER / f"{exercise.name}.py").exists() else ""
        first = exercise.task.split(". ")[0].rstrip(".")
        where = exercise.module.replace(".", "/") + ".py"
        console.print(f"{number:3}  {exercise.name:15} {where:16} {begun:6} {escape(first)}",
                      soft_wrap=True, highlight=False)
    console.print("\npython run.py exercise NAME writes the file to work in.", highlight=False)
    return True


def check(exercise, path: Path, console: Console) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist: python run.py exercise {exercise.name} writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from None
    verdict = judge(exercise, text, str(path))
    for line in verdict.lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    following = EXERCISES[EXERCISES.index(exercise) + 1:]
    if verdict.passed and following:
        console.print(f"next: python run.py exercise {following[0].name}", soft_wrap=True, highlight=False)
    return verdict.passed

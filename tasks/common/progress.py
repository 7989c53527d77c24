"""What a person sees while a command works: lines of text, and for a training a bar with the time left.

Read next: style.py, the look of the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table


def log_to(console: Console) -> Callable[[str], None]:
    """A function that prints a line as it is: brackets are no markup, numbers get no colour, and nothing is cut."""
    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    return log


def print_table(table: Table, console: Console) -> None:
    """Print a table of up to 80 columns. On a narrower terminal its lines wrap; rich alone would cut the numbers."""
    width, console.width = console.width, max(80, console.width)
    console.print(table)
    console.width = width


def duration(seconds: float) -> str:
    """4,000 -> "1 h 6 min"; 75 -> "1 min 15 s"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def warn_of_minutes(seconds: float, log: Callable[[str], None]) -> None:
    """Say so if a command will take a minute or more; `seconds` is an estimate for some machine."""
    if seconds >= 60:
        log(f"This takes about {round(seconds / 60)} min.")


def show(records: Iterable[dict | None], start: int, epochs: int, describe: Callable[[dict], str],
         console: Console) -> Generator[dict | None, None, None]:
    """Pass on what `train` yields in the epochs start + 1 to `epochs`, and show each record by `describe(record)`.

    On a terminal this is a bar. It begins with the epoch and the time left; where the terminal is too narrow, the
    description is cut. Elsewhere it is some ten lines of text.
    """
    if console.is_terminal:
        columns = (TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"), TimeRemainingColumn(compact=True),
                   TextColumn("left"), BarColumn(12),
                   TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1)))
        with Progress(*columns, console=console, expand=True) as bar:
            task = bar.add_task("", total=epochs, completed=start)
            for record in records:
                if record is not None:
                    bar.update(task, completed=record["epoch"], description=describe(record))
                yield record
        return
    log, began, shown = log_to(console), time.monotonic(), -1
    for record in records:
        if record is None:
            yield None
            continue
        epoch, now = record["epoch"], time.monotonic()
        if (tenth := 10 * epoch // epochs) > shown:
            shown = tenth
            left = (now - began) / (epoch - start) * (epochs - epoch)
            log(f"epoch {epoch}/{epochs}, {duration(left)} left: {describe(record)}")
        yield record

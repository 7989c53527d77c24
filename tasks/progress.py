"""What a person sees while it runs: a bar with the time left on a terminal, plain lines elsewhere.

Read next: training.py, whose records these are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def show(records: Iterable[dict | None], start: int, epochs: int, describe: Callable[[dict], str],
         console: Console) -> Generator[dict | None, None, None]:
    """Pass on what `train` yields in epochs start + 1 to `epochs`, showing for each record `describe(record)` and the
    time left.
    """
    if console.is_terminal:
        columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(None), TextColumn("{task.description}"),
                   TimeRemainingColumn())
        with Progress(*columns, console=console, expand=True) as bar:
            task = bar.add_task("", total=epochs, completed=start)
            for record in records:
                if record is not None:
                    bar.update(task, completed=record["epoch"], description=describe(record))
                yield record
        return
    began, shown = time.monotonic(), -1
    for record in records:
        if record is None:
            yield None
            continue
        epoch, now = record["epoch"], time.monotonic()
        if (tenth := 10 * epoch // epochs) > shown:  # ten lines in all
            shown = tenth
            left = (now - began) / (epoch - start) * (epochs - epoch)
            line = f"epoch {epoch}/{epochs}  {describe(record)}  {left:.0f} s left"
            console.print(line, highlight=False, soft_wrap=True)
        yield record

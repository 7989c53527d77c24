"""What a person sees while a command works."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from tasks.common import progress
from tasks.common.progress import duration, print_table, show, warn_of_minutes


def shown(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    records = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(41, 81)]
    steps = [step for record in records for step in (None, record)]
    assert list(show(iter(steps), 40, 80, lambda r: f"loss {r['loss']:.3f}", console)) == steps
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = shown(terminal=False).splitlines()
    assert 4 <= len(lines) <= 11
    assert lines[-1] == "epoch 80/80, 0 s left: loss 0.013"
    assert "\x1b" not in "".join(lines)


def test_a_bar_on_a_terminal():
    text = shown(terminal=True)
    assert "\x1b[" in text and "80/80" in text and "loss 0.013" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_is_as_wide_as_its_numbers_need(width):
    table = Table(title="of numbers", box=box.SIMPLE_HEAD)
    for name in range(6):
        table.add_column(f"{name}", no_wrap=True)
    table.add_row(*["12345678"] * 6)
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    assert console.file.getvalue().count("12345678") == 6 and console.width == width


def test_the_time_left_is_that_of_the_epochs_so_far(monkeypatch):
    """Epochs 41 to 50 of 60 take 8 s each, after a stop at epoch 40."""
    now = iter([100.0, *(100.0 + 8 * epoch for epoch in range(1, 11))])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    console = Console(file=io.StringIO(), width=100)
    records = ({"epoch": epoch} for epoch in range(41, 51))
    list(show(records, 40, 60, lambda record: "", console))
    assert "epoch 48/60, 1 min 36 s left: " in console.file.getvalue()  # 12 epochs of 8 s


@pytest.mark.parametrize("seconds, words", [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (75, "1 min 15 s"),
                                            (3599.6, "1 h 0 min"), (4000, "1 h 6 min"), (90_000, "25 h 0 min")])
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("seconds, lines", [(59, []), (60, ["This takes about 1 min."]),
                                            (150, ["This takes about 2 min."]), (3000, ["This takes about 50 min."])])
def test_minutes_are_said_before_they_are_waited_for(seconds, lines):
    said = []
    warn_of_minutes(seconds, said.append)
    assert said == lines

"""What a person sees while a command works."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from tasks.common.progress import print_table, show


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

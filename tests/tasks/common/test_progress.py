"""What a person sees while a command works."""

from __future__ import annotations

import io

from rich.console import Console

from tasks.common.progress import show


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

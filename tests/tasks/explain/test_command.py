"""The command: a page of ten chapters, or one of an expression."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import run as program
from data import BadInput
from tasks.explain.command import ExplainOptions, run

PAGE = Path("runs/explain/index.html")


def test_ten_chapters_and_their_exercises_exist():
    run(ExplainOptions(), Console(file=io.StringIO()))
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("<article") == 10
    assert "http" not in text.replace("http://www.w3.org/", "")


@pytest.mark.parametrize("option", ["--code", "-c"])
def test_an_expression(option):
    code = "x = Tensor(2.0, True); tanh(x) * x"
    if option == "-c":
        Path("mine.py").write_text("x = Tensor(2.0, True)\ntanh(x) * x\n", encoding="utf-8")
        code = "mine.py"
    assert program.main(["explain", option, code]) == 0
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("<article") == 1 and "x.grad" in text


def test_a_name_is_text_on_the_page():
    code = 'x = Tensor(2.0, True); "</script><script>alert(1)</script>"; x * 2'
    run(ExplainOptions(code=code), Console(file=io.StringIO()))
    assert "<script>alert" not in PAGE.read_text(encoding="utf-8")


def test_bad_input_writes_nothing(capsys):
    assert program.main(["explain", "--code", "x +"]) == 2
    assert program.main(["explain", "-c", "nowhere.py"]) == 2
    assert program.main(["explain", "--code", "1", "-c", "a.py"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("run.py: ") for line in lines) and not PAGE.exists()


def test_both_at_once_are_refused():
    with pytest.raises(BadInput, match="one of them"):
        run(ExplainOptions(code="1", file=Path("a")), Console(file=io.StringIO()))

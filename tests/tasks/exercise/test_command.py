"""The command: a list, a file that is written once, a verdict."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import run as program
from data import BadInput
from tasks.exercise.catalog import BY_NAME, EXERCISES
from tasks.exercise.command import ExerciseOptions, run
from tasks.exercise.judge import solution

FILE = Path("runs/exercises/tanh.py")


def printed(*options) -> tuple[bool, str]:
    text = io.StringIO()
    return run(ExerciseOptions(*options), Console(file=text)), text.getvalue()


def test_there_are_fifteen_in_the_list():
    _, text = printed()
    assert len(EXERCISES) == 15 and all(exercise.name in text for exercise in EXERCISES)
    assert not Path("runs").exists()


def test_the_work_of_a_person_is_never_overwritten():
    assert printed("tanh")[0] and FILE.exists()
    FILE.write_text("mine", encoding="utf-8")
    done, text = printed("tanh")
    assert done and "stays as it is" in text and FILE.read_text(encoding="utf-8") == "mine"
    assert not printed("tanh", True)[0] and FILE.read_text(encoding="utf-8") == "mine"


def test_a_blank_fails_and_what_is_right_leads_on():
    printed("tanh")
    lines = FILE.read_text(encoding="utf-8").splitlines()
    blank = next(number for number, line in enumerate(lines, 1) if line.startswith("tanh = "))
    assert printed("tanh", True) == (False, f"still to be written: line {blank} of {FILE}\n")
    FILE.write_text(solution(BY_NAME["tanh"]), encoding="utf-8")
    done, text = printed("tanh", True)
    assert done and "next: python run.py exercise softmax" in text


@pytest.mark.parametrize("options, says", [
    (("tahn",), "did you mean tanh"), (("tanh", True), "does not exist"), (("", True), "which one")])
def test_bad_input(options, says):
    with pytest.raises(BadInput, match=says):
        printed(*options)


def test_the_command_line(capsys):
    assert program.main(["exercise", "tanh"]) == 0
    assert program.main(["exercise", "tanh", "--check"]) == 1
    assert program.main(["exercise", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("run.py: there is no exercise 'nothing'")

"""Each exercise: the lines of the repository pass, the blank fails, and every planted mistake is named."""

from __future__ import annotations

import ast

import pytest

from tasks.exercise.catalog import EXERCISES
from tasks.exercise.cut import cut, exercise_file
from tasks.exercise.judge import judge, solution

every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=[exercise.name for exercise in EXERCISES])
every_mistake = pytest.mark.parametrize(
    "exercise, right, wrong, hint", [(exercise, *mistake) for exercise in EXERCISES for mistake in exercise.mistakes],
    ids=[f"{exercise.name}-{i}" for exercise in EXERCISES for i in range(len(exercise.mistakes))])


@every_exercise
def test_the_lines_of_the_repository_pass(exercise):
    verdict = judge(exercise, solution(exercise), "mine.py")
    assert verdict.passed, verdict.lines


@every_exercise
def test_the_file_is_python_with_blanks_and_fails(exercise):
    text = exercise_file(exercise, "1 of 15")
    verdict = judge(exercise, text, "mine.py")
    assert not verdict.passed and verdict.lines[0].startswith("still to be written: line")
    numbers = verdict.lines[0].split("line ")[1].split(" of")[0].split(", ")
    assert len(numbers) == len(cut(exercise).regions)
    assert all("..." in text.splitlines()[int(number) - 1] for number in numbers)


@every_exercise
def test_the_file_keeps_the_docstring_and_gives_nothing_away(exercise):
    text = exercise_file(exercise, "1 of 15")
    ast.parse(text)
    assert max(map(len, text.splitlines())) <= 120
    for own in cut(exercise).own():
        assert own not in text.partition('"""\n')[2] or len(own) < 3


@every_mistake
def test_every_planted_mistake_is_named(exercise, right, wrong, hint):
    verdict = judge(exercise, solution(exercise, right, wrong), "mine.py")
    assert not verdict.passed
    assert verdict.lines[-1] == f"hint: {hint}" and sum(line.startswith("hint") for line in verdict.lines) == 1, (
        verdict.lines)

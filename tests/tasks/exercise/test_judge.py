"""What the judge says of work that is none of the planted mistakes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tasks.exercise.catalog import BY_NAME
from tasks.exercise.cut import cut
from tasks.exercise.judge import judge, relation


def say(name: str, *parts: str) -> tuple[bool, list[str]]:
    """The verdict on an exercise with these texts in the place of the blanks."""
    piece = cut(BY_NAME[name])
    return judge(BY_NAME[name], f"{piece.imports}\n{piece.filled(parts)}", "mine.py")


def test_another_way_to_write_it_passes():
    assert say("product", "b * g", "a * g").passed
    assert say("softmax", "g * y - y * sum(g * y, axis, keepdims=True)").passed
    assert say("adam", "b1, b2 = self.betas\n        g = g + self.weight_decay * p\n"
                       "        m[...] = b1 * m + (1 - b1) * g\n        v[...] = b2 * v + (1 - b2) * g**2\n"
                       "        p -= self.lr * (m / (1 - b1**self.steps)) / "
                       "(np.sqrt(v / (1 - b2**self.steps)) + self.eps)").passed


@pytest.mark.parametrize("parts, line", [
    (["g * b", "-g * a"], "hint: sign: it is the right value with the opposite sign"),
    (["3 * g * b", "g * a"], "hint: a factor: it is 3 times the right value"),
    (["g * b", "oops * a"], r"it stops: NameError: name 'oops' is not defined \(line \d+ of mine.py\)"),
])
def test_what_is_wrong(parts, line):
    assert any(re.fullmatch(line, said) for said in say("product", *parts).lines)


def test_a_wrong_gradient_is_shown_with_the_words_of_gradcheck():
    lines = say("product", "-g * b", "g * a").lines
    assert any(line.strip().startswith("wrong gradient for argument 0, of shape (5, 3)") for line in lines)
    assert lines[0].startswith("the gradient of a at [0, 0]: yours is ")


@pytest.mark.parametrize("text, says", [
    ("def f(:\n", "mine.py is not Python yet: line 1"),
    ("x = 1\n", "mul is gone"),
    ("import nowhere_at_all\n", "ModuleNotFoundError"),
])
def test_a_file_that_cannot_be_tried(text, says):
    verdict = judge(BY_NAME["product"], text, "mine.py")
    assert not verdict.passed and says in verdict.lines[0]


def test_relations():
    right = np.arange(1.0, 7).reshape(2, 3)
    assert relation(-right, right).startswith("sign")
    assert relation(right.T.copy(), right).startswith("transposed")
    assert relation(np.stack([right, right]) / 2, right).startswith("not summed")
    assert relation(right / 5, right).startswith("a factor: it is 0.2 times")
    assert relation(right + 1, right) == ""

"""Is what a person wrote right? And if not: what is wrong?

The piece is tried on fixed inputs, and so are nn's own piece and each of the planted mistakes. Numbers that are those
of a mistake say which mistake it is; others are compared with the right ones: the opposite, transposed, a multiple.

Read next: tasks/gradcheck.py, the table of gradient checks.
"""

from __future__ import annotations

import ast
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

import nn
from tasks.exercise.cut import Exercise, cut


class Verdict(NamedTuple):
    """passed, and what to tell the person, a line each."""

    passed: bool
    lines: list[str]


Outcome = dict[str, np.ndarray]  # what a trial yields; an exception is the last item, {"it stopped": its type}


def judge(exercise: Exercise, text: str, path: str) -> Verdict:
    """Judge the text of a person's file."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return Verdict(False, [f"{path} is not Python yet: line {getattr(error, 'lineno', '?')}: {error.args[0]}"])
    if lines := blanks(tree):
        return Verdict(False, [f"still to be written: line {', '.join(map(str, lines))} of {path}"])
    try:
        piece = load(text, path, exercise)
    except Exception as error:
        return Verdict(False, [f"the file stops while it is read: {said(error, path)}"])
    right = outcome(exercise, nn_piece(exercise))[0]
    mine, error = outcome(exercise, piece)
    if same(mine, right):
        if hasattr(exercise.trial, "gradcheck"):
            exercise.trial.gradcheck(piece)
        return Verdict(True, [f"right: {len(right)} values are those of nn"])
    lines = [f"it stops: {said(error, path)}" if error is not None else first_difference(mine, right)]
    if error is None and hasattr(exercise.trial, "gradcheck"):
        try:
            exercise.trial.gradcheck(piece)
        except nn.GradientError as wrong:
            lines += ["gradcheck says:", *("  " + line for line in str(wrong).splitlines()[:3])]
        except Exception as error:
            lines.append(f"gradcheck stops: {said(error, path)}")
    return Verdict(False, [*lines, *(f"hint: {hint}" for hint in hints(exercise, mine, right))])


def blanks(tree: ast.AST) -> list[int]:
    """The lines on which `...` stands as a statement, or as what a lambda returns."""
    return sorted(node.lineno for parent in ast.walk(tree) if isinstance(parent, (ast.Expr, ast.Lambda))
                  for node in [parent.value if isinstance(parent, ast.Expr) else parent.body]
                  if isinstance(node, ast.Constant) and node.value is ...)


def load(text: str, path: str, exercise: Exercise):
    """Run the text, and return the piece that is judged."""
    names = {"__name__": "exercise"}
    exec(compile(text, path, "exec"), names)
    if exercise.pieces[-1] not in names:
        raise NameError(f"{exercise.pieces[-1]} is gone: it is what is judged")
    return names[exercise.pieces[-1]]


def solution(exercise: Exercise, right: str = "", wrong: str = "") -> str:
    """The lines of the repository itself; with one mistake, if `right` is given: it becomes `wrong`."""
    piece = cut(exercise)
    own = piece.own()
    if right and not any(right in text for text in own):
        raise LookupError(f"{exercise.name}: the source no longer has {right!r}")
    return f"{piece.imports}\n\n{piece.filled([text.replace(right, wrong) if right else text for text in own])}"


def nn_piece(exercise: Exercise):
    return load(solution(exercise), exercise.module, exercise)


def outcome(exercise: Exercise, piece) -> tuple[Outcome, Exception | None]:
    """What the trial yields, and the exception that ended it, if one did."""
    found = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            for what, value in exercise.trial(piece):
                found[what] = np.array(value)
        except Exception as error:
            return {**found, "it stopped": np.array(type(error).__name__)}, error
    return found, None


def is_same(a, b):
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    if a.dtype.kind not in "fc":
        return np.array_equal(a, b)
    size = max(np.abs(x[np.isfinite(x)]).max(initial=0) for x in (a, b))
    return np.allclose(a, b, 1e-9, 1e-12 * size, equal_nan=True)


def same(a: Outcome, b: Outcome) -> bool:
    return a.keys() == b.keys() and all(is_same(a[what], b[what]) for what in a)


def first_difference(mine: Outcome, right: Outcome) -> str:
    """The first value that is not right, beside the right one."""
    for what, value in right.items():
        if what not in mine:
            return f"{what} is missing"
        if mine[what].shape != value.shape:
            return f"{what}: yours has the shape {mine[what].shape}, it should be {value.shape}"
        if not is_same(mine[what], value):
            at = np.unravel_index(np.argmax(~np.isclose(mine[what], value, equal_nan=True)), value.shape)
            where = f" at {list(map(int, at))}" if at else ""
            return f"{what}{where}: yours is {mine[what][at]}, it should be {value[at]}"
    return "there is more than there should be"


def hints(exercise: Exercise, mine: Outcome, right: Outcome) -> list[str]:
    """The mistakes that give the same numbers, or else how the first wrong value relates to the right one."""
    found = [hint for old, new, hint in exercise.mistakes
             if same(outcome(exercise, load(solution(exercise, old, new), exercise.module, exercise))[0], mine)]
    if found:
        return list(dict.fromkeys(found))
    return [hint for what, value in right.items() if what in mine and not is_same(mine[what], value)
            if (hint := relation(mine[what], value))][:1]


def relation(mine: np.ndarray, right: np.ndarray) -> str:
    """How a wrong value relates to the right one, "" if it does in no way that is known."""
    if right.dtype.kind != "f" or mine.dtype.kind not in "fiu":
        return ""
    if is_same(mine, -right):
        return "sign: it is the right value with the opposite sign"
    if right.ndim > 1 and is_same(mine, right.swapaxes(-1, -2)):
        return "transposed: it is the right value with its axes exchanged"
    for axis in range(mine.ndim):
        if is_same(mine.sum(axis), right):
            return f"not summed: summed over its axis {axis}, the batch, it would be right"
    if mine.shape == right.shape and mine.size > 1 and np.all(right != 0):
        ratio = mine / right
        if np.allclose(ratio, ratio.flat[0], 1e-6) and np.isfinite(ratio.flat[0]):
            return f"a factor: it is {ratio.flat[0]:.6g} times the right value"
    return ""


def said(error: Exception, path: str) -> str:
    """An exception in one line, with the line of the person's file that it came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" + (f" (line {lines[-1]} of {Path(path).name})" if lines else "")

"""Cut a piece out of the source of nn: with its docstring, and with `...` in the place of what is to be written.

Nothing is copied by hand, so an exercise is always what nn is now.

Read next: catalog.py, the exercises.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import nn


class Exercise(NamedTuple):
    """A piece of nn to be written.

    name        what it is called on the command line
    module      where it stands
    pieces      the names of the top-level statements that are cut out; the last one is judged
    task        what is to be written, in a sentence
    trial       trial(piece) yields (what, number or array): what the piece computes from fixed inputs
    mistakes    (right, wrong, hint): the text `right` in the lines to be written, the mistake that a person would make
                there, and what to say about it
    at          the function inside the pieces that is to be written, "rnn.backward.step"; by default every function of
                the pieces, and every derivative in a row of the table
    first       the first of its statements that is to be written
    """

    name: str
    module: str
    pieces: tuple[str, ...]
    task: str
    trial: Callable
    mistakes: list[tuple[str, str, str]]
    at: str = ""
    first: int = 0


class Region(NamedTuple):
    """Lines to be written: offsets in the text of the pieces, and whether they are statements or an expression."""

    start: int
    end: int
    statements: bool


class Cut(NamedTuple):
    """The pieces as they stand in the source, the imports that they need, and the regions to be written."""

    imports: str
    text: str
    regions: list[Region]

    def own(self) -> list[str]:
        """What the source has in the regions."""
        return [self.text[region.start:region.end] for region in self.regions]

    def filled(self, texts: Sequence[str]) -> str:
        """The pieces with these texts in the regions."""
        text = self.text
        for region, new in reversed(list(zip(self.regions, texts, strict=True))):
            text = text[:region.start] + new + text[region.end:]
        return text

    def blank(self) -> str:
        """The pieces with `...` in the regions, and how many lines the source has there."""
        lines = [own.count("\n") + 1 for own in self.own()]
        return self.filled([f"...  # {n} line{'s' * (n > 1)} in nn" if region.statements else "..."
                            for region, n in zip(self.regions, lines, strict=True)])


def cut(exercise: Exercise) -> Cut:
    """The exercise in the source as it is now. LookupError if the source no longer has it."""
    source = inspect.getsource(importlib.import_module(exercise.module))
    tree = ast.parse(source)
    statements = [node for node in tree.body if _defined(node) in exercise.pieces]
    if {_defined(node) for node in statements} != set(exercise.pieces):
        raise LookupError(f"{exercise.module} has no {' and '.join(exercise.pieces)}")
    texts = [ast.get_source_segment(source, node, padded=True) for node in statements]
    texts = ["\n".join(f"@{ast.unparse(each)}" for each in getattr(node, "decorator_list", [])) + "\n" * bool(
        getattr(node, "decorator_list", [])) + text for node, text in zip(statements, texts, strict=True)]
    text = "".join(part + ("\n\n\n" if "\n" in part and part.startswith(("def", "class", "@")) else "\n")
                   for part in texts).rstrip("\n") + "\n"
    return Cut(_imports(tree, text, exercise), text, _regions(text, exercise))


def _defined(node):
    """The name that a top-level statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    return node.targets[0].id if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else None


def _imports(tree, text, exercise):
    """The imports of the module, and one for what else of the module the text uses."""
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    own = sorted(used & {_defined(node) for node in tree.body} - set(exercise.pieces))
    return "\n".join([*imports, *([f"from {exercise.module} import {', '.join(own)}"] if own else [])])


def _regions(text, exercise):
    """Where the lines to be written are, from the first to the last."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def region(nodes, statements):
        first, last = nodes[0], nodes[-1]
        return Region(starts[first.lineno - 1] + first.col_offset, starts[last.end_lineno - 1] + last.end_col_offset,
                      statements)

    tree = ast.parse(text)
    if exercise.at:
        node = tree
        for name in exercise.at.split("."):
            node = next(child for child in ast.walk(node) if child is not node and getattr(child, "name", "") == name)
        return [region(_body(node)[exercise.first:], True)]
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.append(region(_body(node), True))
        else:
            found += [region([argument.body], False) for argument in node.value.args
                      if isinstance(argument, ast.Lambda)]
    return found


def _body(function):
    """The statements of a function after its docstring."""
    return function.body[1:] if ast.get_docstring(function) else function.body


def exercise_file(exercise: Exercise, number: str) -> str:
    """The text of the file in which a person writes: the pieces with `...` where something is to be written."""
    piece = cut(exercise)
    rows = any(not region.statements for region in piece.regions)
    about = [paragraph.replace("\n", "\n# ") for paragraph in inspect.getdoc(nn.op).split("\n\n")[1:2]] if rows else []
    return "\n".join([
        f'"""Exercise {number}: {exercise.name}, from {exercise.module.replace(".", "/")}.py', "",
        textwrap.fill(exercise.task, 110), "Write it in the place of each `...`, then let it be judged:", "",
        f'    python run.py exercise {exercise.name} --check', '"""', "", piece.imports, "",
        *(["# " + line for line in about] and ["", "# What an op is, from nn.op:", *("# " + line for line in about)]),
        "", piece.blank()])

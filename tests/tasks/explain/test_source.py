"""Rows and formulas out of the source of nn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import nn
from tasks.explain.source import formula, function, rows
from tasks.gradcheck import CASES


def text(mathml: str) -> str:
    """The characters of a formula, without its layout."""
    return "".join(ElementTree.fromstring(mathml).itertext())


def test_a_row_stands_in_the_source_where_it_says():
    row = rows()["tanh"]
    assert row.text == "tanh = op(np.tanh, lambda g, y, x: g * (1 - y * y))"
    file, line = re.fullmatch(r"nn/(\w+)\.py, line (\d+)", row.where).groups()
    source = Path(nn.__path__[0], f"{file}.py").read_text(encoding="utf-8")
    assert source.splitlines()[int(line) - 1] == row.text
    assert text(row.formulas[0]) == "∂L∂x=g⋅(1−y⋅y)"


def test_every_op_that_gradcheck_records_has_a_row():
    seen = set()
    for case in CASES:
        if case.twin is None:
            xs = [nn.Tensor(x, True) if x.dtype.kind == "f" else x for x in case.inputs()]
            ys = case.function(*xs)
            for y in ys if isinstance(ys, tuple) else (ys,):
                seen |= {t.node.pullback.__name__ for t in nn.backward.history(y) if t.node is not None}
    assert seen - {"hand_on", "einsum"} <= set(rows()) and "softmax" in seen


def test_formulas():
    assert text(formula("d(y, x) == a / (b + c)")) == "∂y∂x=ab+c"
    assert "<mfrac>" in formula("a / b") and "<msup>" in formula("x ** 2") and "<msub>" in formula("h[t - 1]")
    assert text(formula("(a + b) * c - (d - e)")) == "(a+b)⋅c−(d−e)"
    assert text(formula("(a - b) ** 2 * -c")) == "(a−b)2⋅(−c)"
    assert text(formula("a if b else c")) == "a if b else c"


def test_every_formula_of_a_row_is_well_formed():
    for row in rows().values():
        for one in row.formulas:
            ElementTree.fromstring(one)


def test_a_function_is_cut_out_whole():
    assert function("tensor", "unbroadcast").startswith("def unbroadcast(") and "return" in function(
        "tensor", "unbroadcast").splitlines()[-1]


def test_a_function_that_is_gone_is_an_error():
    with pytest.raises(StopIteration):
        function("tensor", "nothing")

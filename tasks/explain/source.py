"""The rows of nn's table, as they stand in its source, and their formulas in MathML.

A formula is made out of the code of a derivative: the page cannot say anything else than nn does.

Read next: chapters.py, the text of the page.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from html import escape
from typing import NamedTuple

import numpy as np

MODULES = ("tensor", "ops", "losses", "fused", "sequence", "backward", "gradcheck")


class Row(NamedTuple):
    """An op in the source: its text, where it stands, and the MathML of each of its derivatives."""

    text: str
    where: str
    formulas: list[str]


def source(module: str) -> str:
    return inspect.getsource(importlib.import_module(f"nn.{module}"))


@functools.cache
def rows() -> dict[str, Row]:
    """{name of an op: its row}, for every call of `op` in nn and every fused op."""
    found = {}
    for module in MODULES:
        text = source(module)
        for statement in ast.walk(ast.parse(text)):
            where = f"nn/{module}.py, line {getattr(statement, 'lineno', 0)}"
            if isinstance(statement, ast.FunctionDef) and any(
                    isinstance(one, ast.Call) and ast.unparse(one.func) == "fused" for one in statement.decorator_list):
                name = statement.name
                head = text.splitlines()[statement.lineno - 1]
                found[name] = Row(f'{head}\n    """{ast.get_docstring(statement, clean=False)}"""', where, [])
            elif isinstance(statement, (ast.Assign, ast.Return)):
                for call in ast.walk(statement.value) if statement.value else []:
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "op" and call.args:
                        prefix, _, name = ast.unparse(call.args[0]).rpartition(".")
                        name = getattr(np, name).__name__ if prefix == "np" else name.strip("_")  # np.abs is absolute
                        found[name] = Row(ast.get_source_segment(text, statement), where,
                                          _formulas(call))
    return found


def function(module: str, name: str) -> str:
    """The source of a top-level function of nn."""
    text = source(module)
    node = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    return ast.get_source_segment(text, node)


def _formulas(call):
    """dL/dx = ... for each derivative of a row that is written as a lambda."""
    found = []
    for i, vjp in enumerate(call.args[1:]):
        if isinstance(vjp, ast.Lambda) and len(names := [one.arg for one in vjp.args.args]) > i + 2:
            left = f"<mfrac><mrow><mi>∂</mi><mi>L</mi></mrow><mrow><mi>∂</mi>{_name(names[i + 2])}</mrow></mfrac>"
            found.append(_math(f"{left}<mo>=</mo>{_mathml(vjp.body)}"))
    return found


# -- MathML -------------------------------------------------------------------------------------------------------

OPERATORS = {ast.Add: "+", ast.Sub: "−", ast.Mult: "⋅", ast.MatMult: "@", ast.Eq: "=", ast.Gt: "&gt;", ast.Lt: "&lt;"}
STRENGTH = {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.MatMult: 2, ast.Div: 4, ast.Pow: 3}


def formula(text: str) -> str:
    """The MathML of a formula in the notation of Python; d(y, x) is a derivative, == the sign of equality."""
    return _math(_mathml(ast.parse(text, mode="eval").body))


def _math(inside):
    return f'<div class="formula"><math display="block">{inside}</math></div>'


def _name(name):
    head, _, tail = name.partition("_")
    if tail and len(head) == 1:  # W_ih, but log_var is no logarithm to the base var
        return f"<msub><mi>{escape(head)}</mi><mi>{escape(tail)}</mi></msub>"
    return f"<mi>{escape(name)}</mi>"


def _group(node, at_least):
    strength = STRENGTH.get(type(getattr(node, "op", None)), 9) if isinstance(node, ast.BinOp) else 9
    strength = 1 if isinstance(node, (ast.UnaryOp, ast.Compare)) else strength
    inside = _mathml(node)
    return inside if strength >= at_least else f"<mrow><mo>(</mo>{inside}<mo>)</mo></mrow>"


def _mathml(node):
    match node:
        case ast.Name(name):
            return _name(name)
        case ast.Constant(value):
            return f"<mn>{value}</mn>"
        case ast.UnaryOp(ast.USub(), operand):
            return f"<mrow><mo>−</mo>{_group(operand, 2)}</mrow>"
        case ast.BinOp(left, ast.Div(), right):
            return f"<mfrac><mrow>{_mathml(left)}</mrow><mrow>{_mathml(right)}</mrow></mfrac>"
        case ast.BinOp(left, ast.Pow(), right):
            return f"<msup>{_group(left, 9)}<mrow>{_mathml(right)}</mrow></msup>"
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            strength = STRENGTH[type(op)]
            right = _group(right, strength + isinstance(op, (ast.Sub, ast.MatMult)))
            return f"<mrow>{_group(left, strength)}<mo>{OPERATORS[type(op)]}</mo>{right}</mrow>"
        case ast.Compare(left, [op], [right]) if type(op) in OPERATORS:
            return f"<mrow>{_mathml(left)}<mo>{OPERATORS[type(op)]}</mo>{_mathml(right)}</mrow>"
        case ast.Attribute(value, "mT" | "T"):
            return f"<msup>{_group(value, 9)}<mi>T</mi></msup>"
        case ast.Subscript(value, index) if not isinstance(index, (ast.Slice, ast.Tuple)):
            return f"<msub>{_group(value, 9)}<mrow>{_mathml(index)}</mrow></msub>"
        case ast.Call(ast.Name("d"), [y, x]):
            return (f"<mfrac><mrow><mi>∂</mi>{_mathml(y)}</mrow><mrow><mi>∂</mi>{_mathml(x)}</mrow></mfrac>")
        case ast.Call(ast.Name("sqrt"), [x]):
            return f"<msqrt>{_mathml(x)}</msqrt>"
        case ast.Call(ast.Name(name), arguments):
            inside = "<mo>,</mo>".join(map(_mathml, arguments))
            return f"<mrow><mi>{escape(name.strip('_'))}</mi><mo>(</mo>{inside}<mo>)</mo></mrow>"
    return f"<mtext>{escape(ast.unparse(node))}</mtext>"

"""A forward and a backward pass, step by step: what each op was given, what it returned, and how gradients add up.

The numbers are those of nn: the gradient of each Tensor comes from the walk of nn/backward.py, and the contributions
from the pullbacks of the nodes.

Read next: source.py, where the rows of the table come from.
"""

from __future__ import annotations

import ast
import traceback
from dataclasses import dataclass, field

import numpy as np

import nn
from data import BadInput
from nn.backward import gradients
from nn.draw import MOST, graph, names_of
from nn.draw import draw as draw_graph
from tasks.explain.source import Row, rows

NAMES = {name: value for name, value in vars(nn).items() if not name.startswith("_")} | {"nn": nn, "np": np}


@dataclass
class Step:
    """One step of a player. box: what happens where; edges: (from, to) along which something goes."""

    kind: str  # "given", "forward", "backward" or "end"
    title: str
    box: int
    edges: list[tuple[int, int]] = field(default_factory=list)
    row: Row | None = None
    values: list[tuple[str, str]] = field(default_factory=list)
    sums: list[tuple[str, str]] = field(default_factory=list)
    freed: bool = False


@dataclass
class Play:
    """A graph, and the steps through it."""

    title: str
    svg: str
    steps: list[Step]


def run_code(code: str, where: str = "--code") -> tuple[nn.Tensor, dict]:
    """Run the text, with the names of nn and np, and return its last value and its variables.

    The last value is that of the last line, an expression or what is assigned there. Raises BadInput for what is not
    Python, raises an exception, or is no Tensor that needs a gradient.
    """
    variables = dict(NAMES)
    try:
        tree = ast.parse(code.strip("\n"), where)
        match tree.body[-1] if tree.body else None:
            case ast.Expr(value):
                tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], value), tree.body[-1])
                name = "_"
            case ast.Assign([ast.Name(name)]):
                pass
            case _:
                raise BadInput(f"{where}: the last line has to be an expression, or to assign one to a name")
        exec(compile(ast.fix_missing_locations(tree), where, "exec"), variables)
    except BadInput:
        raise
    except SyntaxError as error:
        raise BadInput(f"{where}, line {error.lineno}: not Python: {error.msg}") from None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == where]
        raise BadInput(f"{where}, line {lines[-1] if lines else 1}: {type(error).__name__}: {error}") from None
    last = variables[name]
    if not isinstance(last, nn.Tensor) or not last.requires_grad:
        raise BadInput(f"{where}: the last line has to be a Tensor that needs a gradient, such as "
                       '"x = Tensor(2.0, True); tanh(x) * x"')
    return last, {name: value for name, value in variables.items() if NAMES.get(name) is not value}


def play(y: nn.Tensor, variables: dict, title: str = "", *, wrong_order: bool = False) -> Play:
    """The steps through the graph of y. wrong_order: hand on every contribution at once, which is wrong."""
    boxes = graph(y)
    if len(boxes) > MOST:
        raise BadInput(f"the graph has {len(boxes)} boxes; the page shows up to {MOST}: use a smaller example")
    svg = draw_graph(y, variables).svg
    names = names_of(variables)
    number = {id(x): i for i, (x, _, _) in enumerate(boxes)}
    name = {id(x): names.get(id(x)) or (op.__name__ if op else "data") for x, op, _ in boxes}
    steps = [*_forward(boxes, number, name),
             *(_wrong(y, number, name) if wrong_order else _backward(y, number, name))]
    return Play(title, svg, steps)


def shown(value) -> str:
    """A value as text: up to 12 numbers, else the shape and the size."""
    if isinstance(value, dict):  # the gradients of several results of a fused op
        return "; ".join(f"of result {i}: {shown(g)}" for i, g in value.items())
    array = value.data if isinstance(value, nn.Tensor) else np.asarray(value)
    if array.size > 12:
        return f"{'×'.join(map(str, array.shape))} numbers, norm {np.linalg.norm(array):.4g}"
    return np.array2string(array, formatter={"float": lambda v: f"{v + 0.0:.5g}"}, separator=", ")


def _forward(boxes, number, name):
    """One step for what was given, and one for each op."""
    given = [(x, number[id(x)]) for x, op, _ in boxes if op is None]
    yield Step("given", "What is given", -1, values=[(name[id(x)], shown(x)) for x, _ in given])
    for x, op, inputs in boxes:
        if op is None:
            continue
        here = number[id(x)]
        values = [*((name[id(p)], shown(p)) for p in {id(p): p for p in inputs}.values()), *_numbers(x)]
        yield Step("forward", f"{_of(x, op, name)}", here, [(number[id(p)], here) for p in inputs],
                   rows().get(op.__name__), [("in: " + what, text) for what, text in values]
                   + ([("out", shown(x))] if x.shape != (0,) else []))


def _of(x, op, name):
    return f"{name[id(x)]} = {op.__name__}" if name[id(x)] != op.__name__ else op.__name__


def _numbers(x):
    """The arguments of the op that are neither Tensors nor arrays."""
    rest = [a for a in x.node.args if not isinstance(a, (nn.Tensor, np.ndarray)) and a is not None]
    return [("number" if isinstance(a, (int, float)) else "argument", str(a)) for a in rest]


def _contributions(t, g):
    """(parent, its part of the gradient) for each parent of t."""
    _, _, arrays, kwargs, parents = t.node
    dxs = t.node.pullback(g, t.data, arrays, kwargs, parents)
    return [(p, dx) for p, dx in zip(parents, dxs) if p is not None]  # noqa: B905 (as in nn/backward.py)


def _backward(y, number, name):
    """The walk of nn: from the newest to the oldest, each Tensor when its gradient is complete."""
    births = {x.birth for x, _, _ in graph(y) if isinstance(x, nn.Tensor)}
    walked = list(gradients(y, np.ones_like(y.data), births, True, False))
    waiting = {}
    yield Step("backward", f"The gradient of {name[id(y)]} with respect to itself is 1", number[id(y)],
               values=[(f"gradient of {name[id(y)]}", shown(np.ones_like(y.data)))])
    for t, g in walked:
        here = number[id(t)]
        waiting.pop(id(t), None)
        if t.node is None:
            yield Step("end", f"{name[id(t)]} was made by hand: its gradient is complete", here,
                       values=[(f"{name[id(t)]}.grad", shown(g))])
            continue
        step = Step("backward", f"Back through {_of(t, t.node.pullback, name)}", here, [],
                    rows().get(t.node.pullback.__name__), [("g, the gradient of " + name[id(t)], shown(g))], freed=True)
        for p, dx in _contributions(t, g):
            step.edges.append((number[id(p)], here))
            step.sums.append(_added(waiting, p, dx, name))
        yield step


def _added(waiting, p, dx, name):
    """Add a contribution, and say so: "2 + 1 = 3"."""
    before = waiting.get(id(p))
    waiting[id(p)] = dx if before is None else before + dx
    text = shown(dx) if before is None else f"{shown(before)} + {shown(dx)} = {shown(waiting[id(p)])}"
    return f"gradient of {name[id(p)]}", text


def _wrong(y, number, name):
    """The mistake of a walk without an order: each contribution is handed on at once, although more will come."""
    so_far = {id(y): np.ones_like(y.data)}
    yield Step("backward", f"The gradient of {name[id(y)]} with respect to itself is 1", number[id(y)],
               values=[(f"gradient of {name[id(y)]}", shown(so_far[id(y)]))])

    def visit(t):
        g = so_far[id(t)]
        for p, dx in _contributions(t, g):
            step = Step("backward", f"Back through {_of(t, t.node.pullback, name)}, one argument", number[id(t)],
                        [(number[id(p)], number[id(t)])], rows().get(t.node.pullback.__name__),
                        [("g, as far as it is known", shown(g))], [_added(so_far, p, dx, name)])
            yield step
            if p.node is not None:
                yield from visit(p)

    yield from visit(y)
    for x, op, _ in graph(y):
        if op is None and id(x) in so_far:
            right = nn.grad(y, x, np.ones_like(y.data), retain_graph=True)
            yield Step("end", f"The wrong answer for {name[id(x)]}", number[id(x)],
                       values=[(f"{name[id(x)]}.grad, wrong", shown(so_far[id(x)])), ("the right one", shown(right))])

"""Is every gradient of nn right? A table with each op, loss, cell and layer, and a check of each row.

A row is a name, which begins with the public name in nn, a function of Tensors, and its inputs: shapes, filled at
random. An elementwise op is one entry of UNARY or BINARY, which takes it through several shapes. tests/nn/test_ops.py
checks the same rows, and fails when a public function has none.

Read next: data/covid.py, how the case counts are read.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

import nn
from nn.gradcheck import with_parameters

TOLERANCE = 1e-7

# -- the inputs of a row: functions of a generator -----------------------------------------------------------


def real(*shape):
    return lambda rng: rng.standard_normal(shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.5, 2, shape)


def nonzero(*shape):
    """Of either sign, and well away from 0, away from 0, where abs has no derivative and 1 / x is inaccurate."""
    return lambda rng: rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)


def share(*shape):
    """Inside (0, 1)."""
    return lambda rng: rng.uniform(0.1, 0.9, shape)


def strided(*shape):
    """A view that is contiguous in no order: every second element of a transposed array, backwards."""
    return lambda rng: rng.standard_normal([2 * n for n in reversed(shape)])[(slice(None, None, -2),) * len(shape)].T


# -- the rows ------------------------------------------------------------------------------------------------


class Case:
    """One row: the gradients of `function` at `inputs` are checked up to order `order`.

    With a `twin`, another function of the same inputs, the two are held equal instead, in every value and gradient.
    """

    def __init__(self, name: str, function: Callable, *inputs: Callable, order: int = 2, twin: Callable | None = None):
        self.name, self.function, self.order, self.twin = name, function, order, twin
        self._inputs = inputs

    def inputs(self) -> list[np.ndarray]:
        """The arrays, float64 and the same every time."""
        rng = np.random.default_rng(0)
        return [np.asarray(draw(rng)) for draw in self._inputs]


class _Call(nn.Module):
    """A layer and the way to call it."""

    def __init__(self, layer: nn.Module, call: Callable):
        self.layer, self.call = layer, call

    def forward(self, *xs):
        return self.call(self.layer, *xs)


def module(name: str, layer: nn.Module, *inputs: Callable, call: Callable | None = None, **options) -> Case:
    """A row for a layer: its parameters are inputs too, after those of `call(layer, *inputs)`."""
    function = with_parameters(layer if call is None else _Call(layer, call))
    return Case(name, function, *inputs, *(real(*p.shape) for p in layer.parameters()), **options)


def lstm(layer, x, h, c, **kwargs):
    """An LSTM's three results side by side."""
    y, (h, c) = layer(x, (h, c), **kwargs)
    return y, h, c


def steps(cell, x, *state):
    """What a recurrent layer does, with a cell: x (L, N, I), each state (1, N, H)."""
    state, hs = [s[0] for s in state], []
    for x_t in x:
        out = cell(x_t, tuple(state) if len(state) > 1 else state[0])
        state = out if isinstance(out, tuple) else (out,)
        hs.append(state[0])
    return nn.stack(hs), *(s.reshape((1, *s.shape)) for s in state)


def twin(name: str, layer: nn.Module, cell: nn.Module, *inputs: Callable, call: Callable | None = None) -> Case:
    """A row that holds a fused layer equal to its cell; both have the same parameters, in the same order."""
    return module(name, layer, *inputs, call=call, order=1, twin=module(name, cell, *inputs, call=steps).function)


# name: domain. Each is checked at three shapes, 0-d and empty ones among them.
UNARY = {
    "neg": real, "exp": real, "expm1": real, "log": positive, "log1p": positive, "sqrt": positive, "tanh": real,
    "sigmoid": real, "relu": nonzero, "abs": nonzero, "sin": real, "cos": real, "softplus": real, "elu": nonzero,
    "leaky_relu": nonzero, "silu": real, "gelu": real,
}

# name: domains of the two. Each is checked at four pairs of shapes.
BINARY = {
    "add": (real, real), "sub": (real, real), "mul": (real, real), "div": (real, nonzero), "pow": (positive, real),
    "maximum": (real, real), "minimum": (real, real),
}

CLASSES = np.array([2, 0, -100, 1, 2])
WEIGHT = np.linspace(0.5, 2, 7)
MASK = np.array([[True, False, True], [False, True, True]])
LENGTHS = np.array([3, 0, 5, 1, 5, 2, 4])

CASES = [
    *(Case(name, getattr(nn, name), x(*shape), order=order)
      for name, x in UNARY.items() for shape, order in [((5, 7), 3), ((), 2), ((0, 3), 2)]),
    *(Case(name, getattr(nn, name), a(*left), b(*right), order=order)
      for name, (a, b) in BINARY.items()
      for left, right, order in [((5, 7), (5, 7), 3), ((5, 1), (2, 1, 3), 2), ((), (3, 2), 2), ((0, 3), (3,), 2)]),

    Case("tanh view", nn.tanh, strided(5, 7)),
    Case("mul view", nn.mul, strided(5, 7), strided(7)),
    Case("mul self", lambda x: x * x * x, real(5, 7), order=3),
    Case("div reflected", lambda x: (2 - x) / (1 / x + 3 - x), positive(5, 7)),
    *(Case(f"pow {n}", lambda x, n=n: x**n, positive(5, 7), order=3) for n in (3, 2, 1, 0, 0.5, -1.5)),
    Case("pow at 0", lambda x: x**2 + x**1 + x**0, lambda rng: np.array([0.0, 1.5, -2]), order=3),
    Case("pow 2 ** x", lambda x: 2**x, real(5, 7), order=3),
    Case("where", lambda a, b: nn.where(MASK, a, b), real(2, 3), real(2, 3)),
    Case("where broadcast", lambda a, b: nn.where(MASK, a, b), real(5, 1, 1), real(3)),
    Case("clip", lambda x: nn.clip(x, -0.5, 1), real(5, 7)),
    Case("clip low", lambda x: nn.clip(x, low=-0.5), real(5, 7)),
    Case("clip high", lambda x: nn.clip(x, high=0.5), real(5, 7)),
    Case("clip by Tensors", nn.clip, real(5, 7), real(7), lambda rng: 1 + rng.random((5, 1))),
    Case("clip low above high", nn.clip, real(5, 7), lambda rng: 1 + rng.random(7), real(5, 1)),
    Case("elu alpha=2", lambda x: nn.elu(x, 2.0), nonzero(5, 7)),
    Case("cumsum", lambda x: nn.cumsum(x, 1), real(2, 3, 5), order=3),
    Case("cumsum axis=-2", lambda x: nn.cumsum(x, -2), real(2, 3, 5)),
    Case("norm 1", lambda x: nn.norm(x, 1, axis=-1), nonzero(2, 3, 5)),
    Case("norm at 0", nn.norm, lambda rng: np.zeros((0, 3))),
    Case("einsum", lambda a, b: nn.einsum("nij,kj->nk", a, b), real(2, 3, 5), real(7, 5), order=3),
    Case("einsum of one", lambda a: nn.einsum("ij->j", a), real(3, 5)),
    Case("einsum implicit", lambda a, b, c: nn.einsum("ij,jk,kl", a, b, c), real(2, 3), real(3, 5), real(5, 7)),
    Case("einsum dot", lambda a, b: nn.einsum("i,i->", a, b), real(5), real(5)),
    Case("astype", lambda x: nn.astype(x, x.dtype), real(5, 7)),

    Case("matmul", nn.matmul, real(5, 3), real(3, 2), order=3),
    Case("matmul view", nn.matmul, strided(5, 3), strided(3, 2)),
    Case("matmul batches", nn.matmul, real(2, 1, 5, 3), real(7, 3, 2)),
    Case("matmul one for all", nn.matmul, real(2, 5, 3), real(3, 7)),
    Case("matmul row", nn.matmul, real(3), real(3, 2)),
    Case("matmul row, batch", nn.matmul, real(3), real(5, 3, 2)),
    Case("matmul column", nn.matmul, real(5, 3), real(3)),
    Case("matmul dot", nn.matmul, real(3), real(3)),
    Case("matmul empty", nn.matmul, real(5, 0), real(0, 2)),

    *(Case(f"{name}{''.join(f' {k}={v}' for k, v in options.items())}",
           lambda x, name=name, options=options: getattr(nn, name)(x, **options), real(2, 3, 5))
      for name in ("sum", "mean", "max", "min", "var", "std", "norm", "prod", "logsumexp")
      for options in [{"axis": None}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, -1)}]),
    Case("sum empty", lambda x: nn.sum(x, 0), real(0, 3)),
    Case("sum 0-d", nn.sum, real()),
    Case("mean 0-d", nn.mean, real()),
    Case("max 0-d", nn.max, real()),
    Case("var ddof=1", lambda x: nn.var(x, 0, ddof=1), real(5, 3), order=3),
    *(Case(f"{name} axis={axis}", lambda x, name=name, axis=axis: getattr(nn, name)(x, axis), real(2, 3, 5))
      for name in ("softmax", "log_softmax") for axis in (-1, 0, (0, 2), None)),
    Case("softmax", nn.softmax, real(5, 3), order=3),
    Case("log_softmax", nn.log_softmax, real(5, 3), order=3),
    Case("logsumexp large", lambda x: nn.logsumexp(50 * x + 1e4), real(5, 3)),

    Case("reshape", lambda x: x.reshape((5, -1)), real(2, 3, 5)),
    Case("reshape view", lambda x: x.reshape((6, 5)), strided(2, 3, 5)),
    Case("reshape empty", lambda x: x.reshape((3, 0, 2)), real(0, 3)),
    Case("broadcast_to", lambda x: nn.broadcast_to(x, (2, 3, 5)), real(3, 1)),
    Case("broadcast_to 0-d", lambda x: nn.broadcast_to(x, (2, 3)), real()),
    Case("swapaxes", lambda x: x.swapaxes(0, -1), real(2, 3, 5)),
    Case("transpose", nn.transpose, real(2, 3, 5)),
    Case("transpose axes", lambda x: nn.transpose(x, (2, 0, 1)), real(2, 3, 5)),
    Case("transpose -axes", lambda x: nn.transpose(x, (-2, -1, 0)), real(2, 3, 5)),
    Case("concatenate", lambda a, b, c: nn.concatenate([a, b, c]), real(2, 3), real(0, 3), real(5, 3)),
    Case("concatenate axis=-1", lambda a, b: nn.concatenate([a, b, a], axis=-1), real(2, 3), real(2, 5)),
    Case("stack", lambda a, b: nn.stack([a, b]), real(2, 3), real(2, 3)),
    Case("stack axis=-1", lambda a, b: nn.stack([a, b, a], axis=-1), real(2, 3), real(2, 3)),
    Case("split", lambda x: tuple(nn.split(x, 3, axis=-1)), real(5, 6)),
    Case("split at", lambda x: tuple(nn.split(x, [1, 4])), real(7, 2)),
    Case("pad", lambda x: nn.pad(x, [(1, 0), (2, 3)], value=7.0), real(5, 3)),
    Case("getitem slices", lambda x: x[1:, ::-2, None], real(5, 7)),
    Case("getitem integers", lambda x: x[..., -1, 2], real(2, 3, 5)),
    Case("getitem array", lambda x: x[np.array([[0, 2], [2, 2]])], real(5, 7)),
    Case("getitem arrays", lambda x: x[[0, 1, 1, 0], :, [2, -1, -1, 2]], real(2, 3, 5)),
    Case("getitem mask", lambda x: x[MASK], real(2, 3, 5)),
    Case("getitem empty", lambda x: x[:, 1], real(0, 3)),
    Case("scatter", lambda g: nn.scatter(g, np.array([0, 2, 2]), (5, 7)), real(3, 7)),
    Case("scatter slices", lambda g: nn.scatter(g, (slice(1, 4), 2), (5, 7)), real(3)),

    Case("cross_entropy", lambda x: nn.cross_entropy(x, CLASSES), real(5, 3)),
    Case("cross_entropy one", lambda x: nn.cross_entropy(x, np.array(2)), real(3)),
    Case("cross_entropy images", lambda x: nn.cross_entropy(x, MASK * 1, reduction="none"), real(2, 5, 3)),
    Case("cross_entropy options", lambda x: nn.cross_entropy(x, CLASSES, [0.5, 2, 3], label_smoothing=0.2), real(5, 3)),
    Case("cross_entropy shares", lambda x, q: nn.cross_entropy(x, q, [0.5, 2, 3], label_smoothing=0.2, reduction="sum"),
         real(5, 3), share(5, 3)),
    *(Case(f"binary_cross_entropy {how}", lambda p, t, how=how: nn.binary_cross_entropy(p, t, how),
           share(5, 7), share(5, 7)) for how in ("mean", "sum", "none")),
    Case("binary_cross_entropy_with_logits", nn.binary_cross_entropy_with_logits, nonzero(5, 7), share(5, 7)),
    Case("binary_cross_entropy_with_logits large",
         lambda x: nn.binary_cross_entropy_with_logits(400 * x, np.array([0.0, 1, 0.3])), nonzero(3)),
    Case("binary_cross_entropy weight", lambda p, t: nn.binary_cross_entropy(p, t, weight=WEIGHT), share(5, 7),
         share(5, 7)),
    Case("binary_cross_entropy_with_logits weights", lambda x, t: nn.binary_cross_entropy_with_logits(
        x, t, weight=WEIGHT, pos_weight=2 * WEIGHT), nonzero(5, 7), share(5, 7)),
    Case("mse_loss", nn.mse_loss, real(5, 7), real(5, 7)),
    Case("l1_loss", nn.l1_loss, real(5, 7), real(5, 7)),
    Case("huber_loss", lambda x, t: nn.huber_loss(x, t, delta=0.7), real(5, 7), real(5, 7)),
    Case("nll_loss", lambda x: nn.nll_loss(x, CLASSES, [0.5, 2, 3]), real(5, 3)),
    Case("nll_loss images", lambda x: nn.nll_loss(x, MASK * 1, reduction="none"), real(2, 5, 3)),
    Case("gaussian_kl", nn.gaussian_kl, real(5, 7), real(5, 7)),
    Case("reparameterize", lambda mean, log_var: nn.reparameterize(mean, log_var, np.random.default_rng(1)),
         real(5, 7), real(5, 7)),

    module("RNNCell tanh", nn.RNNCell(3, 2), real(5, 3), real(5, 2)),
    module("RNNCell relu", nn.RNNCell(3, 2, nonlinearity="relu"), real(5, 3), real(5, 2)),
    module("LSTMCell", nn.LSTMCell(3, 2), real(5, 3), real(5, 2), real(5, 2),
           call=lambda cell, x, h, c: cell(x, (h, c))),
    module("GRUCell", nn.GRUCell(3, 2), real(5, 3), real(5, 2)),
    Case("linear", nn.linear, real(5, 3), real(2, 3), real(2), order=3),
    module("Linear", nn.Linear(3, 2), real(5, 3)),
    module("Linear no bias", nn.Linear(3, 2, bias=False), real(7, 5, 3)),
    module("LayerNorm", nn.LayerNorm(5), real(7, 5)),
    module("LayerNorm of two axes", nn.LayerNorm((3, 5)), real(7, 3, 5)),
    module("Embedding", nn.Embedding(5, 3), call=lambda layer: layer(np.array([[0, 4, 4], [1, 0, 4]]))),
    Case("Dropout", lambda x: nn.Dropout(0.4, rng=np.random.default_rng(1))(x), real(5, 7)),
    Case("Sequential", lambda x, w: nn.Sequential(nn.tanh, lambda y: y @ w, nn.sigmoid)(x), real(5, 3), real(3, 2)),

    module("LSTM without bias", nn.LSTM(3, 2, bias=False), real(5, 7, 3), order=1, call=lambda layer, x: layer(x)[0]),
    module("GRU of one sequence", nn.GRU(3, 2, 2, bidirectional=True), real(5, 3), real(4, 2), order=1),
    module("RNNCell without bias", nn.RNNCell(3, 2, bias=False), real(3), real(2)),

    module("RNN tanh", nn.RNN(3, 2), real(5, 7, 3), real(1, 7, 2), order=1),
    module("RNN relu", nn.RNN(3, 2, nonlinearity="relu"), real(5, 7, 3), real(1, 7, 2), order=1),
    module("RNN all", nn.RNN(3, 2, 2, batch_first=True, bidirectional=True), real(7, 5, 3), real(4, 7, 2), order=1,
           call=lambda layer, x, h: layer(x, h, lengths=LENGTHS)),
    module("LSTM", nn.LSTM(3, 2), real(5, 7, 3), real(1, 7, 2), real(1, 7, 2), call=lstm, order=1),
    module("LSTM all", nn.LSTM(3, 2, 2, batch_first=True, bidirectional=True), real(7, 5, 3), real(4, 7, 2),
           real(4, 7, 2), order=1, call=lambda layer, *xs: lstm(layer, *xs, lengths=LENGTHS)),
    module("LSTM of data", nn.LSTM(3, 2), order=1,
           call=lambda layer: layer(np.linspace(-1, 1, 105, dtype=np.float16).reshape(5, 7, 3))[0]),
    module("LSTM empty", nn.LSTM(3, 2), real(5, 0, 3), real(1, 0, 2), real(1, 0, 2), call=lstm, order=1),
    module("GRU", nn.GRU(3, 2), real(5, 7, 3), real(1, 7, 2), order=1),
    module("GRU all", nn.GRU(3, 2, 2, batch_first=True, bidirectional=True), real(7, 5, 3), real(4, 7, 2), order=1,
           call=lambda layer, x, h: layer(x, h, lengths=LENGTHS)),

    twin("RNN = RNNCell tanh", nn.RNN(3, 2), nn.RNNCell(3, 2), real(5, 7, 3), real(1, 7, 2)),
    twin("RNN = RNNCell relu", nn.RNN(3, 2, nonlinearity="relu"), nn.RNNCell(3, 2, nonlinearity="relu"),
         real(5, 7, 3), real(1, 7, 2)),
    twin("LSTM = LSTMCell", nn.LSTM(3, 2), nn.LSTMCell(3, 2), real(5, 7, 3), real(1, 7, 2), real(1, 7, 2), call=lstm),
    twin("GRU = GRUCell", nn.GRU(3, 2), nn.GRUCell(3, 2), real(5, 7, 3), real(1, 7, 2)),
]

# -- the check -----------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """A row after its check. error: the worst relative one, nan if not known; message: empty when all is right."""

    name: str
    shapes: str
    order: str
    error: float
    message: str


def values_and_gradients(function: Callable, inputs: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Each result of a function that returns a tuple, and of each result alone the gradient for each input."""
    xs = [nn.Tensor(x, requires_grad=True) for x in inputs]
    for k, y in enumerate(function(*xs)):
        weight = np.random.default_rng(k).standard_normal(y.shape)
        yield y.data
        yield from (dx.data for dx in nn.grad((weight * y).sum(), xs, retain_graph=True))


def check(case: Case) -> Result:
    """Check one row; an exception counts as a failed row; the other rows still run."""
    inputs, error, message = case.inputs(), float("nan"), ""
    try:
        if case.twin is None:
            error = nn.gradcheck(case.function, *inputs, order=case.order, tolerance=TOLERANCE)
        else:
            pairs = zip(*(values_and_gradients(f, inputs) for f in (case.function, case.twin)), strict=True)
            errors = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-5) if a.shape == b.shape else np.inf
                      for a, b in pairs]
            error = float(np.max(errors))  # unlike max, it does not lose a nan
            if not error <= TOLERANCE:
                message = f"the two differ by {error:.2g}, relative (tolerance {TOLERANCE:.0e})"
    except nn.GradientError as wrong:
        error, message = float(wrong.error), str(wrong)
    except Exception:
        message = traceback.format_exc()
    shapes = " ".join(str(x.shape).replace(" ", "") for x in inputs)
    return Result(case.name, shapes, "=" if case.twin else str(case.order), error, message)


@dataclass
class GradcheckOptions:
    """Check every gradient of nn, and print the errors in a table."""


def run(options: GradcheckOptions, console: Console) -> bool:
    """Check all rows and print the table. Returns whether all are right."""
    start = time.perf_counter()
    results = [check(case) for case in CASES]
    seconds = time.perf_counter() - start
    table = Table(Column("name", overflow="fold"), "shapes", "order", "worst relative error", "verdict")
    for r in results:
        table.add_row(escape(r.name), r.shapes, r.order, f"{r.error:.1e}", "[red]WRONG" if r.message else "[green]ok")
    console.print(table)
    wrong = [r for r in results if r.message]
    for r in wrong:
        console.print(f"\n[red]WRONG[/] {escape(r.name)}: {escape(r.message)}")
    worst = max(results, key=lambda r: np.nan_to_num(r.error, nan=np.inf))
    console.print(f"{len(results)} rows, {len(wrong)} wrong, {seconds:.1f} s; "
                  f"the worst relative error is {worst.error:.1e} ({escape(worst.name)})")
    return not wrong

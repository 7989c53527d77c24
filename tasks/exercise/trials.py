"""What a piece of nn is tried on: fixed inputs, and what it computes from them.

A trial takes the piece and yields (what, value), one after the other. The sizes are unequal primes, so that nothing
fits by chance.

Read next: judge.py, which compares what a person wrote with nn.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator

import numpy as np

import nn
from nn import sequence

Steps = Iterator[tuple[str, np.ndarray]]


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


class Gradients:
    """A trial of an op: its value, and the gradient of each input, which `gradcheck` can check too.

    function(piece) is a function of Tensors, by default the piece itself; inputs: the names of its arguments, and
    arrays.
    """

    def __init__(self, function: Callable | None = None, **inputs: np.ndarray):
        self.function = function or (lambda piece: piece)
        self.inputs = inputs

    def __call__(self, piece) -> Steps:
        f = self.function(piece)
        xs = [nn.Tensor(x, requires_grad=True) for x in self.inputs.values()]
        ys = f(*xs)
        ys = ys if isinstance(ys, tuple) else (ys,)
        for k, y in enumerate(ys):
            yield "the value" if len(ys) == 1 else f"result {k}", y.data
        total = sum((real(*y.shape, seed=k) * y).sum() for k, y in enumerate(ys))
        for name, x in zip(self.inputs, xs, strict=True):
            yield f"the gradient of {name}", nn.grad(total, x, retain_graph=True).data

    def gradcheck(self, piece) -> None:
        nn.gradcheck(self.function(piece), *self.inputs.values())


def unbroadcast(piece) -> Steps:
    for g, x in ((5, 3), (5, 3)), ((5, 3), (3,)), ((5, 3), (5, 1)), ((2, 5, 3), (1, 3)), ((5, 3), ()):
        yield f"g of shape {g} for an argument of shape {x}", piece(real(*g), real(*x), "the op")
    narrow = piece(real(5, 3), real(3).astype(np.float32), "the op")
    yield "whether the dtype is that of the argument", np.array(narrow.dtype == np.float32)


def walk(piece) -> Steps:
    def run(y, inputs):
        seed = np.ones(y.shape)
        found = {id(x): np.array(g) for x, g in piece(y, seed, None, False, False)}  # arrays that may change later
        for name, x in inputs.items():
            yield f"the gradient of {name}", found[id(x)]
        yield "the g that was passed, afterwards", seed
        yield "whether the graph was released", np.array(y.node is not None and not isinstance(y.node, tuple))

    a, x = nn.Tensor(real(3), requires_grad=True), nn.Tensor(real(3, seed=1), requires_grad=True)
    b = a + a
    yield from (((f"{what}, for c = b + b with b = a + a"), value) for what, value in run(b + b, {"a": a}))
    y = nn.exp(a)
    yield from (((f"{what}, for y + a * x + y * a with y = exp(a)"), value)
                for what, value in run(y + a * x + y * a, {"a": a, "x": x}))
    z = nn.exp(a)
    yield from ((f"{what}, for a + exp(a)", value) for what, value in run(a + z, {"a": a}))


def logsumexp_piece(piece):
    return lambda x: piece(x, -1)


def logsumexp(piece) -> Steps:
    yield from Gradients(logsumexp_piece, x=real(5, 3))(piece)
    yield "the value for x = [1000, 1001]", piece(np.array([1000.0, 1001]), -1)
    yield "the shape with keepdims=True", np.array(piece(real(5, 3), 0, keepdims=True).shape)


logsumexp.gradcheck = Gradients(logsumexp_piece, x=real(5, 3)).gradcheck

SHARES = np.random.default_rng(0).uniform(0.1, 2, (3, 5))


def lstm_cell(piece):
    cell = piece(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    return lambda x, h, c: cell(x, (h, c))


def rnn_over_time(relu: bool = False, ended=None) -> Callable:
    return lambda piece: lambda *xs: piece(*xs, ended=ended, relu=relu)


LAYER = {"x": real(3, 5, 2), "h0": real(3, 7, seed=1), "weight_ih": real(7, 2), "weight_hh": real(7, 7) / 3,
         "bias_ih": real(7), "bias_hh": real(7, seed=1)}


def rnn(piece) -> Steps:
    yield from Gradients(rnn_over_time(), **LAYER)(piece)
    yield from ((f"{what}, with relu", value) for what, value in Gradients(rnn_over_time(relu=True), **LAYER)(piece))


rnn.gradcheck = Gradients(rnn_over_time(), **LAYER).gradcheck

ENDED = np.arange(5)[:, None] >= [5, 2, 3]  # (L, N): three sequences, of 5, 2 and 3 steps


def layer_with(through_time):
    """nn's rnn, with another `_through_time`."""
    names = {**vars(sequence), "_through_time": through_time}
    function = types.FunctionType(sequence.rnn.__wrapped__.__code__, names, "rnn", (None, False, False))
    return rnn_over_time(ended=ENDED)(nn.fused("nn.RNNCell")(function))


def adam(piece) -> Steps:
    p = nn.Parameter(real(5), np.float64)
    optimizer = piece([p], lr=0.1, betas=(0.8, 0.9), eps=0.01, weight_decay=0.1)
    for step in range(1, 4):
        p.grad = real(5, seed=step)
        optimizer.step()
        yield f"the parameters after step {step}", p.data.copy()


def complex_step(piece) -> Steps:
    x, v = real(3), real(3, seed=1)
    yield "the derivative of sum(exp(x) * x) along v", piece(lambda x: nn.exp(x) * x, [x], 0, v, [np.ones(3)], [0])
    lost = piece(lambda x: abs(x), [x], 0, v, [np.ones(3)], [0])
    yield "whether abs(x), which is real for a complex x, has the answer None", np.array(lost is None)

    def refuses(x):
        raise TypeError

    refused = piece(refuses, [x], 0, v, [np.ones(3)], [0])
    yield "whether a function that raises TypeError has the answer None", np.array(refused is None)

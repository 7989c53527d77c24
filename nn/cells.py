"""One time step of RNN, LSTM and GRU, in plain ops: for reading, and the oracle that the fast version is held to.

A cell is a pure function of an input and a state. PyTorch's names, shapes, order of gates and initialisation:
W_ih (G H, I), W_hh (G H, H), b_ih and b_hh (G H,), with G gates; x (N, I), h and c (N, H), or all without N.
With bias=False both biases are 0.

Read next: fused.py, then sequence.py, the same equations over a whole sequence.
"""

from __future__ import annotations

import math

import numpy as np

from nn.module import Module, Parameter, in_dtype_of
from nn.ops import relu, sigmoid, split, tanh
from nn.tensor import Tensor


class _Cell(Module):
    gates: int

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, rng: np.random.Generator | None = None,
                 dtype=np.float32):
        self.input_size, self.hidden_size = input_size, hidden_size
        rng = np.random.default_rng() if rng is None else rng
        rows, bound = self.gates * hidden_size, 1 / math.sqrt(hidden_size)
        self.weight_ih = Parameter(rng.uniform(-bound, bound, (rows, input_size)), dtype)
        self.weight_hh = Parameter(rng.uniform(-bound, bound, (rows, hidden_size)), dtype)
        self.bias_ih = Parameter(rng.uniform(-bound, bound, rows), dtype) if bias else None
        self.bias_hh = Parameter(rng.uniform(-bound, bound, rows), dtype) if bias else None

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def check(self, state, x):
        """ValueError unless a state is (N, H), for x (N, I)."""
        if state.shape != (*x.shape[:-1], self.hidden_size):
            raise ValueError(f"{type(self).__name__}: a state is {(*x.shape[:-1], self.hidden_size)} for x of "
                             f"{x.shape}, not {state.shape}")

    def products(self, x, h):
        """W_ih x + b_ih and W_hh h + b_hh, each (N, G H)."""
        self.check(h, x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"{type(self).__name__}: x is (N, I) with I = {self.input_size}, not {x.shape}")
        x, h = in_dtype_of(self.weight_ih, x), in_dtype_of(self.weight_ih, h)
        from_x, from_h = x @ self.weight_ih.mT, h @ self.weight_hh.mT
        return (from_x, from_h) if self.bias_ih is None else (from_x + self.bias_ih, from_h + self.bias_hh)


class RNNCell(_Cell):
    """Elman 1990, "Finding structure in time".

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)        or relu

    x (N, I), h (N, H) -> h' (N, H)
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options):
        super().__init__(input_size, hidden_size, **options)
        self.activation = {"tanh": tanh, "relu": relu}[nonlinearity]

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        from_x, from_h = self.products(x, h)
        return self.activation(from_x + from_h)


class LSTMCell(_Cell):
    """Hochreiter & Schmidhuber 1997, "Long short-term memory"; forget gate: Gers et al. 2000.

        i, f, o = sigmoid(.)    g = tanh(.)    of    W_ih x + b_ih + W_hh h + b_hh,  in the order i f g o
        c' = f * c + i * g
        h' = o * tanh(c')

    x (N, I), (h, c) (N, H) each -> (h', c')
    """

    gates = 4

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise TypeError("LSTMCell: the state is a tuple (h, c)")
        h, c = state
        self.check(c, x)
        c = in_dtype_of(self.weight_ih, c)
        from_x, from_h = self.products(x, h)
        i, f, g, o = split(from_x + from_h, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


class GRUCell(_Cell):
    """Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; reset after the product.

        r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh)                      rows in the order r z n
        n    = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h'   = (1 - z) * n + z * h

    x (N, I), h (N, H) -> h' (N, H)
    """

    gates = 3

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        from_x, from_h = self.products(x, h)
        (rx, zx, nx), (rh, zh, nh) = split(from_x, 3, axis=-1), split(from_h, 3, axis=-1)
        r, z = sigmoid(rx + rh), sigmoid(zx + zh)
        n = tanh(nx + r * nh)
        return (1 - z) * n + z * h

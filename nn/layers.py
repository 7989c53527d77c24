"""Layers as people use them: Linear, Embedding, Dropout, LayerNorm, and RNN, LSTM, GRU with several layers.

PyTorch's names, shapes, initialisation and outputs, so that weights travel both ways; `rng` takes the place of a global
seed. A layer computes in the dtype of its weights: an input of another type is cast.

Read next: optim.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nn import sequence
from nn.module import Module, Parameter, in_dtype_of
from nn.ops import (
    concatenate,
    elu,
    gelu,
    leaky_relu,
    linear,
    log_softmax,
    mean,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    sqrt,
    stack,
    tanh,
    var,
)
from nn.tensor import Tensor, reshape, swapaxes


class Linear(Module):
    """y = x W^T + b:  x (..., I) -> y (..., O), with W (O, I) and b (O,) drawn from U(-1/sqrt(I), 1/sqrt(I))."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *,
                 rng: np.random.Generator | None = None, dtype=np.float32):
        self.in_features, self.out_features = in_features, out_features
        rng = np.random.default_rng() if rng is None else rng
        bound = 1 / math.sqrt(in_features) if in_features else 0
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)), dtype)
        self.bias = Parameter(rng.uniform(-bound, bound, out_features), dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        # One product of a tall matrix, however many leading axes: matmul would take a stack of small ones.
        x = in_dtype_of(self.weight, x)
        rows = x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
        y = rows @ self.weight.mT if self.bias is None else linear(rows, self.weight, self.bias)
        return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], self.out_features))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """Rows of the weight, a table (K, F) drawn from N(0, 1):  whole numbers (...) from 0 to K - 1 -> (..., F).

    ValueError for other numbers.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: np.random.Generator | None = None,
                 dtype=np.float32):
        rng = np.random.default_rng() if rng is None else rng
        self.weight = Parameter(rng.standard_normal((num_embeddings, embedding_dim)), dtype)

    def forward(self, index: np.ndarray) -> Tensor:
        index = np.asarray(index)
        if index.dtype.kind not in "iu" or (index.size and not 0 <= index.min() <= index.max() < len(self.weight)):
            raise ValueError(f"Embedding: an index is a whole number from 0 to {len(self.weight) - 1}")
        return self.weight[index]

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.weight.shape))


class Dropout(Module):
    """In training, each element is 0 with probability p and x / (1 - p) otherwise; in evaluation, x. Any shape.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is a probability below 1, not {p}")
        self.p = p
        self.rng = np.random.default_rng() if rng is None else rng

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * ((self.rng.random(x.shape) >= self.p).astype(x.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"{self.p}"


class LayerNorm(Module):
    """y = (x - mean x) / sqrt(var x + eps) * weight + bias, with mean and variance over the last axis, or several.

    x and y (..., *F); weight and bias F, at first 1 and 0. F: one length, or a tuple of the lengths of the last axes
    Ba, Kiros & Hinton 2016, "Layer normalization".
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, *, dtype=np.float32):
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape), dtype)
        self.bias = Parameter(np.zeros(normalized_shape), dtype)

    def forward(self, x: Tensor) -> Tensor:
        F = self.weight.shape
        if x.shape[max(0, x.ndim - len(F)):] != F:
            raise ValueError(f"LayerNorm: the last axes of x are {F}, but x is {x.shape}")
        x, axes = in_dtype_of(self.weight, x), tuple(range(-len(F), 0))
        centred = x - mean(x, axes, keepdims=True)
        return centred / sqrt(var(x, axes, keepdims=True) + self.eps) * self.weight + self.bias

    def extra_repr(self) -> str:
        F = self.weight.shape
        return f"{F[0] if len(F) == 1 else F}, eps={self.eps}"


def _activation(name, function):
    """A function of x as a module, for Sequential: its arguments are given when it is made, as in Softmax(axis=1)."""
    class Activation(Module):
        __doc__ = f"nn.{function.__name__} as a module."

        def __init__(self, **options):
            self.options = options

        def forward(self, x: Tensor) -> Tensor:
            return function(x, **self.options)

        def extra_repr(self) -> str:
            return ", ".join(f"{key}={value}" for key, value in self.options.items())

    Activation.__name__ = Activation.__qualname__ = name
    return Activation


ReLU, LeakyReLU, ELU, GELU = (_activation(*pair) for pair in (
    ("ReLU", relu), ("LeakyReLU", leaky_relu), ("ELU", elu), ("GELU", gelu)))
SiLU, Sigmoid, Tanh, Softplus = (_activation(*pair) for pair in (
    ("SiLU", silu), ("Sigmoid", sigmoid), ("Tanh", tanh), ("Softplus", softplus)))
Softmax, LogSoftmax = _activation("Softmax", softmax), _activation("LogSoftmax", log_softmax)


class _Recurrent(Module):
    """Layers and directions of one of the ops of sequence.py."""

    gates: int
    run: Callable  # of sequence.py: (x, *state, *weights, ended, reverse) -> (h, *last state)
    states = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, *, bias: bool = True,
                 batch_first: bool = False, bidirectional: bool = False, rng: np.random.Generator | None = None,
                 dtype=np.float32):
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(f"{type(self).__name__}: sizes and layers are at least 1, "
                             f"not {input_size}, {hidden_size}, {num_layers}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        rng = np.random.default_rng() if rng is None else rng
        rows, bound = self.gates * hidden_size, 1 / math.sqrt(hidden_size)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * (1 + bidirectional)
            for suffix in self._suffixes(layer):
                for name, shape in (("weight_ih", (rows, width)), ("weight_hh", (rows, hidden_size)),
                                    ("bias_ih", rows), ("bias_hh", rows))[:4 if bias else 2]:
                    setattr(self, name + suffix, Parameter(rng.uniform(-bound, bound, shape), dtype))

    def _suffixes(self, layer):
        return [f"_l{layer}", f"_l{layer}_reverse"][:1 + self.bidirectional]

    def _forward(self, x, state, lengths):
        """-> h (N, L, D H), [last states: each (layers * D, N, H)]; without N, if x has no axis of sequences."""
        if x.ndim == 2 and lengths is None:  # one sequence (L, I), and states (layers * D, H)
            axis = 0 if self.batch_first else 1
            state = None if state is None else [s[:, None] for s in state]
            h, last = self._forward(x[None] if self.batch_first else x[:, None], state, None)
            return h[(slice(None),) * axis + (0,)], [s[:, 0] for s in last]
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            shape = "(N, L, I)" if self.batch_first else "(L, N, I)"
            raise ValueError(f"{type(self).__name__}: x is {shape} with I = {self.input_size}, not {x.shape}")
        x = in_dtype_of(self.weight_ih_l0, x if self.batch_first else swapaxes(x, 0, 1))
        N, L, _ = x.shape
        D = 1 + self.bidirectional
        full = (self.num_layers * D, N, self.hidden_size)
        if state is None:
            state = [np.zeros(full, x.dtype)] * self.states
        for s in state:
            if s.shape != full:
                raise ValueError(f"{type(self).__name__}: a state is (layers * directions, N, H) {full}, not {s.shape}")
        state = [in_dtype_of(self.weight_ih_l0, s) for s in state]
        ended = None
        if lengths is not None:
            lengths = np.asarray(lengths)
            if lengths.shape != (N,) or lengths.dtype.kind not in "iu" or np.any((lengths < 0) | (lengths > L)):
                raise ValueError(f"{type(self).__name__}: lengths are N = {N} whole numbers from 0 to L = {L}")
            ended = np.arange(L)[:, None] >= lengths
        last = []
        for layer in range(self.num_layers):
            outs = []
            for d, suffix in enumerate(self._suffixes(layer)):
                weights = [getattr(self, name + suffix) for name in ("weight_ih", "weight_hh")]
                weights += [getattr(self, name + suffix) if self.bias else np.zeros(len(weights[0]), weights[0].dtype)
                            for name in ("bias_ih", "bias_hh")]
                h, *end = self.run(x, *(s[layer * D + d] for s in state), *weights,
                                   ended=ended[::-1] if d and ended is not None else ended, reverse=bool(d))
                outs.append(h)
                last.append(end)
            x = outs[0] if D == 1 else concatenate(outs, axis=-1)
        last = [stack(s) if len(s) > 1 else reshape(s[0], (1, *s[0].shape)) for s in zip(*last, strict=True)]
        return (x if self.batch_first else swapaxes(x, 0, 1)), last

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        words += [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        words += [] if self.bias else ["bias=False"]
        words += [f"{name}=True" for name in ("batch_first", "bidirectional") if getattr(self, name)]
        return ", ".join(words)


class RNN(_Recurrent):
    """Simple recurrent layers over a sequence; nonlinearity "tanh" or "relu". The equations: RNNCell.

    layer(x, h0=None, lengths=None) -> h, h_n

    x (L, N, I), or (N, L, I) with batch_first; h like x with D H features, D = 2 directions if bidirectional;
    h0 and h_n (layers * D, N, H). One sequence alone is (L, I), and its states (layers * D, H).

    lengths (N,): after its length a sequence's h is 0, and h_n is its state at its own end, as with PyTorch's packed
    sequences (here 0 is a length too: h_n is h0; and L may be 0). The second direction starts at each sequence's own
    end.

    Weights and biases are drawn from U(-1/sqrt(H), 1/sqrt(H)): weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, then
    those of "_l0_reverse", "_l1", ... With bias=False there are no biases.
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, *, nonlinearity: str = "tanh",
                 **options):
        super().__init__(input_size, hidden_size, num_layers, **options)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'RNN: nonlinearity is "tanh" or "relu", not {nonlinearity!r}')
        self.nonlinearity = nonlinearity

    def run(self, *args, **kwargs):
        return sequence.rnn(*args, relu=self.nonlinearity == "relu", **kwargs)

    def forward(self, x: Tensor, h0: Tensor | None = None, lengths=None) -> tuple[Tensor, Tensor]:
        h, (h_n,) = self._forward(x, None if h0 is None else [h0], lengths)
        return h, h_n


class LSTM(_Recurrent):
    """Long short-term memory over a sequence. The equations: LSTMCell; shapes, lengths and parameters: RNN.

    layer(x, (h0, c0)=None, lengths=None) -> h, (h_n, c_n)
    """

    gates, states = 4, 2
    run = staticmethod(sequence.lstm)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths=None):
        if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 2):
            raise TypeError("LSTM: the state is a tuple (h0, c0)")
        h, last = self._forward(x, state, lengths)
        return h, tuple(last)


class GRU(_Recurrent):
    """Gated recurrent units over a sequence. The equations: GRUCell; shapes, lengths and parameters: RNN.

    layer(x, h0=None, lengths=None) -> h, h_n
    """

    gates = 3
    run = staticmethod(sequence.gru)

    def forward(self, x: Tensor, h0: Tensor | None = None, lengths=None) -> tuple[Tensor, Tensor]:
        h, (h_n,) = self._forward(x, None if h0 is None else [h0], lengths)
        return h, h_n

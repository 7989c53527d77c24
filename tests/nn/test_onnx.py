"""The recurrent layers against another witness than PyTorch: the definitions of the ONNX operators RNN, LSTM and GRU.

The equations below are those of the operators' documentation (onnx.ai, version 22 of each), a sequence and a step at
a time; the GRU is the one with linear_before_reset. Its names: X (L, N, I); W (D, G H, I), R (D, G H, H), B (D, 2 G H),
for D directions and G gates in the definition's order; Y (L, D, N, H); initial_h, Y_h, initial_c, Y_c (D, N, H). A
complex step through them checks the gradients that nn has by hand. What Y is after the end of a sequence the
documentation leaves open: here, as in nn, it is 0.

Read next: test_sequence.py, where the fast layers are held to the readable ones.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nn

N, L, I, H = 3, 5, 4, 2
LENGTHS = [3, 5, 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(f, x, W, R, B, h):
    Wb, Rb = np.split(B, 2)
    return [f(x @ W.T + h @ R.T + Wb + Rb)]


def lstm(x, W, R, B, h, c):
    (Wi, Wo, Wf, Wc), (Ri, Ro, Rf, Rc) = np.split(W, 4), np.split(R, 4)
    Wbi, Wbo, Wbf, Wbc, Rbi, Rbo, Rbf, Rbc = np.split(B, 8)
    i = sigmoid(x @ Wi.T + h @ Ri.T + Wbi + Rbi)
    f = sigmoid(x @ Wf.T + h @ Rf.T + Wbf + Rbf)
    new = np.tanh(x @ Wc.T + h @ Rc.T + Wbc + Rbc)
    C = f * c + i * new
    o = sigmoid(x @ Wo.T + h @ Ro.T + Wbo + Rbo)
    return [o * np.tanh(C), C]


def gru(x, W, R, B, h):
    (Wz, Wr, Wh), (Rz, Rr, Rh) = np.split(W, 3), np.split(R, 3)
    Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = np.split(B, 6)
    z = sigmoid(x @ Wz.T + h @ Rz.T + Wbz + Rbz)
    r = sigmoid(x @ Wr.T + h @ Rr.T + Wbr + Rbr)
    new = np.tanh(x @ Wh.T + r * (h @ Rh.T + Rbh) + Wbh)
    return [(1 - z) * new + z * h]


def operator(step, directions, X, W, R, B, sequence_lens, *initial):
    """Y, Y_h and, of an LSTM, Y_c. Directions: ["forward"], ["reverse"], or both."""
    Y = np.zeros((len(X), *initial[0].shape), np.result_type(X, W, R, B, *initial))
    last = [np.zeros_like(Y[0]) for _ in initial]
    for d, n in itertools.product(range(len(directions)), range(X.shape[1])):
        state, steps = [s[d, n] for s in initial], range(sequence_lens[n])
        for t in steps if directions[d] == "forward" else reversed(steps):
            state = step(X[t, n], W[d], R[d], B[d], *state)
            Y[t, d, n] = state[0]
        for s, end in zip(last, state, strict=True):
            s[d, n] = end
    return [Y, *last]


KINDS = {  # nn's class and options, the operator's step, and in the definition's order the gates' places in nn's
    "RNN": (nn.RNN, {}, lambda *args: rnn(np.tanh, *args), [0]),
    "RNN, Relu": (nn.RNN, {"nonlinearity": "relu"},
                  lambda *args: rnn(lambda x: np.where(x.real > 0, x, 0), *args), [0]),
    "LSTM": (nn.LSTM, {}, lstm, [0, 3, 1, 2]),  # i o f c out of i f g o
    "GRU": (nn.GRU, {}, gru, [1, 0, 2]),  # z r h out of r z n
}


def by_definition(kind, layers, directions, arrays, lengths):
    """The same as nn's layer: h (L, N, D H), h_n, c_n. Arrays: x, the first states, the parameters, by name."""
    _, _, step, order = KINDS[kind]
    D, suffixes = len(directions), ["" if d == "forward" else "_reverse" for d in directions]

    def of_all_directions(name):
        gates = [np.split(arrays[name + suffix], len(order)) for suffix in suffixes]
        return np.array([np.concatenate([parts[k] for k in order]) for parts in gates])

    Y, last = arrays["x"], []
    for layer in range(layers):
        W, R, Wb, Rb = (of_all_directions(f"{name}_l{layer}")
                        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        initial = [arrays[name][D * layer:D * layer + D] for name in ("h0", "c0") if name in arrays]
        Y, *end = operator(step, directions, Y, W, R, np.concatenate((Wb, Rb), -1), lengths, *initial)
        Y = Y.transpose(0, 2, 1, 3).reshape(len(Y), -1, D * H)
        last.append(end)
    return [Y, *(np.concatenate(states) for states in zip(*last, strict=True))]


def ours(kind, layers, directions, lengths, rng):
    """nn's outputs, and what went in: Tensors by name."""
    cls, options, _, _ = KINDS[kind]
    layer = cls(I, H, layers, bidirectional=len(directions) == 2, **options, dtype=np.float64, rng=rng)
    states = [nn.Tensor(rng.standard_normal((layers * len(directions), N, H)), requires_grad=True)
              for _ in range(1 + (cls is nn.LSTM))]
    x = nn.Tensor(rng.standard_normal((L, N, I)), requires_grad=True)
    h, last = layer(x, tuple(states) if cls is nn.LSTM else states[0], lengths=lengths)
    inputs = {"x": x, **dict(zip(("h0", "c0"), states, strict=False)), **dict(layer.named_parameters())}
    return [h, *(last if cls is nn.LSTM else [last])], inputs


BOTH = ["forward", "reverse"]
every_kind = pytest.mark.parametrize("kind", KINDS)
lengths_or_not = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])


@every_kind
@lengths_or_not
@pytest.mark.parametrize("directions", [["forward"], BOTH], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("layers", [1, 2])
def test_outputs_and_gradients(kind, layers, directions, lengths, rng):
    outputs, inputs = ours(kind, layers, directions, lengths, rng)
    arrays = {name: x.data for name, x in inputs.items()}
    expected = by_definition(kind, layers, directions, arrays, lengths or [L] * N)
    gs = [rng.standard_normal(y.shape) for y in outputs]
    for y, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(y.data, theirs, rtol=1e-12, atol=1e-13)
    gradients = [nn.grad(y, list(inputs.values()), g, retain_graph=True) for y, g in zip(outputs, gs, strict=True)]
    for name, dxs in zip(inputs, zip(*gradients, strict=True), strict=True):
        v = rng.standard_normal(arrays[name].shape)
        stepped = {**arrays, name: arrays[name] + 1e-30j * v}
        beside = by_definition(kind, layers, directions, stepped, lengths or [L] * N)
        for g, y, dx in zip(gs, beside, dxs, strict=True):
            np.testing.assert_allclose((dx.data * v).sum(), (g * y.imag).sum() / 1e-30, 1e-10, 1e-13, err_msg=name)


@every_kind
@lengths_or_not
def test_the_second_direction_alone_is_the_reverse_operator(kind, lengths, rng):
    outputs, inputs = ours(kind, 1, BOTH, lengths, rng)
    arrays = {name: x.data[1:] if name in ("h0", "c0") else x.data for name, x in inputs.items()}
    h, *last = by_definition(kind, 1, ["reverse"], arrays, lengths or [L] * N)
    np.testing.assert_allclose(outputs[0].data[..., H:], h, rtol=1e-12, atol=1e-13)
    for s, theirs in zip(outputs[1:], last, strict=True):
        np.testing.assert_allclose(s.data[1:], theirs, rtol=1e-12, atol=1e-13)


@every_kind
def test_a_first_state_that_is_left_out_is_0(kind, rng):
    cls, options, _, _ = KINDS[kind]
    layer = cls(I, H, 1, **options, dtype=np.float64, rng=rng)
    x = rng.standard_normal((L, N, I))
    zeros = {name: np.zeros((1, N, H)) for name in ("h0", "c0")[:1 + (cls is nn.LSTM)]}
    expected = by_definition(kind, 1, ["forward"], {"x": x, **zeros, **layer.state_dict()}, [L] * N)
    np.testing.assert_allclose(layer(x)[0].data, expected[0], rtol=1e-12, atol=1e-13)

"""What holds for every shape and every expression: gradients of random broadcasts and of random graphs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import nn
from nn import Tensor, grad

quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)
numbers = st.integers(0, 99)


def summed_to(g, shape):
    """g summed to `shape`, one element at a time: whoever an element was a copy of gets its gradient."""
    out = np.zeros(shape)
    origins = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), g.shape)
    for origin, value in zip(origins.ravel(), g.ravel(), strict=True):
        out.flat[origin] += value
    return out


def mask(a, b):
    shape = np.broadcast_shapes(a.shape, b.shape)
    return np.arange(math.prod(shape)).reshape(shape) % 3 > 0


# name: the op, and its two derivatives, in full shape
BROADCASTS = {
    "add": (lambda a, b: a + b, lambda a, b: (1, 1)),
    "mul": (lambda a, b: a * b, lambda a, b: (b, a)),
    "where": (lambda a, b: nn.where(True, a, b), lambda a, b: (1, 0)),
    "where mask": (lambda a, b: nn.where(mask(a, b), a, b), lambda a, b: (mask(a, b), ~mask(a, b))),
    "maximum": (nn.maximum, lambda a, b: (a > b, b > a)),
}


@pytest.mark.parametrize("name", BROADCASTS)
@quick
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3), seed=numbers)
def test_broadcasting(name, shapes, seed):
    f, derivatives = BROADCASTS[name]
    rng = np.random.default_rng(seed)
    a, b = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes.input_shapes)
    y = f(a, b)
    assert y.shape == shapes.result_shape
    g = rng.standard_normal(y.shape)
    expected = [summed_to(g * d, x.shape) for d, x in zip(derivatives(a.data, b.data), (a, b), strict=True)]
    for create_graph in (False, True):
        dxs = grad(y, [a, b], g, create_graph=create_graph, retain_graph=True)
        for dx, dx_expected in zip(dxs, expected, strict=True):
            assert dx.shape == dx_expected.shape
            np.testing.assert_allclose(dx.data, dx_expected, rtol=1e-12, atol=1e-13)


# A step of a random expression takes two earlier values (they may be the same) and their derivatives along a
# direction, which are carried forward beside them: the chain rule in the other direction, and by hand.
STEPS = {
    "add": (lambda a, b: a + b, lambda a, b, da, db: da + db),
    "sub": (lambda a, b: a - b, lambda a, b, da, db: da - db),
    "mul": (lambda a, b: nn.tanh(a * b), lambda a, b, da, db: (1 - np.tanh(a * b) ** 2) * (a * db + b * da)),
    "first": (lambda a, b: 2 - a, lambda a, b, da, db: -da),
    "sum": (lambda a, b: nn.sum(a, keepdims=True) + b, lambda a, b, da, db: da.sum(keepdims=True) + db),
    "flip": (lambda a, b: a.mT[..., ::-1].mT * 0.5, lambda a, b, da, db: da[..., ::-1, :] * 0.5),
    "join": (lambda a, b: nn.concatenate([a, a]).sum(0, keepdims=True) + b,
             lambda a, b, da, db: 2 * da.sum(0, keepdims=True) + db),
}


@settings(quick, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), numbers, numbers), min_size=1, max_size=14), numbers)
def test_random_graphs_against_forward_mode(steps, seed):
    rng = np.random.default_rng(seed)
    xs = [Tensor(rng.uniform(-1, 1, shape), requires_grad=True) for shape in ((2, 3), (2, 1), (1, 3), (1, 1))]
    vs = [rng.standard_normal(x.shape) for x in xs]
    values, tangents = list(xs), list(vs)
    for name, i, j in steps:
        (a, da), (b, db) = ((values[k % len(values)], tangents[k % len(values)]) for k in (i, j))
        f, carry = STEPS[name]
        values.append(f(a, b))
        tangents.append(np.broadcast_to(carry(a.data, b.data, da, db), values[-1].shape))
    results = [(y, t, rng.standard_normal(y.shape)) for y, t in zip(values[-4:], tangents[-4:], strict=True)]
    total = sum((w * y).sum() for y, _, w in results)
    forward = sum((w * t).sum() for _, t, w in results)
    copies = [y.data.copy() for y in values]

    total.backward(retain_graph=True)
    gradients = {"backward": [np.zeros(x.shape) if x.grad is None else x.grad for x in xs],
                 "grad": [dx.data for dx in grad(total, xs, retain_graph=True)],
                 "one by one": [grad(total, x, retain_graph=True).data for x in xs],
                 "create_graph": [dx.data for dx in grad(total, xs, create_graph=True)]}
    for name, dxs in gradients.items():
        size = sum(np.abs(dx * v).sum() for dx, v in zip(dxs, vs, strict=True))
        assert abs(sum((dx * v).sum() for dx, v in zip(dxs, vs, strict=True)) - forward) <= 1e-11 * (1 + size), name
    assert all(np.array_equal(y.data, copy) for y, copy in zip(values, copies, strict=True))

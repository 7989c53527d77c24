"""What holds for every shape and every expression: gradients of random broadcasts and of random graphs."""

from __future__ import annotations

import itertools
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


# -- values and types are numpy's, for every dtype and rank -------------------------------------------------------

DTYPES = ["bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64"]
FLOATS = ["float16", "float32", "float64"]
SHAPES = [(), (0,), (5,), (2, 3), (2, 0, 3), (2, 3, 4)]
UFUNCS = {"exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "tanh": np.tanh,
          "sin": np.sin, "cos": np.cos, "abs": np.abs, "relu": lambda x: np.maximum(x, 0)}
PAIRS = {"add": np.add, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "minimum": np.minimum}
COMPOSED = {  # in float64
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.log1p(np.exp(x)),
    "silu": lambda x: x / (1 + np.exp(-x)), "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "gelu": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))}


def drawn_numbers(shape, dtype, seed=0):
    return (1 + np.random.default_rng(seed).integers(0, 7, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UFUNCS)
def test_an_op_of_one_argument_is_numpys(name, dtype):
    for shape in SHAPES:
        x = drawn_numbers(shape, dtype)
        ours, theirs = getattr(nn, name)(Tensor(x)), np.asarray(UFUNCS[name](x))
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.array_equal(ours.data, theirs)


@pytest.mark.parametrize("name", PAIRS)
def test_an_op_of_two_arguments_is_numpys(name):
    for a, b in itertools.product(DTYPES, DTYPES):
        for left, right in [((2, 3), (3,)), ((), (2, 3)), ((5, 1), (1, 4)), ((0, 3), (3,))]:
            x, y = drawn_numbers(left, a), drawn_numbers(right, b, 1)
            ours, theirs = getattr(nn, name)(Tensor(x), Tensor(y)), np.asarray(PAIRS[name](x, y))
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), (a, b)
            assert np.array_equal(ours.data, theirs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", COMPOSED)
def test_an_activation_is_its_formula_in_the_dtype_of_its_argument(name, dtype):
    for shape in SHAPES:
        x = np.random.default_rng(0).uniform(-3, 3, shape).astype(dtype)
        ours = getattr(nn, name)(Tensor(x))
        assert (ours.dtype, ours.shape) == (np.dtype(dtype), shape)
        np.testing.assert_allclose(ours.data.astype(float), COMPOSED[name](x.astype(float)),
                                   rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


def reductions(values):
    """(name, expected); the mean of nothing is nan, with numpy's warning, and left out."""
    yield from (("none", values), ("sum", values.sum()))
    if values.size:
        yield "mean", values.mean()


LOSSES = {
    "mse_loss": lambda x, t: (x - t) ** 2, "l1_loss": lambda x, t: np.abs(x - t),
    "huber_loss": lambda x, t: np.where(np.abs(x - t) <= 1, (x - t) ** 2 / 2, np.abs(x - t) - 0.5),
    "binary_cross_entropy": lambda x, t: -t * np.log(x) - (1 - t) * np.log(1 - x),
    "binary_cross_entropy_with_logits": lambda x, t: np.log1p(np.exp(x)) - x * t,
    "gaussian_kl": lambda x, t: (x * x + np.exp(t) - 1 - t) / 2}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula_for_every_rank_and_reduction(name, dtype):
    for shape in SHAPES:
        rng = np.random.default_rng(0)
        x, t = (rng.uniform(0.05, 0.95, shape).astype(dtype) for _ in range(2))
        values = LOSSES[name](x.astype(float), t.astype(float))
        for reduction, expected in reductions(values):
            ours = getattr(nn, name)(Tensor(x), t, reduction=reduction)
            assert ours.dtype == dtype and ours.shape == np.shape(expected)
            np.testing.assert_allclose(ours.data.astype(float), expected, rtol=40 * np.finfo(dtype).eps,
                                       atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(4,), (5, 4), (0, 4), (5, 4, 3), (2, 4, 3, 2)])
def test_cross_entropies_are_their_formula(shape, dtype):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, shape).astype(dtype)
    axis = min(1, len(shape) - 1)
    target = rng.integers(0, 4, shape[:axis] + shape[axis + 1:])
    wide = x.astype(float)
    log_p = wide - np.log(np.exp(wide).sum(axis, keepdims=True))
    values = -np.take_along_axis(log_p, np.expand_dims(target, axis), axis).squeeze(axis)
    for reduction, expected in reductions(values):
        for ours in (nn.cross_entropy(Tensor(x), target, reduction=reduction),
                     nn.nll_loss(nn.log_softmax(Tensor(x), axis), target, reduction=reduction)):
            assert ours.dtype == dtype and ours.shape == np.shape(expected)
            np.testing.assert_allclose(ours.data.astype(float), expected, rtol=40 * np.finfo(dtype).eps)

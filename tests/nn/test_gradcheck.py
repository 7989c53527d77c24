"""The checker is checked: wrong gradients must fail, however little they are wrong, and right ones pass."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings

import numpy as np
import pytest

import nn
from nn import GradientError, Tensor, fused, gradcheck, op, sequence

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((5, 7)), rng.standard_normal((5, 7))
A, B = rng.standard_normal((5, 3)), rng.standard_normal((3, 7))
SQUARE = rng.standard_normal((3, 3))


def one_wrong_element(g, y, x):
    dx = g * np.cos(x)
    dx[3, 2] *= 1.01
    return dx


def only_the_first_row(g, y, a, b):
    """A gradient that forgets that a was broadcast: it takes one row and not the sum of all."""
    return g[:1]


@fused("nothing")
def wrong_together(x):
    """Two results, whose gradients are right as long as only one is used."""
    def backward(g, wanted):
        of_square, of_sum = g
        if of_square is None or of_sum is None:
            return of_sum if of_square is None else 2 * x * of_square,
        return 1.01 * (2 * x * of_square + of_sum),

    return (x * x, x + 1), backward


WRONG = {
    "factor 1.001": (op(np.sin, lambda g, y, x: 1.001 * g * np.cos(x)), X),
    "factor 1.0005": (op(np.sin, lambda g, y, x: 1.0005 * g * np.cos(x)), X),
    "of something small": (lambda x: op(np.sin, lambda g, y, x: 1.001 * g * np.cos(x))(x) * 1e-30, X),
    "of something small in a sum": (lambda x: 1 + 1e-4 * op(np.sin, lambda g, y, x: 1.001 * g * np.cos(x))(x), X),
    "central differences have few digits": (op(lambda x: np.sin(3000 * x),
                                               lambda g, y, x: g * 3000.1 * np.cos(3000 * x)), X),
    "nan everywhere, value and gradient": (lambda x: x * np.nan, X),
    "sign": (op(np.cos, lambda g, y, x: g * np.sin(x)), X),
    "zero": (op(np.exp, lambda g, y, x: 0 * g), X),
    "nan": (op(np.exp, lambda g, y, x: g * np.where(x > 1, np.nan, y)), X),
    "nan everywhere": (op(np.exp, lambda g, y, x: np.full_like(g, np.nan)), X),
    "one element": (op(np.sin, one_wrong_element), X),
    "dropped term": (lambda x: x * x * op(np.positive, lambda g, y, x: 0 * g)(x), X),
    "second argument": (op(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * b), X, Y),
    "swapped arguments": (op(np.subtract, lambda g, y, a, b: -g, lambda g, y, a, b: g), X, Y),
    "transposed weight": (op(np.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: a.mT @ g), SQUARE, SQUARE + 1),
    "transposed gradient": (op(np.matmul, lambda g, y, a, b: g @ b.mT, lambda g, y, a, b: g.mT @ a), SQUARE, -SQUARE),
    "missing sum": (op(np.add, only_the_first_row, lambda g, y, a, b: g), X[:1], Y),
    "mean, not sum": (op(np.mean, lambda g, y, x: g * np.ones_like(x)), X),
    "not analytic": (op(np.abs, lambda g, y, x: g * 1.001 * np.sign(x)), X),
    "detached part": (lambda x: x * nn.exp(x).detach(), X),
    "two results together": (wrong_together, X),
    "one of two results": (lambda x: (nn.exp(x), op(np.sin, lambda g, y, x: g * 0)(x)), X),
}
RIGHT = {
    "sin": (op(np.sin, lambda g, y, x: g * np.cos(x)), X),
    "matmul": (nn.matmul, A, B),
    "abs": (nn.abs, X),
    "abs composed": (lambda x: nn.abs(nn.tanh(x) * Y) ** 2 + x, X),
    "square root of square": (lambda x: nn.sqrt(x * x), X),
    "maximum": (lambda x, y: nn.maximum(nn.exp(x), y), X, Y),
    "max": (lambda x: nn.max(x, 0), X),
    "sorted": (lambda x: x.reshape((-1,))[np.argsort(x.data.real, axis=None)] * np.arange(35), X),
    "where of a comparison": (lambda x: nn.where(x > 0.1, x * x, 3 * x), X),
    "a complex number that is refused": (lambda x: x * float(np.abs(x.data).max() > 0), X),
    "a wrong complex step": (lambda x: op(lambda x: x.real * 1.0, lambda g, y, x: g)(x), X),
    "constant": (lambda x: 0 * x, X),
    "nearly constant": (lambda x: nn.abs(100 + 1e-9 * x), X),
    "unused argument": (lambda x, y: x * x, X, Y),
    "integers and masks": (lambda x, index, mask: x[index] * mask, X, np.array([0, 2, 2]), np.arange(7) > 2),
    "several results": (lambda x: tuple(nn.split(x, 7, axis=1)), X),
    "empty": (lambda x: nn.tanh(x) * 2, np.zeros((0, 3))),
    "0-d": (lambda x: nn.tanh(x) * 2, np.array(0.3)),
    "0-d, two": (lambda x, y: x * nn.exp(y), np.array(0.3), np.array(1.5)),
    "small": (lambda x: nn.exp(x) * 1e-30, X),
    "large": (lambda x: nn.exp(x) * 1e30, X),
    "central differences have few digits": (lambda x: nn.sin(3000 * x), X),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_fail(name):
    with pytest.raises(GradientError, match="wrong gradient"):
        gradcheck(*WRONG[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_fail_for_every_seed(name):
    for seed in range(1, 6):
        with pytest.raises(GradientError):
            gradcheck(*WRONG[name], seed=seed)


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name):
    error = gradcheck(*RIGHT[name])
    assert isinstance(error, float) and 0 <= error <= 1e-7


@pytest.mark.parametrize("name", ["abs composed", "matmul", "where of a comparison", "0-d, two", "empty",
                                  "several results"])
def test_right_second_derivatives_pass(name):
    assert gradcheck(*RIGHT[name], order=2) <= 1e-7


def test_an_analytic_function_is_checked_to_the_last_digits():
    assert gradcheck(nn.tanh, X) < 1e-14


def test_a_cast_that_loses_the_complex_step_warns_nobody():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert gradcheck(lambda x: nn.astype(x, np.float64) ** 2, X) <= 1e-7
    assert not caught


# -- the second derivative -----------------------------------------------------------------------------------


def plain(x):
    return x.data if isinstance(x, Tensor) else x


SECOND = {
    "the result, without its past": op(np.exp, lambda g, y, x: g * plain(y)),
    "the argument, without its past": op(np.square, lambda g, y, x: g * 2 * plain(x)),
    "the gradient, without its past": op(np.exp, lambda g, y, x: plain(g) * y),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_wrong_second_derivative_fails_at_order_2_alone(name):
    f = SECOND[name]
    assert gradcheck(f, X) <= 1e-7
    with pytest.raises(GradientError):
        gradcheck(lambda x: f(x * x) * x, X, order=2)


def test_a_wrong_third_derivative_fails_at_order_3_alone():
    first = op(np.exp, lambda g, y, x: g * plain(y))
    f = op(np.exp, lambda g, y, x: g * first(x))  # exp' = first, right; first' is right, but a constant to the next
    assert gradcheck(f, X, order=2) <= 1e-7
    with pytest.raises(GradientError):
        gradcheck(f, X, order=3)


# -- fused layers --------------------------------------------------------------------------------------------


def spoilt(function, spoil):
    """The fused op with a backward whose gradients go through `spoil`."""
    raw = inspect.unwrap(function)

    @fused("nothing")
    def layer(*args):
        y, backward = raw(*args)
        return y, lambda g, wanted: spoil(list(backward(g, wanted)), g)

    return layer


def change(i, f):
    return lambda dxs, g: dxs[:i] + [None if dxs[i] is None else f(dxs[i])] + dxs[i + 1:]


def only_if_h_n_is_used(dxs, g):
    return dxs if g[1] is None else [dx if dx is None else 1.01 * dx for dx in dxs]


LSTM = [rng.standard_normal(shape) for shape in [(5, 4, 3), (5, 2), (5, 2), (8, 3), (8, 2), (8,), (8,)]]


@pytest.mark.parametrize("spoil", [
    change(6, lambda dx: 0 * dx), change(5, lambda dx: 0 * dx), change(4, lambda dx: dx * [1, 1.001]),
    change(3, lambda dx: -dx), change(2, lambda dx: dx + 1e-5), change(1, lambda dx: dx[::-1]),
    change(0, lambda dx: dx[:, ::-1]), only_if_h_n_is_used,
])
def test_a_spoilt_lstm_fails(spoil):
    assert gradcheck(spoilt(sequence.lstm, lambda dxs, g: dxs), *LSTM) <= 1e-7
    with pytest.raises(GradientError):
        gradcheck(spoilt(sequence.lstm, spoil), *LSTM)


# -- what it says, and what it refuses -----------------------------------------------------------------------


def test_the_message_says_where_and_how_to_see_it_again():
    def wrong(g, y, a, b):
        db = g * a
        db[1, 4] += 5
        return db

    with pytest.raises(GradientError) as caught:
        gradcheck(lambda a, b: (a * 2, op(np.multiply, lambda g, y, a, b: g * b, wrong)(a, b)), X, Y, seed=3)
    message = str(caught.value)
    assert re.search(r"argument 1, of shape \(5, 7\), from result 1\n", message)
    says = re.search(r"random direction v: backward says (\S+), central difference says (\S+);", message)
    backward, numeric = map(float, says.groups())
    error = float(re.search(r"relative error (\S+), tolerance 1e-07", message)[1])
    assert error == pytest.approx(abs(backward - numeric) / max(abs(backward), abs(numeric)), rel=1) and error > 1e-3
    assert "worst at element (1, 4)" in message
    at_backward, at_numeric = map(float, re.search(r"\(1, 4\): backward says (\S+), it is (\S+)", message).groups())
    assert at_backward - at_numeric == pytest.approx(5)
    v = float(re.search(r"v = \[\[ *(\S+)[ ,]", message)[1])
    assert "gradcheck(f, *inputs, seed=3)" in message
    with pytest.raises(GradientError) as again:
        gradcheck(lambda a, b: (a * 2, op(np.multiply, lambda g, y, a, b: g * b, wrong)(a, b)), X, Y, seed=3)
    assert str(again.value) == message and np.isfinite([backward, numeric, v]).all()


def test_the_message_points_at_a_nan():
    def nan_at_last(g, y, x):
        dx = g * y
        dx[4, 6] = np.nan
        return dx

    with pytest.raises(GradientError, match=r"(?s)relative error nan.*worst at element \(4, 6\): backward says nan"):
        gradcheck(op(np.exp, nan_at_last), X)


def test_the_worst_element_is_the_one_farthest_off():
    with pytest.raises(GradientError, match=r"worst at element \(0,\)"):  # by 50, if not by the largest factor
        gradcheck(op(lambda x: x * [100, 1], lambda g, y, x: g * [150, 3]), np.ones(2))


def test_the_tolerance_is_the_callers():
    slightly = op(np.sin, lambda g, y, x: (1 + 1e-5) * g * np.cos(x))
    error = gradcheck(slightly, X, tolerance=1e-4)
    assert 1e-7 < error < 1e-5 and gradcheck(slightly, X, tolerance=2 * error) == error
    with pytest.raises(GradientError, match=f"tolerance {error / 2:.0e}"):
        gradcheck(slightly, X, tolerance=error / 2)


@pytest.mark.parametrize("inputs, says", [
    ([X.astype(np.float32)], "argument 0 is float32, which has too few digits"),
    ([X, Y.astype(np.float32)], "argument 1 is float32"),
    ([X.astype(np.float16)], "float16"),
    ([X + 0j], "argument 0 is ndarray: pass an array of float64"),
    ([[1.0, 2.0]], "argument 0 is list: pass an array of float64"),
    ([X, 0.5], "argument 1 is float"),
    ([np.arange(3)], "nothing to check"),
    ([], "nothing to check"),
])
def test_what_cannot_be_checked_is_refused_by_name(inputs, says):
    with pytest.raises(TypeError, match=says):
        gradcheck(lambda *xs: xs[0], *inputs)


def test_a_function_that_changes_between_calls_is_told_so():
    turn = itertools.count(1)
    with pytest.raises(ValueError, match="something else each time it is called"):
        gradcheck(lambda x: x * next(turn), X)
    with pytest.raises(ValueError, match=r"eval\(\)"):
        gradcheck(nn.Dropout(0.5), X)


def test_large_inputs_are_no_false_alarm():
    for size in (1e6, 1e12, 1e100):
        assert gradcheck(nn.tanh, X * size / 1e3 / size) <= 1e-7
        assert gradcheck(lambda x, size=size: (x / size) ** 2 + nn.abs(x / size), X * size) <= 1e-7
    with pytest.raises(GradientError):
        gradcheck(op(np.abs, lambda g, y, x: g * 1.001 * np.sign(x)), X * 1e9)


def test_tensors_and_arrays_are_checked_alike_and_left_alone():
    before = X.copy()
    x = Tensor(X, requires_grad=True)
    assert gradcheck(nn.tanh, x) == gradcheck(nn.tanh, X)
    assert np.array_equal(X, before) and x.grad is None


# -- values that carry a complex number through without being analytic ----------------------------------------


def huber(right):
    """A Huber loss with delta = 1; the wrong gradient is 0 outside."""
    return op(lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5),
              lambda g, y, x: g * np.where(np.abs(x) < 1, x, np.sign(x) if right else 0))


def square_of(x):
    """np.abs(x) ** 2, as x * conj(x)."""
    return (x * np.conj(x)).real


FAR = X + np.sign(X) * 0.2  # away from 0, where these have kinks
# name: (value, a wrong vjp, the right one)
NOT_ANALYTIC = {
    "signed square root": (lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda g, y, x: g / np.sqrt(np.abs(x)),
                           lambda g, y, x: g * 0.5 / np.sqrt(np.abs(x))),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda g, y, x: g * (x > 0),
                 lambda g, y, x: g / (1 + np.exp(-x))),
    "abs": (np.abs, lambda g, y, x: g, lambda g, y, x: g * np.sign(x)),
    "abs, times two": (np.abs, lambda g, y, x: 2 * g * np.sign(x), lambda g, y, x: g * np.sign(x)),
    "abs, zero": (np.abs, lambda g, y, x: 0 * g, lambda g, y, x: g * np.sign(x)),
    "square of abs": (lambda x: np.abs(x) ** 2, lambda g, y, x: g * x, lambda g, y, x: 2 * g * x),
    "x conj x": (square_of, lambda g, y, x: g * x, lambda g, y, x: 2 * g * x),
    "conj": (lambda x: np.conj(x) * 1.0, lambda g, y, x: -g, lambda g, y, x: g),
    "conj times x": (lambda x: np.conj(x) * x, lambda g, y, x: 0 * g, lambda g, y, x: 2 * g * x),
    "real": (lambda x: np.real(x) * 1.0, lambda g, y, x: 0 * g, lambda g, y, x: g),
    "real times x": (lambda x: np.real(x) * x, lambda g, y, x: g * x, lambda g, y, x: 2 * g * x),
    "exp of real": (lambda x: np.exp(np.real(x)) + 0 * x, lambda g, y, x: 0 * g, lambda g, y, x: g * y),
    "imaginary part": (lambda x: x + np.imag(x), lambda g, y, x: 2 * g, lambda g, y, x: g),
    "vdot": (lambda x: np.vdot(x, x), lambda g, y, x: g * x, lambda g, y, x: 2 * g * x),
    "vdot, zero": (lambda x: np.vdot(x, x), lambda g, y, x: 0 * x, lambda g, y, x: 2 * g * x),
    "norm": (lambda x: np.linalg.norm(x), lambda g, y, x: 0 * x, lambda g, y, x: g * x / y),
    "norm, not divided": (lambda x: np.linalg.norm(x), lambda g, y, x: g * x, lambda g, y, x: g * x / y),
    "norm of rows": (lambda x: np.linalg.norm(x, axis=1), lambda g, y, x: g[:, None] * x,
                     lambda g, y, x: (g / y)[:, None] * x),
    "sign": (lambda x: np.sign(x) * 1.0, lambda g, y, x: g, lambda g, y, x: 0 * g),
    "sign times x": (lambda x: np.sign(x) * x, lambda g, y, x: 2 * g * np.sign(x), lambda g, y, x: g * np.sign(x)),
    "rounding": (lambda x: np.round(x), lambda g, y, x: g, lambda g, y, x: 0 * g),
    "rounding times x": (lambda x: np.round(x) * x, lambda g, y, x: 2 * g * x, lambda g, y, x: g * np.round(x)),
    "floor": (lambda x: np.floor(np.real(x)) + 0 * x, lambda g, y, x: g, lambda g, y, x: 0 * g),
    "integer cast": (lambda x: np.real(x).astype(int) * x, lambda g, y, x: g * x,
                     lambda g, y, x: g * x.astype(int)),
    "integer cast alone": (lambda x: np.real(x).astype(int) + 0 * x, lambda g, y, x: g, lambda g, y, x: 0 * g),
    "where": (lambda x: np.where(x > 0, x * x, -x), lambda g, y, x: g * 2 * x,
              lambda g, y, x: g * np.where(x > 0, 2 * x, -1)),
    "where of abs": (lambda x: np.where(np.abs(x) > 1, np.abs(x), x), lambda g, y, x: g,
                     lambda g, y, x: g * np.where(np.abs(x) > 1, np.sign(x), 1)),
    "maximum": (lambda x: np.maximum(x, 0.5), lambda g, y, x: g, lambda g, y, x: g * (x > 0.5)),
    "maximum of abs": (lambda x: np.maximum(np.abs(x), 1), lambda g, y, x: g * (np.abs(x) > 1),
                       lambda g, y, x: g * np.sign(x) * (np.abs(x) > 1)),
    "max of all": (lambda x: np.max(x), lambda g, y, x: g + 0 * x, lambda g, y, x: g * (x == y)),
    "clip": (lambda x: np.clip(x, -1, 1), lambda g, y, x: g, lambda g, y, x: g * (np.abs(x) < 1)),
    "clip of abs": (lambda x: np.clip(np.abs(x), 0.5, 1), lambda g, y, x: g * ((y > 0.5) & (y < 1)),
                    lambda g, y, x: g * np.sign(x) * ((y > 0.5) & (y < 1))),
    "a little conj": (lambda x: x + 4e-4 * np.conj(x), lambda g, y, x: g * (1 - 4e-4), lambda g, y, x: g * (1 + 4e-4)),
    "angle": (lambda x: np.abs(x) + np.angle(x) * 0, lambda g, y, x: 0 * g, lambda g, y, x: g * np.sign(x)),
}


@pytest.mark.parametrize("name", NOT_ANALYTIC)
def test_no_value_hides_a_wrong_gradient(name):
    value, wrong, right = NOT_ANALYTIC[name]
    assert gradcheck(op(value, right), FAR) <= 1e-7
    for seed in range(20):
        with pytest.raises(GradientError):
            gradcheck(op(value, wrong), FAR, seed=seed)


def test_a_huber_loss_with_no_gradient_outside_fails():
    assert gradcheck(huber(True), 2 * FAR) <= 1e-7
    for seed in range(20):
        with pytest.raises(GradientError):
            gradcheck(huber(False), 2 * FAR, seed=seed)


# -- modules -------------------------------------------------------------------------------------------------


class Twice(nn.Module):
    """One layer, used twice and held under two names, beside others in a list, a tuple and a dictionary."""

    def __init__(self, linear=nn.linear):
        self.layers = [nn.Linear(3, 3, rng=rng), (nn.Linear(3, 3, rng=rng), {"last": nn.Linear(3, 2, rng=rng)})]
        self.again, self.scale, self.linear = self.layers[0], nn.Parameter([0.5, 2.0, -1.0]), linear

    def forward(self, x):
        x = nn.tanh(self.layers[0](x) * self.scale)
        last = self.layers[1][1]["last"]
        return self.linear(nn.tanh(self.again(self.layers[1][0](x))), last.weight, last.bias)


def doubled(x, weight, bias):
    """nn.linear, with a weight gradient that is doubled."""
    return nn.linear(x, op(np.positive, lambda g, y, w: 2 * g)(weight), bias)


def test_a_module_is_checked_with_its_parameters_and_left_as_it_was():
    model = Twice()
    before, parameters = model.state_dict(), model.parameters()
    assert gradcheck(model, A) <= 1e-7 and gradcheck(model, A, order=2) <= 1e-7
    assert all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
    assert all(np.array_equal(before[name], p.data) and p.dtype == np.float32 for name, p in model.named_parameters())
    assert model.again is model.layers[0]


def test_a_wrong_gradient_in_a_nested_module_is_named():
    for model in (Twice(doubled), nn.Sequential(nn.Sequential(Twice(doubled)))):
        before = model.parameters()
        with pytest.raises(GradientError, match=r"wrong gradient for parameter [\w.]*layers\.1\.1\.last\.weight"):
            gradcheck(model, A)
        assert all(p is q for p, q in zip(model.parameters(), before, strict=True))


def test_what_a_module_raises_leaves_its_parameters_in_place():
    model = Twice()
    before = model.parameters()
    with pytest.raises(ValueError):
        gradcheck(model, X)
    assert all(p is q for p, q in zip(model.parameters(), before, strict=True))

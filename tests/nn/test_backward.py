"""backward and grad: what is differentiated, when, how often, and whose memory it is."""

from __future__ import annotations

import numpy as np
import pytest

import nn
from nn import Tensor, fused, grad, sequence


def leaf(array):
    return Tensor(np.array(array, float), requires_grad=True)


# -- order, and several uses ---------------------------------------------------------------------------------


def test_a_value_used_twice_is_asked_once_and_with_the_whole_gradient():
    asked = []
    double = nn.op(lambda x: 2 * x, lambda g, y, x: asked.append(g.copy()) or 2 * g)
    a = leaf([1.0, 2])
    b = double(a)
    (b + b).sum().backward()
    assert a.grad.tolist() == [4, 4]
    assert [g.tolist() for g in asked] == [[2, 2]]


def test_reuse_on_every_level():
    a = leaf(1.5)
    b = a + a
    c = b + b
    (c * c + a).backward()
    assert a.grad == 2 * 16 * 1.5 + 1


def test_a_long_and_a_short_way_to_one_value():
    x = leaf(0.5)
    y = x * 3
    z = nn.exp(nn.tanh(y) * 2)
    dz, = grad(z + y * y, [x])
    t = np.tanh(1.5)
    assert dz.item() == pytest.approx(3 * (np.exp(2 * t) * 2 * (1 - t * t) + 3), rel=1e-14)


def test_calls_accumulate():
    x = leaf([1.0, 2])
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [5, 7] and x.grad is first


def test_backward_of_a_gradient_given():
    x = leaf([[1.0, 2, 3]])
    g = np.array([[1.0, 10, 100]])
    (x * x).backward(g)
    assert x.grad.tolist() == [[2, 40, 600]] and g.tolist() == [[1, 10, 100]]
    assert grad(x * x, x, Tensor(g)).data.tolist() == [[2, 40, 600]]


def test_backward_of_a_leaf():
    x = leaf(2.0)
    x.backward()
    assert x.grad == 1


def test_a_gradient_for_a_value_in_the_middle():
    x = leaf([1.0, 2])
    b = x * x
    c = (b * b).sum()
    db, dx = grad(c, [b, x], retain_graph=True)
    assert db.data.tolist() == [2, 8] and dx.data.tolist() == [4, 32]
    assert grad(c, b, retain_graph=True).data.tolist() == [2, 8]
    assert grad(c, c).item() == 1
    assert x.grad is None and b.grad is None
    older, newer = x * x, nn.exp(leaf([0.0, 0]))
    dnewer, dx = grad((older * newer).sum(), [newer, x])  # the walk ends at `newer`, and goes on at `older`
    assert dnewer.data.tolist() == [1, 4] and dx.data.tolist() == [2, 4]


def test_backward_leaves_gradients_with_leaves_alone():
    x, constant = leaf([1.0, 2]), Tensor(np.ones(2))
    b = x * constant
    b.sum().backward()
    assert b.grad is None and constant.grad is None


def test_what_is_not_reached_has_gradient_zero():
    x, z = leaf([1.0, 2]), leaf(np.ones((3, 5)))
    dx, dz = grad((x * x).sum(), [x, z])
    assert dz.shape == (3, 5) and not dz.data.any() and dx.data.tolist() == [2, 4]
    assert grad(Tensor(3.0), z).data.tolist() == np.zeros((3, 5)).tolist()
    (x * 2).sum().backward()
    assert z.grad is None


@pytest.mark.parametrize("other", [np.full((5, 2), 3.0), np.full(2, 3.0), Tensor(np.full((5, 2), 3.0))])
def test_a_gradient_has_the_dtype_of_its_argument(other):
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    y = x * other
    assert y.dtype == np.float64
    assert grad(y.sum(), x, create_graph=True).dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [[3 * y.shape[0]] * 2]


def test_a_fused_op_gives_each_argument_its_own_dtype():
    for of_x, of_weights in [(np.float32, np.float64), (np.float64, np.float32)]:
        x = Tensor(np.ones((5, 7, 3), of_x), requires_grad=True)
        weights = [Tensor(np.ones(shape, of_weights), requires_grad=True) for shape in ((6, 3), (6, 2), 6, 6)]
        h, _ = sequence.gru(x, np.zeros((5, 2), of_x), *weights)
        assert h.dtype == np.float64
        assert [dx.dtype for dx in grad(h.sum(), [x, *weights])] == [of_x] + [of_weights] * 4


@pytest.mark.parametrize("layer, shape", [
    (nn.GRU(3, 2), (5, 7, 3)), (nn.Linear(3, 2), (5, 3)), (nn.LayerNorm(3), (5, 3)),
    (nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 5)), (7, 3))])
def test_a_layer_computes_in_the_dtype_of_its_weights(layer, shape):
    for dtype in (np.float64, np.float16, np.int64):
        x = Tensor(np.ones(shape, dtype), requires_grad=dtype is not np.int64)
        y = layer(x)
        y = y[0] if isinstance(y, tuple) else y
        assert y.dtype == np.float32
        y.sum().backward()
        assert dtype is np.int64 or x.grad.dtype == dtype


# -- refusals ------------------------------------------------------------------------------------------------


def test_a_graph_is_used_once_unless_retained():
    x = leaf([1.0, 2])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="earlier backward pass.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4, 8]


def test_part_of_a_used_graph_is_refused():
    x = leaf([1.0, 2])
    b = x * x
    b.sum().backward()
    with pytest.raises(RuntimeError, match="earlier backward pass"):
        (b * 3).sum().backward()


def test_grad_frees_only_what_it_walked():
    x, z = leaf(2.0), leaf(3.0)
    b, c = x * x, z * z
    y = b + c
    assert grad(b * c, z).item() == 24
    assert grad(b, x).item() == 4
    with pytest.raises(RuntimeError, match="earlier backward pass"):
        grad(y, z)


def test_what_has_no_gradient():
    x = leaf([1.0, 2])
    with pytest.raises(RuntimeError, match=r"\(2,\)"):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        Tensor(1.0).backward()
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        grad(x.sum(), Tensor(1.0))


# -- only what is wanted -------------------------------------------------------------------------------------


def test_no_gradient_is_computed_that_nobody_wants():
    def never(g, y, a, b):
        raise AssertionError("nobody wants this gradient")

    left = nn.op(np.multiply, lambda g, y, a, b: g * b, never)
    right = nn.op(np.multiply, never, lambda g, y, a, b: g * a)
    x, z = leaf([1.0, 2]), leaf([3.0, 4])
    left(x, np.ones(2)).sum().backward()
    left(x, Tensor(np.ones(2))).sum().backward()
    right(2.0, x).sum().backward()
    assert x.grad.tolist() == [4, 4]
    assert grad(left(x, z).sum(), x).data.tolist() == [3, 4]  # z wants one, but nobody asked
    assert grad(left(x, right(z, nn.exp(z)).detach()).sum(), x).shape == (2,)


def test_a_fused_op_is_told_what_is_wanted():
    told = []

    @fused("nothing")
    def product(a, b):
        def backward(g, wanted):
            told.append(tuple(wanted))
            return g * b, None
        return a * b, backward

    x = leaf([1.0, 2])
    product(x, np.array([3.0, 4])).sum().backward()
    assert told == [(True, False)] and x.grad.tolist() == [3, 4]
    y = product(x.data, 2.0)
    assert type(y) is np.ndarray and y.tolist() == [2, 4]  # arrays in, array out


def test_a_fused_op_remembers_only_what_will_be_asked_for():
    product = fused("nothing")(lambda a, b: (a * b, lambda g, wanted: (g * b, g * a)))
    x, constant = leaf([1.0, 2]), Tensor(np.ones(2))
    assert product(x, constant).requires_grad and not product(constant, constant).requires_grad
    with nn.no_grad():
        assert not product(x, constant).requires_grad


def test_a_fused_op_returns_a_gradient_for_each_argument():
    @fused("nothing")
    def product(a, b):
        return a * b, lambda g, wanted: (g * b,)

    with pytest.raises(ValueError, match="zip"):
        product(leaf([1.0, 2]), leaf([3.0, 4])).sum().backward()


def test_detach_cuts():
    x = leaf([1.0, 2])
    d = x.detach()
    assert not d.requires_grad and d.data is x.data
    (x * (x * x).detach()).sum().backward()
    assert x.grad.tolist() == [1, 4]


# -- higher orders -------------------------------------------------------------------------------------------

x0 = np.array([0.3, -0.7, 1.1])
t0 = np.tanh(x0)
CLOSED_FORMS = {
    "exp": (nn.exp, [np.exp(x0)] * 3),
    "cube": (lambda x: x**3, [3 * x0**2, 6 * x0, np.full(3, 6.0)]),
    "tanh": (nn.tanh, [1 - t0**2, -2 * t0 * (1 - t0**2), (6 * t0**2 - 2) * (1 - t0**2)]),
    "reciprocal": (lambda x: 1 / x, [-(x0**-2), 2 * x0**-3, -6 * x0**-4]),
    "square of exp": (lambda x: nn.exp(x) * nn.exp(x), [2 * np.exp(2 * x0), 4 * np.exp(2 * x0), 8 * np.exp(2 * x0)]),
    "linear": (lambda x: 3 * x, [np.full(3, 3.0), np.zeros(3), np.zeros(3)]),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_three_derivatives_against_closed_forms(name):
    f, expected = CLOSED_FORMS[name]
    x = leaf(x0)
    y = f(x)
    for derivative in expected:
        y = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.data, derivative, rtol=1e-12, atol=1e-14)


def test_a_hessian_with_mixed_derivatives():
    a, b = leaf(2.0), leaf(3.0)
    da, db = grad(a * a * b + nn.exp(a * b), [a, b], create_graph=True)
    e = np.exp(6.0)
    assert [h.item() for h in grad(da, [a, b], retain_graph=True)] == pytest.approx([6 + 9 * e, 4 + 7 * e], rel=1e-13)
    assert [h.item() for h in grad(db, [a, b])] == pytest.approx([4 + 7 * e, 4 * e], rel=1e-13)


def test_backward_through_a_gradient():
    """A gradient penalty: the norm of a gradient is part of a loss."""
    x, w = leaf([1.0, 2]), leaf([0.5, -1])
    dx = grad((w * x * x).sum(), x, create_graph=True)
    (dx * dx).sum().backward()
    np.testing.assert_allclose(w.grad, 8 * w.data * x.data**2)
    np.testing.assert_allclose(x.grad, 8 * w.data**2 * x.data)


def test_a_gradient_is_a_constant_without_create_graph():
    x = leaf([1.0, 2])
    assert not grad((x**3).sum(), x).requires_grad
    g = leaf([1.0, 10])
    dx = grad(x**3, x, g, create_graph=True)
    assert grad(dx.sum(), g).data.tolist() == [3, 12]  # the gradient passed in is part of the graph


# -- whose memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [
    lambda x, z: x + z, lambda x, z: nn.concatenate([x, z]), lambda x, z: x.reshape((3, 1)).mT + z,
    lambda x, z: nn.where(np.ones(3, bool), x, z) + z,
], ids=["add", "concatenate", "views", "where"])
def test_two_gradients_never_share_memory(f):
    x, z = leaf([1.0, 2, 3]), leaf([4.0, 5, 6])
    y = f(x, z)
    g = np.ones(y.shape)
    y.backward(g, retain_graph=True)
    dx, dz = grad(y, [x, z], g)
    arrays = [x.grad, z.grad, dx.data, dz.data, g, x.data, z.data]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    assert all(a.flags.writeable for a in arrays)
    x.grad *= 0
    assert np.array_equal(z.grad, dz.data) and g.all()


def test_a_first_contribution_is_never_written_to():
    """One array is the gradient of s, of t and of u; x gets it first and more on top of it."""
    x, z = leaf([1.0, 2]), leaf([3.0, 4])
    s, t, u = x + z, x - 0, x + 0
    g = np.array([1.0, 10])
    total = s + t + u
    total.backward(g)
    assert x.grad.tolist() == [3, 30] and z.grad.tolist() == [1, 10] and g.tolist() == [1, 10]
    assert grad(x + x + x, [x], g)[0].data.tolist() == [3, 30] and g.tolist() == [1, 10]


def test_values_are_not_changed_by_backward():
    x = leaf(np.linspace(-1, 1, 5))
    values = [x, nn.tanh(x), nn.exp(x), nn.softmax(x), x * x]
    before = [v.data.copy() for v in values]
    (values[1] * values[2] + values[3] * values[4] + values[4]).sum().backward()
    assert all(np.array_equal(v.data, b) for v, b in zip(values, before, strict=True))

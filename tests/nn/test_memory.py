"""Nothing of a graph lives longer than it is needed. The garbage collector is off: counting references must do."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import nn
from nn import Tensor, grad
from tasks.gradcheck import CASES


@pytest.fixture(autouse=True)
def collector_off():
    gc.collect()
    gc.disable()
    gc.freeze()  # what is there already is not counted
    yield
    gc.unfreeze()
    gc.enable()


def living() -> int:
    """How many results of ops are alive: Tensors with a past."""
    return sum(issubclass(type(x), Tensor) and x.node is not None for x in gc.get_objects())


def leaf(*shape):
    return Tensor(np.ones(shape), requires_grad=True)


def test_living_counts():
    x = leaf(3)
    y = nn.exp(x) * 2
    assert living() == 2
    del y
    assert living() == 0 and x.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_every_op_and_layer_lets_go(create_graph):
    for case in CASES:
        xs = [Tensor(x, requires_grad=True) for x in case.inputs()]
        ys = case.function(*xs)
        ys = ys if isinstance(ys, tuple) else (ys,)
        total = sum(y.sum() for y in ys)
        if create_graph and case.order > 1:
            dxs = grad(total, xs, create_graph=True)
            grad(sum((dx * dx).sum() for dx in dxs), xs)
            del dxs
        else:
            total.backward()
        del ys, total
        assert living() == 0, case.name


def test_a_graph_without_backward_lets_go():
    for case in CASES:
        case.function(*(Tensor(x, requires_grad=True) for x in case.inputs()))
        assert living() == 0, case.name


def test_after_backward_a_result_holds_nothing_but_itself():
    x, w = leaf(5, 3), leaf(3, 2)
    a = nn.tanh(x @ w)
    b = nn.concatenate([a, a * 2])
    loss = nn.cross_entropy(b, np.zeros(10, int))
    inside = [weakref.ref(t) for t in (a, b)]
    array = weakref.ref(a.data)
    del a, b
    assert all(t() is not None for t in inside)
    loss.backward()
    assert not any(t() is not None for t in inside) and array() is None
    assert living() == 1  # the loss, which this test holds


def test_a_fused_layer_lets_go_when_one_result_is_used():
    layer = nn.LSTM(3, 2, dtype=float)
    h, (h_n, c_n) = layer(leaf(5, 7, 3))
    array = weakref.ref(h_n.data)
    del h, c_n
    loss = h_n.sum()
    del h_n
    loss.backward()
    assert living() == 1 and array() is None


def test_a_result_that_was_not_used_does_not_keep_the_graph():
    x = leaf(5, 7, 3)
    layer = nn.LSTM(3, 2, dtype=float)
    before = nn.tanh(x)
    inside = weakref.ref(before)
    h, (h_n, _) = layer(before)
    del before, _
    h_n.sum().backward()
    assert inside() is None
    assert h.shape == (5, 7, 2)


def test_gradients_to_second_order_let_go():
    x = leaf(3)
    dx = grad((nn.exp(x) * x).sum(), x, create_graph=True)
    assert living() > 1
    ddx = grad(dx.sum(), x)
    assert ddx.node is None
    del dx
    assert living() == 0


def test_a_refusal_lets_go():
    x = leaf(3)
    with pytest.raises(ValueError):
        nn.exp(x) + np.zeros(2)
    y = nn.exp(x).sum()
    y.backward()
    with pytest.raises(RuntimeError):
        y.backward()
    del y
    assert living() == 0


def test_without_recording_nothing_is_kept():
    x = leaf(3)
    with nn.no_grad():
        y = nn.exp(nn.tanh(x) * 2)
    assert living() == 0 and y.node is None


def test_a_chain_is_released_while_it_is_walked():
    """By the time the walk reaches the first op, the values of all the later ones are gone."""
    left = []

    def count(g, y, x):
        left.append(sum(value() is not None for value in values))
        return g

    start = nn.op(np.positive, count)
    x = leaf(3)
    y, values = start(x), []
    for _ in range(1000):
        y = nn.tanh(y)
        values.append(weakref.ref(y.data))
    loss = y.sum()
    del y
    assert sum(value() is not None for value in values) == 1000
    loss.backward()
    assert left[0] <= 2


def test_gradients_are_released_while_they_are_walked():
    """No more than a few gradients of a chain live at once."""
    made, most = [], []

    def follow(g, y, x):
        dx = g * 1.0
        made.append(weakref.ref(dx))
        most.append(sum(array() is not None for array in made))
        return dx

    same = nn.op(np.positive, follow)
    x = leaf(3)
    y = x
    for _ in range(200):
        y = same(y)
    y.sum().backward()
    assert len(made) == 200 and max(most) <= 3


# -- depth ---------------------------------------------------------------------------------------------------

DEPTH = 100_000


def test_a_deep_graph_forward_backward():
    x = leaf()
    y = x
    for _ in range(DEPTH):
        y = y + x
    y.backward()
    assert x.grad == DEPTH + 1


def test_a_deep_graph_may_be_dropped_unused():
    x = leaf()
    y = x
    for _ in range(DEPTH):
        y = -y
    assert y.item() == 1
    del y


def test_a_deep_graph_to_second_order():
    x = leaf()
    y = x * x
    for _ in range(DEPTH // 4):
        y = y * 1.0
    dx = grad(y, x, create_graph=True)
    assert dx.item() == 2 and grad(dx, x).item() == 2

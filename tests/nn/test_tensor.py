"""The Tensor: how it is made, its operators, indexing, and how it stands beside numpy. Backward: test_backward.py."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import nn
from nn import Tensor, grad

rng = np.random.default_rng(0)
X = rng.uniform(0.5, 2, (2, 3, 5))


def leaf(array, dtype=None):
    return Tensor(np.array(array, dtype), requires_grad=True)


# -- making one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, dtype", [
    (1, np.int64), (1.5, np.float32), ([1.0, 2], np.float32), ([[True]], np.bool_), (np.zeros(2), np.float64),
    (np.float64(1), np.float64), (np.zeros(2, np.float16), np.float16), (np.arange(2, dtype=np.int8), np.int8),
])
def test_numbers_and_lists_become_float32_and_arrays_stay(data, dtype):
    assert Tensor(data).dtype == dtype


def test_an_array_is_shared_and_not_copied():
    x = np.zeros(3)
    assert Tensor(x).data is x and Tensor(Tensor(x)).data is x
    assert Tensor(x, dtype=np.float32).dtype == np.float32


def test_integers_have_no_gradient():
    with pytest.raises(TypeError, match="int64.*dtype=np.float32"):
        Tensor([1, 2], requires_grad=True)
    assert Tensor([1, 2], requires_grad=True, dtype=np.float32).dtype == np.float32


def test_shape_and_the_like():
    x = Tensor(X)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x), x.mT.shape) == ((2, 3, 5), 3, 30, np.float64, 2, (2, 5, 3))
    assert Tensor(2.5).item() == 2.5 and type(Tensor(2.5).item()) is float
    assert [row.shape for row in x] == [(3, 5), (3, 5)]
    assert bool(Tensor(1.0)) and not bool(Tensor(0.0))
    with pytest.raises(ValueError):
        Tensor([1.0, 2]).item()
    with pytest.raises(ValueError):
        bool(Tensor([1.0, 2]))
    with pytest.raises(TypeError):
        len(Tensor(1.0))


def test_repr_tells_dtype_and_gradient():
    assert repr(Tensor([1.5, 2])) == "Tensor([1.5, 2. ])"
    assert repr(leaf([1.5])) == "Tensor([1.5], dtype=float64, requires_grad=True)"


# -- operators -----------------------------------------------------------------------------------------------

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
OTHERS = {
    "float": 1.5, "int": 2, "numpy scalar": np.float64(1.5), "0-d array": np.array(1.5), "array": X[0] + 1,
    "row": X[0, :1], "integers": np.arange(1, 6), "Tensor": Tensor(X[1]),
}


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", OTHERS)
def test_operators_both_ways(f, name):
    other = OTHERS[name]
    array = other.data if isinstance(other, Tensor) else other
    for left, right, expected in [(leaf(X), other, f(X, array)), (other, leaf(X), f(array, X))]:
        y = f(left, right)
        assert type(y) is Tensor and y.requires_grad and y.dtype == np.float64
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
def test_operators_both_ways_differentiate(f):
    for number in (1.5, X[0]):
        nn.gradcheck(lambda x, f=f, number=number: f(x, number), X)
        nn.gradcheck(lambda x, f=f, number=number: f(number, x), X)


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_python_numbers_keep_the_dtype(f, dtype):
    x = leaf(X, dtype)
    for y in (f(x, 2), f(2, x), f(x, 1.5), f(1.5, x), f(x[0, 0, 0], 1.5), f(1.5, x[0, 0, 0])):
        assert y.dtype == dtype
        assert grad(y.sum(), x).dtype == dtype


@pytest.mark.parametrize("f", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne],
                         ids=lambda f: f.__name__)
def test_comparisons_give_arrays_of_booleans(f):
    a, b = np.array([1.0, 2, 3]), np.array([2.0, 2, 2])
    for left, right in [(leaf(a), leaf(b)), (leaf(a), b), (a, leaf(b)), (leaf(a), 2), (leaf(a), 2.0)]:
        result = f(left, right)
        assert type(result) is np.ndarray and result.dtype == bool
        assert np.array_equal(result, f(a, b))


def test_a_tensor_is_a_key_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert {a: 1, b: 2}[a] == 1


@pytest.mark.parametrize("left, right", [
    ((3,), (3,)), ((3,), (3, 2)), ((5, 3), (3,)), ((3,), (2, 3, 5)), ((2, 5, 3), (3,)), ((5, 3), (3, 2)),
    ((2, 1, 5, 3), (7, 3, 2)), ((5, 0), (0, 2)), ((0, 3), (3, 2)),
])
def test_matmul(left, right):
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    for x, y in [(Tensor(a), Tensor(b)), (Tensor(a), b), (a, Tensor(b))]:
        np.testing.assert_allclose((x @ y).data, a @ b, rtol=1e-12, atol=1e-14)
        assert (x @ y).shape == (a @ b).shape
    nn.gradcheck(operator.matmul, a, b, order=2)


def test_matmul_of_lists():
    assert nn.matmul([1.0, 2], Tensor([3.0, 4])).item() == nn.matmul(Tensor([1.0, 2]), [3.0, 4]).item() == 11


def test_matmul_of_a_number_is_refused():
    number, vector = Tensor(2.0), Tensor(np.zeros(3))
    with pytest.raises(ValueError, match=r"matmul of \(\) and \(3,\)"):
        number @ vector
    with pytest.raises(ValueError, match=r"matmul of \(3,\) and \(\)"):
        vector @ number


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0,), (0, 1)])
def test_sum_of_a_matrix(axis, keepdims):
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(nn.sum(Tensor(x), axis, keepdims).data, x.sum(axis, keepdims=keepdims), strict=True)


# -- nothing works in place ----------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow],
                         ids=lambda f: f.__name__)
def test_augmented_assignment_makes_a_new_tensor(f):
    a = old = leaf(X)
    a = f(a, 2)
    assert a is not old and not np.shares_memory(a.data, old.data)
    assert np.array_equal(old.data, X) and not np.array_equal(a.data, X)


def test_a_tensor_is_not_added_into_an_array():
    array = X.copy()
    with pytest.raises(TypeError):
        array += leaf(X)
    assert np.array_equal(array, X)


def test_there_is_no_item_assignment():
    x = leaf(X)
    with pytest.raises(TypeError, match="item assignment"):
        x[0] = 1
    with pytest.raises(TypeError, match="item deletion"):
        del x[0]


# -- beside numpy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [
    np.exp, np.sum, np.asarray, np.array, np.mean, lambda x: np.add(x, 1), lambda x: np.concatenate([x, x]),
    lambda x: np.where(X > 1, x, 0), lambda x: np.matmul(x, X.mT), lambda x: np.stack([x]),
])
def test_numpy_functions_do_not_lose_a_graph(f):
    with pytest.raises(TypeError):
        f(leaf(X))


def test_a_tensor_without_a_graph_is_an_array_to_numpy():
    x = Tensor(X)
    assert np.asarray(x) is X or np.shares_memory(np.asarray(x), X)
    assert np.asarray(x, np.float32).dtype == np.float32
    assert np.array_equal(np.concatenate([leaf(X).detach(), x]), np.concatenate([X, X]))
    assert not np.shares_memory(np.array(x), X)


# -- indexing ------------------------------------------------------------------------------------------------

ALL = slice(None)
INDICES = {
    "int": 1, "negative": -1, "numpy int": np.int64(1), "slice": slice(1, None), "step": (ALL, slice(None, None, -2)),
    "none": (None, 0, None), "ellipsis": (..., 2), "ellipsis first": (0, ..., slice(1, 3)), "all": ..., "nothing": (),
    "array": np.array([1, 0, 1, 1]), "list": [1, 1], "tuple inside": ((1, 1, 0), ALL),
    "negative array": np.array([-1, 1, -2]), "2-d array": np.array([[0, 1], [1, 1]]), "range": (ALL, range(2)),
    "0-d array": np.array(1), "empty array": np.zeros(0, int),
    "two arrays": (np.array([0, 1, 1]), ALL, np.array([4, 2, 2])), "outer": (np.array([[0], [1]]), np.array([1, 1, 2])),
    "array and int": (np.array([0, 0]), 1), "array and None": (np.array([0, 0]), None), "bool": True,
    "mask": X > 1, "mask of rows": np.array([True, False]), "mask inside": (ALL, np.array([True, False, True])),
    "mask and array": (X[..., 0] > 1, [1] * int((X[..., 0] > 1).sum())), "no element": X > 9,
    "integer Tensor": Tensor([1, 0, 1]), "Tensor inside": (ALL, Tensor([2, 0, 2])), "Tensor mask": Tensor(X > 1),
    "scalar": (1, 2, 3),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name):
    """x[index] picks elements: the gradient of each is the sum of what its copies get, here one copy at a time."""
    index = INDICES[name]
    to_numpy = index.data if isinstance(index, Tensor) else index
    if isinstance(index, tuple):
        to_numpy = tuple(part.data if isinstance(part, Tensor) else part for part in index)
    x = leaf(X)
    y = x[index]
    assert np.array_equal(y.data, X[to_numpy]) and y.shape == X[to_numpy].shape
    weights = rng.standard_normal(y.shape)
    expected = np.zeros(X.size)
    for origin, w in zip(np.arange(X.size).reshape(X.shape)[to_numpy].ravel(), weights.ravel(), strict=True):
        expected[origin] += w
    for create_graph in (False, True):
        dx = grad((y * weights).sum(), x, create_graph=create_graph, retain_graph=True)
        np.testing.assert_allclose(dx.data, expected.reshape(X.shape), rtol=1e-14)


def test_indexing_a_view_keeps_the_original():
    x = leaf(X)
    assert x[0].data.base is not None  # no copy for a slice
    y = x[0] + 1
    assert np.array_equal(x.data, X) and y.shape == (3, 5)


def test_unpacking_differentiates():
    x = leaf([1.0, 2, 3])
    a, b, c = x
    assert grad(a + 2 * b + 5 * c, x).data.tolist() == [1, 2, 5]


# -- 0-d and empty -------------------------------------------------------------------------------------------


def test_a_number_is_a_0_d_array_all_the_way():
    x = leaf(3.0)
    y = x * x + x[()] - x.sum()
    assert type(y.data) is np.ndarray and y.shape == () and y.item() == 9
    y.backward()
    assert type(x.grad) is np.ndarray and x.grad.shape == () and x.grad == 6


def test_empty_arrays_differentiate_to_empty_arrays():
    x = leaf(np.zeros((0, 3)))
    y = nn.tanh(x) * 2 + np.ones(3)
    assert y.shape == (0, 3) and y.sum().item() == 0 and nn.mean(x, 1).shape == (0,)
    (y.sum() + (x @ np.ones((3, 2))).sum() + nn.logsumexp(x).sum() + nn.softmax(x).sum()).backward()
    assert x.grad.shape == (0, 3)
    b = leaf(np.zeros(3))
    assert grad((x + b).sum(), b).data.tolist() == [0, 0, 0]


# -- what someone who knows PyTorch reaches for ----------------------------------------------------------------


def test_methods_are_the_functions():
    x = leaf(X)
    for name in ("mean", "var", "std", "max", "min", "prod", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid",
                 "relu", "softmax", "norm", "abs", "log1p", "logsumexp"):
        assert np.array_equal(getattr(x, name)().data, getattr(nn, name)(x).data), name
    assert np.array_equal(x.mean(axis=1, keepdims=True).data, X.mean(axis=1, keepdims=True))
    assert np.array_equal(abs(x - 1).data, np.abs(X - 1))
    assert x.argmax() == X.argmax() and isinstance(x.argmax(axis=0), np.ndarray)
    assert "mean" in dir(x)
    with pytest.raises(AttributeError, match="means"):
        x.means()
    x.mean().backward()
    assert np.allclose(x.grad, 1 / 30)


def test_shapes_as_methods():
    x = Tensor(X)
    assert x.T.shape == (5, 3, 2) and x.reshape(6, 5).shape == x.reshape((6, -1)).shape == (6, 5)
    assert x.reshape(-1).shape == (30,) and Tensor(1.0).reshape().shape == ()
    assert x.transpose().shape == (5, 3, 2) and x.transpose(1, 0, 2).shape == x.transpose((1, 0, 2)).shape == (3, 2, 5)


def test_a_number_as_python_sees_it():
    x = leaf(2.75)
    assert float(x) == 2.75 and int(x) == 2 and f"{x:.1f}" == "2.8" and f"{x}" == str(x)
    with pytest.raises(TypeError):
        float(Tensor([1.0, 2]))


def test_numpy_of_a_tensor():
    assert Tensor(X).numpy() is X or np.shares_memory(Tensor(X).numpy(), X) or np.array_equal(Tensor(X).numpy(), X)
    with pytest.raises(TypeError, match="detach"):
        leaf(X).numpy()
    assert np.sum(Tensor(X)) == X.sum() and np.allclose(Tensor(X), X)
    for function in (np.sum, np.mean, np.concatenate, np.linalg.norm):
        with pytest.raises(TypeError, match=f"np.{function.__name__} of a Tensor would lose its graph"):
            function(leaf(X))


def test_lists_of_numbers_are_reduced():
    assert nn.mean([1.0, 2.0]) == 1.5 and nn.var([1.0, 3.0]) == 1


def test_whole_numbers_need_no_gradient():
    x = leaf([1.5, 2.5])
    assert not nn.astype(x, int).requires_grad and not x.astype(bool).requires_grad
    assert x.astype(np.float32).requires_grad
    y = Tensor([1, 2])
    y.requires_grad = True
    with pytest.raises(TypeError, match="only floating-point data has a gradient, not int64"):
        (y * 2.0).sum().backward()

"""Autograd: what an op is, and the Tensor that remembers where it came from.

Derivatives are looked up. Every op is a row of a table: its value and, for each argument, its vector-Jacobian product
(vjp), which turns the gradient g of the result into the gradient of that argument:

    mul = op(np.multiply, lambda g, y, a, b: g * b,
                          lambda g, y, a, b: g * a)

Calling an op on Tensors computes the value and remembers the arguments, in a `Node`. `backward` visits the nodes from
the newest to the oldest and calls their vjps. A vjp is written with the same ops, so it works on arrays (an ordinary
backward pass) and on Tensors (`grad(..., create_graph=True)`: the pass itself is recorded, so that derivatives of any
order are possible).

This file has the ops that Python's operators need and those that undo broadcasting.
Baydin et al. 2018, "Automatic differentiation in machine learning: a survey", section 3.2.

Read next: backward.py, the walk; then ops.py, the rest of the table.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from nn.backward import Node, gradients
from nn.recording import recording

# -- the first kind of op ------------------------------------------------------------------------------------

new_node = tuple.__new__  # Node(...) would call this too, through a function in Python: 0.2 us more


def op(value: Callable, *vjps: Callable) -> Callable:
    """A differentiable function, made of its value and its derivatives.

    `value(*args, **kwargs)` sees arrays, never a Tensor, and returns a new array. `vjps[i](g, y, *args, **kwargs)`
    is the gradient of argument i, given the gradient g of the result y: sum_j g[j] dy[j] / dx[i]. Arguments that
    have a derivative come first; those after them (an axis, a shape) have none. A vjp may ignore broadcasting: its
    result is summed back to the shape of the argument.

    The function that is returned takes arrays, numbers and Tensors. With a Tensor among its arguments the result
    is a Tensor; without one it is the array of `value`.

    It raises what `value` raises, a ValueError or IndexError with the op's name and the shapes before it, and
    TypeError for a Tensor with requires_grad in the place of an argument that has no derivative.
    """
    name = value.__name__.strip("_")
    ufunc = isinstance(value, np.ufunc)
    if not ufunc:
        value.__qualname__ = name  # Python's own messages about wrong arguments then name the op

    def pullback(g, y, args, kwargs, parents):
        return [None if parent is None else unbroadcast(vjp(g, y, *args, **kwargs), x, name)
                for vjp, x, parent in zip(vjps, args, parents)]  # noqa: B905 (no parent needs more than the vjps)

    pullback.__name__ = name

    @functools.wraps(value, updated=())
    def differentiable(*args, **kwargs):
        if kwargs and ufunc:
            raise TypeError(f"{name} takes no keyword argument {next(iter(kwargs))!r}")
        arrays, parents, lifted, tracked = [], [], False, False
        for x in args:
            if isinstance(x, Tensor):
                lifted = True
                arrays.append(x.data)
                if x.requires_grad:
                    tracked = True
                    parents.append(x)
                    continue
            else:
                arrays.append(x)
            parents.append(None)
        try:
            y = value(*arrays, **kwargs) if kwargs else value(*arrays)
        except (ValueError, IndexError) as error:
            shapes = " and ".join(str(np.shape(x)) for x in arrays[:max(1, len(vjps))])
            raise type(error)(f"{name} of {shapes}: {error}") from None
        if not lifted:
            return y
        if not (tracked and recording.on):
            return result(y)
        if len(args) > len(vjps) and any(x is not None for x in parents[len(vjps):]):
            raise TypeError(f"{name} has no derivative for its argument {len(vjps)}: pass an array, x.data")
        return result(y, new_node(Node, (pullback, args, arrays, kwargs, parents)))

    differentiable.__name__ = differentiable.__qualname__ = name
    if ufunc:  # numpy's own signature has out=, where=, dtype=, ..., which an op does not take
        names = ("x",) if value.nin == 1 else ("a", "b")
        differentiable.__signature__ = inspect.Signature(
            [inspect.Parameter(x, inspect.Parameter.POSITIONAL_ONLY) for x in names])
        differentiable.__module__ = inspect.currentframe().f_back.f_globals["__name__"]  # where pickle finds it
        differentiable.__doc__ = f"np.{name}, element by element, with broadcasting."
    return differentiable


# -- the table: Python's operators, and the ops that undo broadcasting ------------------------------------


def unbroadcast(g, x, name: str):
    """Sum g, the gradient of an argument as it was broadcast, to the shape and dtype of the argument x itself."""
    if g.shape == x.shape and g.dtype == x.dtype:
        return g
    extra = g.ndim - x.ndim
    axes = tuple(i for i, n in enumerate(g.shape) if i < extra or (x.shape[i - extra] == 1 and n != 1))
    g = sum(g, axes) if axes else g
    if g.size != x.size:
        raise ValueError(f"a vjp of {name} returned shape {g.shape} for an argument of shape {x.shape}")
    return _cast(reshape(g, x.shape), x.dtype)


def kept_shape(x, axis=None) -> tuple[int, ...]:
    """The shape of x after a reduction over `axis` that keeps the reduced axes, with length 1."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def _sum(x, axis=None, keepdims=False):
    """Sum over `axis`: an int, a tuple of them, or None for all. In this and every reduction a 0-d array has no axis
    (PyTorch: 0 and -1), and an empty tuple names none (PyTorch: all).
    """
    if x.ndim == 2 and axis in (0, (0,)) and x.dtype.kind == "f":  # a bias's gradient, (1024, 2): 2 us, not 13
        y = np.ones(len(x), x.dtype) @ x
        return y[None] if keepdims else y
    return np.add.reduce(x, axis, keepdims=keepdims)  # np.sum, at half its price for a small array


def _reshape(x, shape):
    """The same elements in another shape; one length may be -1."""
    return x.reshape(shape)


def _broadcast_to(x, shape):
    """x repeated, without a copy, to a larger shape. Its adjoint is the sum that undoes every broadcast."""
    return np.broadcast_to(x, shape)


def _astype(x, dtype):
    return x.astype(dtype)


def _swapaxes(x, axis1, axis2):
    """x with two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


def _getitem(x, index):
    """x[index], with slices, integers, None, Ellipsis, arrays of integers and masks."""
    return x[index]


def _scatter(g, index, shape):
    """Zeros of `shape` with g added at `index`: an element named twice gets both. The adjoint of x[index]."""
    out = np.zeros(shape, g.dtype)
    indices = index if isinstance(index, tuple) else (index,)
    if all(isinstance(i, (int, np.integer, slice, type(None), type(...))) for i in indices):
        out[index] = g  # slices and integers name nothing twice
    else:
        np.add.at(out, index, g)
    return out


def _pow(x, n):
    return x**n


def _lowered(a, b):
    """The exponent b - 1 of the derivative of a ** b by a; b where both are 0, as 0 * 0 ** -1 would be nan."""
    return b - ((a != 0) | (b != 0))


def _safe_log(a, b):
    """log a, the derivative of a ** b by b divided by a ** b; 0 where a ** b is 0, as 0 * log 0 would be nan."""
    return log(a + ((a == 0) & (b >= 0)))


sum = op(_sum, lambda g, y, x, axis=None, keepdims=False: broadcast_to(reshape(g, kept_shape(x, axis)), x.shape))
reshape = op(_reshape, lambda g, y, x, shape: reshape(g, x.shape))
broadcast_to = op(_broadcast_to, lambda g, y, x, shape: g)
_cast = op(_astype, lambda g, y, x, dtype: g)
swapaxes = op(_swapaxes, lambda g, y, x, axis1, axis2: swapaxes(g, axis1, axis2))
getitem = op(_getitem, lambda g, y, x, index: scatter(g, index, x.shape))
scatter = op(_scatter, lambda g, y, x, index, shape: getitem(g, index))

add = op(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)
sub = op(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)
mul = op(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
div = op(np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
neg = op(np.negative, lambda g, y, x: -g)
log = op(np.log, lambda g, y, x: g / x)
_number_power = op(_pow, lambda g, y, x, n: g * (n * x ** (n - 1)) if n else g * 0)
_power = op(np.power, lambda g, y, a, b: g * b * a ** _lowered(a, b),
                      lambda g, y, a, b: g * y * _safe_log(a, b))
_matmul = op(np.matmul, lambda g, y, a, b: g @ b.mT, lambda g, y, a, b: a.mT @ g)


def astype(x, dtype):
    """x in another type. No gradient flows through whole numbers or booleans: the result does not need one."""
    if isinstance(x, Tensor) and not np.issubdtype(dtype, np.inexact):
        x = x.detach()
    return _cast(x, dtype)


def pow(a, b):
    """a ** b, element by element, with broadcasting; also with respect to b, if b is a Tensor."""
    if isinstance(b, (int, float)):
        return _number_power(a, b)
    if isinstance(a, (int, float)) and isinstance(b, Tensor):
        a = np.asarray(a, b.dtype)  # a Python number does not decide the dtype
    return _power(a, b)


def matmul(a, b):
    """a @ b: (..., n, k) @ (..., k, m) -> (..., n, m), leading axes broadcast.

    A vector is a row on the left and a column on the right, and leaves no axis behind.
    """
    a, b = (x if isinstance(x, Tensor) else np.asarray(x) for x in (a, b))
    if a.ndim == 1 and b.ndim > 0:
        return getitem(matmul(reshape(a, (1, -1)), b), (..., 0, slice(None)) if b.ndim > 1 else 0)
    if b.ndim == 1 and a.ndim > 0:
        return getitem(_matmul(a, reshape(b, (-1, 1))), (..., 0))
    return _matmul(a, b)


# -- the Tensor --------------------------------------------------------------------------------------------

_births = itertools.count()
methods: dict[str, Callable] = {}  # the functions of ops.py that are methods of Tensor too; ops.py fills it


def _method(name):
    """x.name(...) is methods[name](x, ...)."""
    def method(self, *args, **kwargs):
        return methods[name](self, *args, **kwargs)

    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", f"nn.{name} of this Tensor."
    return method


def _comparison(ufunc):
    """A comparison has no gradient: it returns an array of booleans."""
    return lambda self, other: ufunc(self.data, _array(other))


class Tensor:
    """An array that remembers where it came from.

        data            the array; real, or complex for a complex-step check (no vjp takes a conjugate)
        requires_grad   whether gradients with respect to it, or through it, are wanted
        grad            after `backward`, in a Tensor made by hand: the gradient, an array like `data`
        buffer          the array into which `backward` writes the gradient, if an optimiser has set one
        birth           its number in the order in which Tensors were made: its identity in a graph
        node            the op that made it and the arguments of that op, see backward.Node; None if made by hand

    Numbers and lists of numbers become float32, as in PyTorch; an array keeps its dtype and is shared, not copied.
    Types mix as numpy's do: an array of integers becomes float64 in an exp or a division, and float32 becomes float64
    together with it, and together with a 0-d array of float64 (PyTorch: float32). TypeError for requires_grad of
    integers.

    Ops never work in place: `a += b` makes a new Tensor, and there is no item assignment, so that no value that a
    gradient will need can change. Only the step of an optimiser and `load_state_dict` change a Parameter. A backward
    pass through a graph that was recorded before that raises RuntimeError. What is not seen is an array that you
    change yourself: `x.data[...] = 0`, or an index array, between the forward and the backward pass.

    Copies (copy, deepcopy, pickle) are new Tensors with no connection to the original's graph; TypeError for a Tensor
    that an op made while recording: copy x.detach().
    """

    __slots__ = ("data", "grad", "buffer", "requires_grad", "birth", "node", "__weakref__")
    __array_ufunc__ = None  # so that array + Tensor comes to Tensor.__radd__

    def __init__(self, data, requires_grad: bool = False, dtype=None):
        data = _array(data)
        array = np.asarray(data, dtype)
        if dtype is None and array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
            array = array.astype(np.float32)
        if requires_grad and not np.issubdtype(array.dtype, np.inexact):
            raise TypeError(f"only floating-point data has a gradient, not {array.dtype}: pass dtype=np.float32")
        self.data: np.ndarray = array
        self.grad: np.ndarray | None = None
        self.buffer: np.ndarray | None = None
        self.requires_grad = requires_grad
        self.birth = next(_births)
        self.node = None

    def __reduce_ex__(self, protocol):
        if self.node is not None:
            raise TypeError("a Tensor that remembers an op cannot be copied or pickled: use x.detach()")
        return _remake, (type(self), self.data, self.requires_grad, self.grad)

    def changed(self) -> None:
        """Say that `data` has changed in place: graphs that were recorded before cannot be used for a backward pass."""
        self.birth = next(_births)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    mT = property(lambda self: swapaxes(self, -1, -2))
    T = property(lambda self: methods["transpose"](self))

    __add__ = __radd__ = add
    __mul__ = __rmul__ = mul
    __sub__, __truediv__, __neg__, __matmul__, __getitem__ = sub, div, neg, matmul, getitem
    sum, astype, swapaxes, log = sum, astype, swapaxes, log

    def reshape(self, *shape) -> Tensor:
        """The same elements in another shape, given as lengths or as one tuple; one length may be -1."""
        return reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)

    # No __getattr__, which would make every access to an attribute slower.
    mean, var, std, max, min, prod, norm = map(_method, ("mean", "var", "std", "max", "min", "prod", "norm"))
    exp, expm1, log1p, sqrt, sin, cos, tanh = map(_method, ("exp", "expm1", "log1p", "sqrt", "sin", "cos", "tanh"))
    abs, relu, sigmoid, clip = map(_method, ("abs", "relu", "sigmoid", "clip"))
    softmax, log_softmax, logsumexp = map(_method, ("softmax", "log_softmax", "logsumexp"))
    argmax, cumsum, split, transpose = map(_method, ("argmax", "cumsum", "split", "transpose"))
    __abs__ = abs

    def __rsub__(self, other):
        return sub(other, self)

    def __rtruediv__(self, other):
        return div(other, self)

    def __rmatmul__(self, other):
        return matmul(other, self)

    def __pow__(self, other):
        return pow(self, other)

    def __rpow__(self, other):
        return pow(other, self)

    __lt__, __le__, __gt__, __ge__, __eq__, __ne__ = map(_comparison, (
        np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal))
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def numpy(self) -> np.ndarray:
        """The array; TypeError if this Tensor needs a gradient, which the array would not: use x.detach().numpy()."""
        return np.asarray(self)

    def item(self) -> float:
        """The one number that a Tensor of size 1 holds."""
        return self.data.item()

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise TypeError("an array would lose this Tensor's graph: use .data, or .detach() first")
        return np.array(self.data, dtype, copy=copy)

    def __array_function__(self, function, kinds, args, kwargs):
        """np.sum(x) and the like: only of a Tensor that needs no gradient, as an array."""
        def plain(value):
            if isinstance(value, (list, tuple)):
                return type(value)(map(plain, value))
            if isinstance(value, Tensor) and value.requires_grad:
                name = function.__name__
                raise TypeError(f"np.{name} of a Tensor would lose its graph: use nn.{name}, or x.data")
            return _array(value)

        return function(*plain(args), **{name: plain(value) for name, value in kwargs.items()})

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def detach(self) -> Tensor:
        """The same data without the past: a Tensor through which no gradient flows."""
        return result(self.data)

    def backward(self, g=None, retain_graph: bool = False) -> None:
        """x.grad += d sum(g * self) / dx, for every Tensor x made by hand, with requires_grad, that led to this one.

        g: an array of self's shape; it may be left out for a single number, where it is 1. The graph is taken apart
        on the way, which frees its memory, unless `retain_graph`.
        """
        if not self.requires_grad:
            raise RuntimeError("backward() of a Tensor that depends on nothing with requires_grad=True")
        for x, dx in gradients(self, _seed(self, g), None, retain_graph, create_graph=False):
            x.accumulate(dx)

    def accumulate(self, dx: np.ndarray) -> None:
        """self.grad += dx; the first is copied, into `buffer` if there is one."""
        if self.data.dtype.kind not in "fc":
            raise TypeError(f"only floating-point data has a gradient, not {self.dtype}")
        if self.grad is not None:
            self.grad += dx
        elif self.buffer is None:
            self.grad = np.array(dx)
        else:
            np.copyto(self.buffer, dx)
            self.grad = self.buffer


def result(data, node: Node | None = None) -> Tensor:
    """The result of an op: a Tensor that remembers the op, if there is a node."""
    t = Tensor.__new__(Tensor)
    t.data = data if isinstance(data, np.ndarray) else np.asarray(data)  # numpy turns 0-d results into scalars
    t.grad = t.buffer = None
    t.requires_grad = node is not None
    t.birth = next(_births)
    t.node = node
    return t


def _remake(kind, data, requires_grad, grad):
    """A copy of a Tensor: its birth is its own, as that is its identity in a graph."""
    t = kind.__new__(kind)
    t.data, t.requires_grad, t.grad = data, requires_grad, grad
    t.buffer = t.node = None
    t.birth = next(_births)
    return t


def _array(x):
    return x.data if isinstance(x, Tensor) else x


def _seed(y, g):
    if g is None:
        if y.size != 1:
            raise RuntimeError(f"without a gradient g only a single number can go backward, not shape {y.shape}")
        return np.ones_like(y.data)
    g = np.asarray(_array(g), y.dtype)
    if g.shape != y.shape:
        raise ValueError(f"the gradient g has shape {g.shape}, the Tensor has {y.shape}")
    return g


def grad(y: Tensor, xs: Tensor | Sequence[Tensor], g=None, *, create_graph: bool = False,
         retain_graph: bool | None = None) -> Tensor | tuple[Tensor, ...]:
    """d sum(g * y) / dx for each x in xs, as Tensors; no `.grad` is touched.

    xs: one Tensor (one gradient is returned) or several (a tuple is), anywhere in the graph; g: an array or Tensor
    of y's shape, which may be left out for a single number, where it is 1. An x that y does not depend on has
    gradient zero.
    create_graph: record the computation of the gradients, so that they can be differentiated in turn.
    retain_graph: keep the graph for another call; if not said, only with create_graph.
    """
    single = isinstance(xs, Tensor)
    xs = (xs,) if single else tuple(xs)
    if not all(x.requires_grad for x in xs):
        raise RuntimeError("grad() with respect to a Tensor without requires_grad=True")
    found = {}
    if y.requires_grad:
        seed = _seed(y, g)
        if create_graph:
            seed = g if isinstance(g, Tensor) else result(seed)
        retain_graph = create_graph if retain_graph is None else retain_graph
        walk = gradients(y, seed, {x.birth for x in xs}, retain_graph, create_graph)
        found = {x.birth: dx for x, dx in walk}
    out = [found[x.birth] if x.birth in found else np.zeros_like(x.data) for x in xs]
    out = tuple(dx if isinstance(dx, Tensor) else result(np.array(dx)) for dx in out)  # copies: two x may share one
    return out[0] if single else out

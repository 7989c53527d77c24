"""The table of derivatives: every other primitive, one row each, and below it what is composed of them.

In a vjp, g is the gradient of the result y. A comparison gives an array of booleans, for Tensors as for arrays,
and is a constant to a derivative.

At nan and infinity a row is what it is, and some of PyTorch's gradients are not the same: a nan has gradient 0 in relu,
maximum and minimum (PyTorch: the whole of it); nan ** 0 has nan (PyTorch: 0), 0 ** b with b < 0 has nan in b (PyTorch:
infinite), and a variance that is not finite has nan (PyTorch: infinite in places).

To add an op: one row here and one in the table of tasks/gradcheck.py, whose
check says yes or no.

Read next: losses.py, or gradcheck.py.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence

import numpy as np

from nn.tensor import Tensor, getitem, kept_shape, op, reshape, sum

# -- values that numpy has not, or not in this form -----------------------------------------------------------


def _sigmoid(x):
    """1 / (1 + exp(-x)). Where exp(-x) overflows, 0 is the right answer."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _relu(x):
    """max(x, 0); the derivative at 0 is taken to be 0."""
    return np.maximum(x, 0)


def _where(a, b, condition):
    return np.where(condition, a, b)


def _clip(x, low=None, high=None):
    """x, moved into [low, high] where it lies outside. The gradient is 1 inside, bounds included, and 0 outside."""
    return np.clip(x, low, high)


def _max(x, axis=None, keepdims=False):
    """The largest element over `axis`: an int, several, or None for all. Equal ones share the gradient evenly."""
    return np.max(x, axis=axis, keepdims=keepdims)


def _min(x, axis=None, keepdims=False):
    """The smallest element over `axis`: an int, several, or None for all. Equal ones share the gradient evenly."""
    return np.min(x, axis=axis, keepdims=keepdims)


def _from_max(x, axis):
    """x minus its maximum m over `axis`, and m. What equals an infinite m is 0 below it: inf - inf would be nan."""
    m = np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else -np.inf)
    if np.logical_and.reduce(np.isfinite(m), None):
        return x - m, m
    with np.errstate(invalid="ignore"):
        return np.where(x == m, 0, x - m), m


def _logsumexp(x, axis=-1, keepdims=False):
    """log sum exp x over `axis`, the maximum taken out first, so that nothing overflows. All at -inf: -inf. The
    gradient is softmax x, whatever x is (PyTorch: nan at infinities, and 1 for each of several huge ones).
    """
    below, m = _from_max(x, axis)
    y = np.log(np.add.reduce(np.exp(below), axis, keepdims=True)) + m
    return y if keepdims else np.squeeze(y, axis)


def _softmax(x, axis=-1):
    """exp x / sum exp x over `axis`. Elements at +inf share all; all at -inf share evenly (PyTorch: nan)."""
    y = np.exp(_from_max(x, axis)[0])
    return y / np.add.reduce(y, axis, keepdims=True)


def _log_softmax(x, axis=-1):
    """log softmax x, without forming the softmax: x - logsumexp x. At infinities as softmax (PyTorch: nan)."""
    below = _from_max(x, axis)[0]
    return below - np.log(np.add.reduce(np.exp(below), axis, keepdims=True))


def _transpose(x, axes=None):
    """x with its axes in the order `axes`; None reverses them."""
    return np.transpose(x, axes)


def _pad(x, widths, value=0.0):
    """x with `value` around it: widths[i] = (before, after) along axis i."""
    if len(widths) != x.ndim:
        raise ValueError(f"widths needs a pair (before, after) for each of {x.ndim} axes, not {len(widths)}")
    return np.pad(x, widths, constant_values=value)


def _inside(widths, shape):
    """Where pad put the elements of x."""
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))


def _linear(x, weight, bias):
    """x W^T + b:  x (N, I), W (O, I), b (O,) -> (N, O). The bias is added in place: nobody needs the product alone."""
    y = x @ weight.T
    return np.add(y, bias, out=y if y.dtype == np.result_type(y, bias) else None)


def _share(g, y, x, axis):
    """g to the elements of x that equal the extreme y, in equal parts."""
    kept = kept_shape(x, axis)
    best = x == reshape(y, kept)
    return reshape(g, kept) * (best / best.sum(axis=axis, keepdims=True)).astype(x.dtype)


# -- the table ------------------------------------------------------------------------------------------------

exp = op(np.exp, lambda g, y, x: g * y)
expm1 = op(np.expm1, lambda g, y, x: g * (y + 1))
log1p = op(np.log1p, lambda g, y, x: g / (1 + x))
sqrt = op(np.sqrt, lambda g, y, x: g * 0.5 / y)
tanh = op(np.tanh, lambda g, y, x: g * (1 - y * y))
sigmoid = op(_sigmoid, lambda g, y, x: g * y * (1 - y))
relu = op(_relu, lambda g, y, x: g * (x > 0))
abs = op(np.abs, lambda g, y, x: g * (x > 0) - g * (x < 0))
maximum = op(np.maximum, lambda g, y, a, b: g * (a > b) + 0.5 * g * (a == b),
                         lambda g, y, a, b: g * (a < b) + 0.5 * g * (a == b))
minimum = op(np.minimum, lambda g, y, a, b: g * (a < b) + 0.5 * g * (a == b),
                         lambda g, y, a, b: g * (a > b) + 0.5 * g * (a == b))
clip = op(_clip, lambda g, y, x, low=None, high=None: g * (x == y))
_select = op(_where, lambda g, y, a, b, c: _select(g, 0, c), lambda g, y, a, b, c: _select(0, g, c))

max = op(_max, lambda g, y, x, axis=None, keepdims=False: _share(g, y, x, axis))
min = op(_min, lambda g, y, x, axis=None, keepdims=False: _share(g, y, x, axis))
logsumexp = op(_logsumexp, lambda g, y, x, axis=-1, keepdims=False: reshape(g, kept_shape(x, axis)) * softmax(x, axis))
softmax = op(_softmax, lambda g, y, x, axis=-1: y * (g - sum(g * y, axis, keepdims=True)))
log_softmax = op(_log_softmax, lambda g, y, x, axis=-1: g - softmax(x, axis) * sum(g, axis, keepdims=True))

linear = op(_linear, lambda g, y, x, weight, bias: g @ weight,
                     lambda g, y, x, weight, bias: g.mT @ x,
                     lambda g, y, x, weight, bias: g)

transpose = op(_transpose, lambda g, y, x, axes=None:
               transpose(g, None if axes is None else np.argsort(np.mod(axes, x.ndim))))
pad = op(_pad, lambda g, y, x, widths, value=0.0: g[_inside(widths, x.shape)])


# -- several arguments, and what is composed ------------------------------------------------------------------


def where(condition, a, b):
    """a where `condition` (an array of booleans) holds, b elsewhere; shapes broadcast."""
    return _select(a, b, condition.data if isinstance(condition, Tensor) else condition)


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along an axis that they have: shapes (.., n1, ..), (.., n2, ..) -> (.., n1 + n2, ..)."""
    def _concatenate(*arrays):
        return np.concatenate(arrays, axis)

    ends = list(itertools.accumulate(x.shape[axis] for x in xs))
    lead = (slice(None),) * (axis if axis >= 0 else axis + xs[0].ndim)
    parts = [lead + (slice(*ends),) for ends in itertools.pairwise([0, *ends])]
    return op(_concatenate, *(lambda g, y, *xs, part=part: g[part] for part in parts))(*xs)


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis: n of (.., ..) -> (.., n, ..)."""
    ndim = xs[0].ndim + 1
    new = (slice(None),) * (axis if axis >= 0 else axis + ndim) + (None,)
    return concatenate([getitem(x, new) for x in xs], axis)


def split(x: Tensor, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along an axis, into so many equal parts, or before each of the indices given (as numpy.split)."""
    n = x.shape[axis]
    if isinstance(sections, int):
        if n % sections:
            raise ValueError(f"split of {x.shape}: axis {axis} does not divide into {sections} equal parts")
        sections = [n // sections * i for i in range(1, sections)]
    lead = (slice(None),) * (axis if axis >= 0 else axis + x.ndim)
    return [x[lead + (slice(*ends),)] for ends in itertools.pairwise([0, *sections, n])]


def mean(x: Tensor, axis=None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`: an int, several, or None for all."""
    total = sum(x, axis, keepdims)
    return total / (x.size // builtins.max(1, total.size))


def var(x: Tensor, axis=None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The variance over `axis`: sum (x - mean x)^2 / (n - ddof). ddof = 1 is the unbiased one, PyTorch's
    default.
    """
    total = sum((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims)
    return total / (x.size // builtins.max(1, total.size) - ddof)

"""The table of derivatives: every other primitive, one row each, and below it what is composed of them.

In a vjp, g is the gradient of the result y. A comparison gives an array of booleans, for Tensors as for arrays,
and counts as a constant in a derivative.

Gradients at nan and infinity follow the formula, and some of PyTorch's gradients are not the same: a nan has gradient 0
in relu, maximum and minimum (PyTorch: the whole of it); nan ** 0 has nan (PyTorch: 0), 0 ** b with b < 0 has nan in b
(PyTorch: infinite), and a variance that is not finite has nan (PyTorch: infinite in places).

To add an op: one row here, and one in the table of tasks/gradcheck.py, which checks it.

Read next: losses.py, or gradcheck.py.
"""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence

import numpy as np

from nn.tensor import Tensor, astype, getitem, kept_shape, methods, op, reshape, sum
from nn.threads import product

MASKED = {np.dtype(f"f{size}"): np.dtype(f"i{size}") for size in (2, 4, 8)}

# -- values that numpy does not have in this form -----------------------------------------------------------


def _sigmoid(x):
    """1 / (1 + exp(-x)). Where exp(-x) overflows, 0 is the right answer."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _relu(x):
    """max(x, 0); the derivative at 0 is taken to be 0."""
    return np.maximum(x, 0)


def _where(a, b, condition):
    """a where `condition` holds, b elsewhere. If b is the number 0, the mask is applied to the bits of a, as 0 or all
    ones: np.where takes ten times as long where it cannot foresee the mask; and as a factor it would make 0 * inf, nan.
    """
    if type(b) is int and b == 0 and isinstance(a, np.ndarray) and a.dtype in MASKED:
        bits = MASKED[a.dtype]
        return np.bitwise_and(a.view(bits), -np.asarray(condition, bool).astype(bits)).view(a.dtype)
    return np.where(condition, a, b)


def _clip(x, low, high):
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


def _softplus(x):
    """log(1 + exp(x)), which does not overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.maximum(x, -x)))


def _elu(x, alpha=1.0):
    """x where it is positive, alpha (exp(x) - 1) elsewhere. Clevert, Unterthiner & Hochreiter 2016."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _norm(x, axis=None, keepdims=False):
    return np.sqrt(np.add.reduce(x * x, axis, keepdims=keepdims))


def _prod(x, axis=None, keepdims=False):
    """The product over `axis`: an int, several, or None for all. Second derivatives need elements that are not 0."""
    return np.prod(x, axis=axis, keepdims=keepdims)


def _others(g, x, axis):
    """g times the product of the other elements: right also for one element that is 0, or several."""
    zero = x == 0
    zeros = zero.sum(axis=axis, keepdims=True)
    safe = _select(np.ones((), x.dtype), x, zero)
    product = reshape(g, kept_shape(x, axis)) * prod(safe, axis, keepdims=True) / safe
    return _select(product, 0, (zeros == 0) | (zero & (zeros == 1)))


def _cumsum(x, axis):
    """The sums of the first element, of the first two, ... along `axis`."""
    return np.cumsum(x, axis)


def _reversed(x, axis):
    return x[(slice(None),) * (axis % x.ndim) + (slice(None, None, -1),)]


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
    """x W^T + b:  x (N, I), W (O, I), b (O,) -> (N, O). The bias is added in place: the product is not used."""
    y = product(x, weight.T)
    return np.add(y, bias, out=y if y.dtype == np.result_type(y, bias) else None)


def _split_among_ties(g, y, x, axis):
    """g to the elements of x that equal the extreme y, in equal parts."""
    kept = kept_shape(x, axis)
    best = x == reshape(y, kept)
    count = best.sum(axis=axis, keepdims=True)
    ties = np.where(count, count, np.nan).astype(x.dtype)  # none if y is nan, which equals nothing
    return _select(reshape(g, kept) / ties, 0, best | (count == 0))


# -- the table ------------------------------------------------------------------------------------------------

# A mask selects: as a factor it would make 0 * inf, which is nan.
exp = op(np.exp, lambda g, y, x: g * y)
expm1 = op(np.expm1, lambda g, y, x: g * (y + 1))
log1p = op(np.log1p, lambda g, y, x: g / (1 + x))
sin = op(np.sin, lambda g, y, x: g * cos(x))
cos = op(np.cos, lambda g, y, x: -g * sin(x))
sqrt = op(np.sqrt, lambda g, y, x: g * 0.5 / y)
tanh = op(np.tanh, lambda g, y, x: g * (1 - y * y))
sigmoid = op(_sigmoid, lambda g, y, x: g * y * (1 - y))
softplus = op(_softplus, lambda g, y, x: g * sigmoid(x))
elu = op(_elu, lambda g, y, x, alpha=1.0: _select(g * (y + alpha), g, x <= 0))
relu = op(_relu, lambda g, y, x: _select(g, 0, x > 0))
abs = op(np.abs, lambda g, y, x: _select(g, _select(-g, 0, x < 0), x > 0))
maximum = op(np.maximum, lambda g, y, a, b: _select(g, _select(0.5 * g, 0, a == b), a > b),
                         lambda g, y, a, b: _select(g, _select(0.5 * g, 0, a == b), a < b))
minimum = op(np.minimum, lambda g, y, a, b: _select(g, _select(0.5 * g, 0, a == b), a < b),
                         lambda g, y, a, b: _select(g, _select(0.5 * g, 0, a == b), a > b))
_clip = op(_clip, lambda g, y, x, low, high: _select(g, 0, x == y),
                  lambda g, y, x, low, high: _select(g, 0, (x < low) & (y == low)),
                  lambda g, y, x, low, high: _select(g, 0, (x if low is None else maximum(x, low)) > high))
_select = op(_where, lambda g, y, a, b, c: _select(g, 0, c), lambda g, y, a, b, c: _select(0, g, c))

max = op(_max, lambda g, y, x, axis=None, keepdims=False: _split_among_ties(g, y, x, axis))
min = op(_min, lambda g, y, x, axis=None, keepdims=False: _split_among_ties(g, y, x, axis))
prod = op(_prod, lambda g, y, x, axis=None, keepdims=False: _others(g, x, axis))
cumsum = op(_cumsum, lambda g, y, x, axis: _reversed(cumsum(_reversed(g, axis), axis), axis))
_norm = op(_norm, lambda g, y, x, axis=None, keepdims=False:
           x * reshape(_select(g / (y + (y == 0)), 0, y != 0), kept_shape(x, axis)))
logsumexp = op(_logsumexp, lambda g, y, x, axis=-1, keepdims=False: reshape(g, kept_shape(x, axis)) * softmax(x, axis))
softmax = op(_softmax, lambda g, y, x, axis=-1: y * (g - sum(g * y, axis, keepdims=True)))
log_softmax = op(_log_softmax, lambda g, y, x, axis=-1: g - softmax(x, axis) * sum(g, axis, keepdims=True))

_product = op(product, lambda g, y, a, b: _product(g, b.mT), lambda g, y, a, b: _product(a.mT, g))
linear = op(_linear, lambda g, y, x, weight, bias: _product(g, weight),
                     lambda g, y, x, weight, bias: _product(g.mT, x),
                     lambda g, y, x, weight, bias: g)

transpose = op(_transpose, lambda g, y, x, axes=None:
               transpose(g, None if axes is None else np.argsort(np.mod(axes, x.ndim))))
pad = op(_pad, lambda g, y, x, widths, value=0.0: g[_inside(widths, x.shape)])


# -- several arguments, and what is composed ------------------------------------------------------------------


def clip(x, low=None, high=None):
    """x, moved to the bound where it lies outside [low, high]; a bound is a number, an array, a Tensor, or None. The
    gradient is that of x inside, bounds included, and that of the bound outside.
    """
    return _clip(x, low, high)


def _transpose_of(x, *axes):
    """x.transpose(), x.transpose(1, 0) or x.transpose((1, 0))."""
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return transpose(x, axes or None)


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


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, negative_slope * x elsewhere."""
    return where(x > 0, x, negative_slope * x)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x). Elfwing, Uchibe & Doya 2018."""
    return x * sigmoid(x)


def gelu(x: Tensor) -> Tensor:
    """x times the probability that N(0, 1) is below x, in the form with a tanh (numpy has no erf for the exact one):

        x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2           PyTorch: gelu(x, approximate="tanh")

    Hendrycks & Gimpel 2016, "Gaussian error linear units".
    """
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def norm(x: Tensor, ord: int = 2, axis=None, keepdims: bool = False) -> Tensor:
    """The norm over `axis` (an int, several, or None for all): sqrt(sum x^2) for ord = 2, with gradient 0 at 0; sum |x|
    for ord = 1.
    """
    if ord not in (1, 2):
        raise ValueError(f"norm: ord is 1 or 2, not {ord}")
    return _norm(x, axis, keepdims) if ord == 2 else sum(abs(x), axis, keepdims)


def einsum(subscripts: str, *xs: Tensor) -> Tensor:
    """Sums of products by the names of the axes: einsum("ij,jk->ik", a, b) is a @ b. As in numpy, without "..." and
    without an axis that one argument has twice ("ii->i").

    The vjp of an argument is an einsum too: of the gradient and the other arguments, with the argument's own axes as
    the result. An axis that only this argument has was summed away; ones bring it back.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    names = inputs.split(",")
    if not arrow:
        output = "".join(sorted(axis for axis in set(inputs) - {","} if inputs.count(axis) == 1))
    if "." in subscripts or any(len(set(name)) < len(name) for name in names):
        raise ValueError(f'einsum: "{subscripts}" has "..." or an axis twice in one argument, which is not supported')

    def _einsum(*arrays):
        return np.einsum(f"{inputs}->{output}", *arrays)

    def vjp(i):
        def of_argument(g, y, *args):
            others = [(name, x) for k, (name, x) in enumerate(zip(names, args, strict=True)) if k != i]
            alone = [axis for axis in names[i] if axis not in output + "".join(name for name, _ in others)]
            ones = [(axis, np.ones(args[i].shape[names[i].index(axis)], args[i].dtype)) for axis in alone]
            parts = [(output, g), *others, *ones]
            return einsum(f"{','.join(name for name, _ in parts)}->{names[i]}", *(x for _, x in parts))
        return of_argument

    return op(_einsum, *map(vjp, range(len(names))))(*xs)


def argmax(x: Tensor, axis: int | None = None) -> np.ndarray:
    """Where the largest element is, along an axis or in x.ravel(): an array of whole numbers, which has no gradient."""
    return np.asarray(np.argmax(x.data if isinstance(x, Tensor) else x, axis))


def mean(x: Tensor, axis=None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`: an int, several, or None for all. Also of a list of numbers."""
    x = x if isinstance(x, Tensor) else np.asarray(x)
    if x.dtype == np.float16:  # a sum of 70,000 ones is infinite in float16
        return astype(mean(astype(x, np.float32), axis, keepdims), np.float16)
    total = sum(x, axis, keepdims)
    return total / (x.size // builtins.max(1, total.size))


def var(x: Tensor, axis=None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The variance over `axis`: sum (x - mean x)^2 / (n - ddof), nan or infinite if n <= ddof. ddof = 1 is the unbiased
    one, PyTorch's default.
    """
    x = x if isinstance(x, Tensor) else np.asarray(x)
    if x.dtype == np.float16:
        return astype(var(astype(x, np.float32), axis, keepdims, ddof), np.float16)
    total = sum((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims)
    return total / builtins.max(x.size // builtins.max(1, total.size) - ddof, 0)


def std(x: Tensor, axis=None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The standard deviation over `axis`: sqrt(var x)."""
    return sqrt(var(x, axis, keepdims, ddof))


methods.update(abs=abs, argmax=argmax, clip=clip, cos=cos, cumsum=cumsum, exp=exp, expm1=expm1, log1p=log1p,
               log_softmax=log_softmax, logsumexp=logsumexp, max=max, mean=mean, min=min, norm=norm, prod=prod,
               relu=relu, sigmoid=sigmoid, sin=sin, softmax=softmax, split=split, sqrt=sqrt, std=std, tanh=tanh,
               transpose=_transpose_of, var=var)

"""Is this gradient right? And if not, where and by how much?

A gradient is checked along random directions: sum(dx * v), which backward gives, must be the derivative of the
function along v, which is found without any vjp. One direction sees every element at once; an error anywhere
shows in it with probability one.

The derivative along v is found by a complex step, Im f(x + i h v) / h with h = 1e-20, which subtracts nothing
and is exact to the last digits, for functions that are analytic; and by central differences of fourth order for
those that are not (abs, or a comparison that a complex number cannot pass). Squire & Trapp 1998, "Using complex
variables to estimate derivatives".
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable

import numpy as np

from nn.tensor import Tensor, grad


class GradientError(AssertionError):
    """A gradient is wrong; the message says which, where, and how to see it again. error: the relative one."""

    def __init__(self, message: str, error: float):
        super().__init__(message)
        self.error = error


def gradcheck(f: Callable, *inputs, order: int = 1, tolerance: float = 1e-7, seed: int = 0) -> float:
    """Check the gradients of f, and return the worst relative error.

    f           f(*tensors) returns a Tensor or a tuple of them, the same each time that it is called: a generator that
                it needs is made and seeded inside
    inputs      arrays; those of float64 become Tensors and are checked, the others (indices, masks) are passed as
                they are. Away from kinks (relu at 0): there is no derivative there to compare with
    order       2 checks the second derivatives too, and so on

    The error is |sum(dx * v) - numeric|, over the largest of sum |dx * v|, |numeric| and 1e-5 of the function's own
    size, below which the difference of two values is only rounding. Several results are checked each alone, then
    together.

    GradientError above `tolerance`; TypeError for floating-point inputs that are not float64.
    """
    inputs = [x.data if isinstance(x, Tensor) else x for x in inputs]
    checked = [i for i, x in enumerate(inputs) if _is_checked(x)]
    if any(inputs[i].dtype != np.float64 for i in checked) or not checked:
        raise TypeError("gradcheck needs float64 arrays: float32 has too few digits to tell right from wrong")
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(y.shape) for y in _results(f, _lift(inputs))]
    selections = [[k] for k in range(len(weights))] + ([list(range(len(weights)))] if len(weights) > 1 else [])
    with np.errstate(under="ignore"):  # the complex step's h^2
        worst = max(_check(f, inputs, i, weights, chosen, tolerance, seed, rng)
                    for chosen in selections for i in checked)
        if order > 1:
            def gradient(*xs):
                return grad(_total(_results(f, xs), weights), [xs[i] for i in checked], create_graph=True)

            worst = max(worst, gradcheck(gradient, *inputs, order=order - 1, tolerance=tolerance, seed=seed + 1))
    return worst


def _is_checked(x):
    return isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def _lift(inputs, dtype=np.float64):
    return [Tensor(x.astype(dtype), requires_grad=True) if _is_checked(x) else x for x in inputs]


def _results(f, xs):
    ys = f(*xs)
    return ys if isinstance(ys, tuple) else (ys,)


def _total(ys, weights, chosen=None):
    """The one number whose gradient is taken: the chosen results, weighted at random and summed."""
    return sum((weights[k] * ys[k]).sum() for k in (range(len(ys)) if chosen is None else chosen))


def _moved(inputs, i, step):
    return [np.asarray(x + step) if j == i else x for j, x in enumerate(inputs)]  # 0-d + 0-d is no array


def _complex_step(f, inputs, i, v, weights, chosen):
    """The derivative along v, or None if f does not carry complex numbers through."""
    h = 1e-20
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # a cast to real, which loses the step
            y = _total(_results(f, _lift(_moved(inputs, i, 1j * h * v), np.complex128)), weights, chosen).data
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        return None
    return y.imag / h if np.iscomplexobj(y) else None


def _central_difference(f, inputs, i, v, weights, chosen):
    """The derivative along v, with an error of order h^4."""
    h = 1e-4
    at = {k: _total(_results(f, _lift(_moved(inputs, i, k * h * v))), weights, chosen).data for k in (-2, -1, 1, 2)}
    return (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)


def _check(f, inputs, i, weights, chosen, tolerance, seed, rng):
    """The relative error of the gradient for input i along one random direction."""
    xs = _lift(inputs)
    ys = _results(f, xs)
    size = sum(np.abs(weights[k] * ys[k].data).sum() for k in chosen)
    dx = grad(_total(ys, weights, chosen), xs[i]).data
    v = rng.standard_normal(dx.shape)
    along = (dx * v).sum()

    # A function that is not analytic may still return a complex number, a wrong one: central differences have the
    # last word. They pass no wrong gradient, as they know nothing of the vjps.
    for method in (_complex_step, _central_difference):
        numeric = method(f, inputs, i, v, weights, chosen)
        if numeric is None:
            continue
        difference = abs(along - numeric)
        error = difference / max(np.abs(dx * v).sum(), abs(numeric), 1e-5 * size) if difference else 0.0
        if error <= tolerance:  # false for nan
            return float(error)

    def along_element(index):
        e = np.zeros_like(dx)
        e[index] = 1
        return method(f, inputs, i, e, weights, chosen)

    elements = {index: along_element(index) for index in itertools.islice(np.ndindex(dx.shape), 1000)}
    worst = max(elements, key=lambda index: np.nan_to_num(abs(dx[index] - elements[index]), nan=np.inf))
    raise GradientError(
        f"wrong gradient for argument {i}, of shape {dx.shape}, from result {' and '.join(map(str, chosen))}\n"
        f"  along a random direction v: backward says {along:.10g}, {method.__name__[1:].replace('_', ' ')} says "
        f"{numeric:.10g}; relative error {error:.2g}, tolerance {tolerance:.0e}\n"
        f"  worst at element {worst}: backward says {dx[worst]:.10g}, it is {elements[worst]:.10g}\n"
        f"  v = {np.array2string(v, precision=3, threshold=8, prefix='  v = ')}\n"
        f"  to see it again: gradcheck(f, *inputs, seed={seed})", error)

"""Is this gradient right? And if not, where and by how much?

A gradient is checked along random directions: sum(dx * v), which backward gives, must be the derivative of the function
along v, which is found without any vjp. One direction sees every element at once; an error anywhere shows in it with
probability one.

The derivative along v is found in two ways. **Central differences** of fourth order,

    (8 f(x + hv) - 8 f(x - hv) - f(x + 2hv) + f(x - 2hv)) / 12 h,

are right for every function that has a derivative, to some ten digits. A gradient must agree with them.
The **complex step** is right to the last digit, if f is analytic: by Taylor's series

    f(x + ihv) = f(x) + ih f'(x) v - h^2 f''(x) v^2 / 2 - ...,      so     f'(x) v = Im f(x + ihv) / h

up to an error of order h^2, and as nothing is subtracted, h may be 1e-20. But a function may carry a complex number
through and not be analytic (abs, sign, conj, a comparison). So the complex step only sharpens an answer with which
the central differences agree. Squire & Trapp 1998, "Using complex variables to estimate derivatives".
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from nn.module import Module, Parameter
from nn.tensor import Tensor, grad

STEPS = (1e-3, 1e-4, 1e-5)  # of the central differences: a large one for digits, a small one beside a kink


class GradientError(AssertionError):
    """A gradient is wrong; the message says which, where, and how to see it again. error: the relative one."""

    def __init__(self, message: str, error: float):
        super().__init__(message)
        self.error = error


def gradcheck(f: Callable, *inputs, order: int = 1, tolerance: float = 1e-7, seed: int = 0) -> float:
    """Check the gradients of f, and return the worst relative error.

    f           f(*tensors) returns a Tensor or a tuple of them, the same at each call: a generator that it needs is
                made and seeded inside. If f is a Module, the gradients of its parameters are checked too, in float64;
                the parameters themselves stay as they are
    inputs      arrays; those of float64 become Tensors and are checked, the others (indices, masks) are passed as
                they are. Away from kinks (relu at 0): there is no derivative there to compare with
    order       2 checks the second derivatives too, and so on

    The error is |sum(dx * v) - numeric|, divided by the largest of sum |dx * v|, |numeric| and 1e-5 of the function's
    own size, below which the difference of two values is only rounding. Several results are checked one by one, then
    together.

    Raises GradientError above `tolerance`; TypeError for inputs that cannot be checked: floating-point numbers that
    are not float64, lists, complex numbers; ValueError if f returns something else when it is called again.
    """
    names = [f"argument {i}" for i in range(len(inputs))]
    if isinstance(f, Module):
        names += [f"parameter {name}" for name in dict.fromkeys(_names(f))]
        inputs = (*inputs, *(p.data.astype(np.float64) for p in f.parameters()))
        f = with_parameters(f)
    inputs = [x.data if isinstance(x, Tensor) else x for x in inputs]
    return _gradcheck(f, inputs, names, order, tolerance, seed)


def _gradcheck(f, inputs, names, order, tolerance, seed):
    checked = [i for i, x in enumerate(inputs) if _is_checked(x, names[i])]
    if not checked:
        raise TypeError("gradcheck has nothing to check: none of the inputs is an array of float64")
    first, again = _results(f, _lift(inputs)), _results(f, _lift(inputs))
    if any(not np.array_equal(y.data, z.data, equal_nan=True) for y, z in zip(first, again, strict=True)):
        raise ValueError("gradcheck: f returns something else each time it is called: make and seed its generator "
                         "inside, and switch Dropout off with eval()")
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(y.shape) for y in first]
    selections = [[k] for k in range(len(weights))] + ([list(range(len(weights)))] if len(weights) > 1 else [])
    with np.errstate(under="ignore"):  # the complex step's h^2
        worst = max(_check(f, inputs, i, names[i], weights, chosen, tolerance, seed, rng)
                    for chosen in selections for i in checked)
        if order > 1:
            def gradient(*xs):
                return grad(_total(_results(f, xs), weights), [xs[i] for i in checked], create_graph=True)

            worst = max(worst, _gradcheck(gradient, inputs, names, order - 1, tolerance, seed + 1))
    return worst


def _is_checked(x, name):
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        return True
    if isinstance(x, (list, float, complex)) or np.iscomplexobj(x):
        raise TypeError(f"gradcheck: {name} is {type(x).__name__}: pass an array of float64, such as np.array(...)")
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f":
        raise TypeError(f"gradcheck: {name} is {x.dtype}, which has too few digits: pass float64, x.astype(float)")
    return False


def _lift(inputs, dtype=np.float64):
    return [Tensor(x.astype(dtype), requires_grad=True) if isinstance(x, np.ndarray) and x.dtype.kind in "fc" else x
            for x in inputs]


def _results(f, xs):
    ys = f(*xs)
    return ys if isinstance(ys, tuple) else (ys,)


def _total(ys, weights, chosen=None):
    """The one number whose gradient is taken: the chosen results, weighted at random and summed."""
    return sum((weights[k] * ys[k]).sum() for k in (range(len(ys)) if chosen is None else chosen))


def _moved(inputs, i, step):
    return [np.asarray(x + step) if j == i else x for j, x in enumerate(inputs)]  # a sum of 0-d arrays is a scalar


def _complex_step(f, inputs, i, v, weights, chosen):
    """The derivative along v, if f is analytic; None if f does not carry complex numbers through."""
    h = 1e-20
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # a cast to real, which loses the step
            y = _total(_results(f, _lift(_moved(inputs, i, 1j * h * v), np.complex128)), weights, chosen).data
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        return None
    return y.imag / h if np.iscomplexobj(y) else None


def _central_difference(f, inputs, i, v, weights, chosen, h):
    """The derivative along v, with an error of order h^4 and one of rounding, 1e-16 / h."""
    at = {k: _total(_results(f, _lift(_moved(inputs, i, k * h * v))), weights, chosen).data for k in (-2, -1, 1, 2)}
    return (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)


def _check(f, inputs, i, name, weights, chosen, tolerance, seed, rng):
    """The relative error of the gradient for input i along one random direction."""
    xs = _lift(inputs)
    ys = _results(f, xs)
    size = sum(np.abs(weights[k] * ys[k].data).sum() for k in chosen)
    dx = grad(_total(ys, weights, chosen), xs[i]).data
    v = rng.standard_normal(dx.shape) * np.maximum(1, np.abs(inputs[i]))  # 1e6 + 1e-4 has too few digits left
    along = (dx * v).sum()

    def error(numeric):
        difference = abs(along - numeric)
        return float(difference / max(np.abs(dx * v).sum(), abs(numeric), 1e-5 * size)) if difference else 0.0

    found = {}  # {step: what central differences say}
    for h in STEPS:
        found[h] = _central_difference(f, inputs, i, v, weights, chosen, h)
        if error(found[h]) <= tolerance:  # false for nan
            break
    best = min(found, key=lambda h: np.nan_to_num(error(found[h]), nan=np.inf))
    apart = error(found[best])
    exact = _complex_step(f, inputs, i, v, weights, chosen)
    sharp = np.inf if exact is None else error(exact)
    # Where central differences have few digits (they differ among themselves), they must agree to those, and the
    # complex step to the tolerance.
    spread = min((error(along + a - b) for a, b in itertools.pairwise(found.values())), default=0.0)
    if apart <= tolerance or (sharp <= tolerance and apart <= min(10 * spread, 1e-3)):
        return min(apart, sharp)

    def along_element(index):
        e = np.zeros_like(dx)
        e[index] = max(1, abs(inputs[i][index]))
        return _central_difference(f, inputs, i, e, weights, chosen, best) / e[index]

    elements = {index: along_element(index) for index in itertools.islice(np.ndindex(dx.shape), 1000)}
    worst = max(elements, key=lambda index: np.nan_to_num(abs(dx[index] - elements[index]), nan=np.inf))
    raise GradientError(
        f"wrong gradient for {name}, of shape {dx.shape}, from result {' and '.join(map(str, chosen))}\n"
        f"  along a random direction v: backward says {along:.10g}, central difference says "
        f"{found[best]:.10g}; relative error {apart:.2g}, tolerance {tolerance:.0e}\n"
        f"  worst at element {worst}: backward says {dx[worst]:.10g}, it is {elements[worst]:.10g}\n"
        f"  v = {np.array2string(v, precision=3, threshold=8, prefix='  v = ')}\n"
        f"  to see it again: gradcheck(f, *inputs, seed={seed})", apart)


# -- modules --------------------------------------------------------------------------------------------------


def _names(module):
    """The name of each parameter, once: the first if it is held twice, as in `parameters()`."""
    first = {}
    for name, p in module.named_parameters():
        first.setdefault(id(p), name)
    return first.values()


def with_parameters(module: Module) -> Callable:
    """The module as a function of its inputs, followed by a Tensor for each of its parameters."""
    parameters = module.parameters()

    def function(*args):
        count = len(args) - len(parameters)
        with _substituted(module, dict(zip(map(id, parameters), args[count:], strict=True))):
            return module(*args[:count])

    return function


@contextmanager
def _substituted(module: Module, new: dict[int, Tensor]) -> Iterator[None]:
    """Inside, the module and those in it hold new[id(p)] in the place of each Parameter p."""
    before = [(each, dict(vars(each))) for each in _modules(module)]
    try:
        for each, attributes in before:
            vars(each).update({name: _replaced(value, new) for name, value in attributes.items()})
        yield
    finally:
        for each, attributes in before:
            vars(each).update(attributes)


def _modules(module):
    found, stack = {}, [module]
    while stack:
        one = stack.pop()
        if id(one) not in found:
            found[id(one)] = one
            stack += [member for _, member in one.members() if isinstance(member, Module)]
    return list(found.values())


def _replaced(value, new):
    if isinstance(value, Parameter):
        return new[id(value)]
    if isinstance(value, dict):
        return {key: _replaced(item, new) for key, item in value.items()}
    return type(value)(_replaced(item, new) for item in value) if type(value) in (list, tuple) else value

"""The second, and last, kind of op: a whole layer at once, differentiated by hand.

Read next: sequence.py, which is made of such ops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from nn.tensor import Tensor, recording, tensor


def fused(composed: str) -> Callable:
    """Decorator for a function of arrays that returns `(y, backward)`; the result is an op on Tensors.

    y is an array or a tuple of arrays. `backward(g, wanted)` returns one gradient per positional argument, in the
    argument's shape, where `wanted[i]` says whether anybody needs the i-th (None will do if not). For a tuple, g is
    a tuple too, with None for each result that nobody used: no gradient is made for it.

    Such an op can be differentiated once: NotImplementedError for more. `composed` names what to use instead, the
    same thing in plain ops.
    """
    def decorate(function):
        def pull(g, y, args, state, wanted):
            backward, count = state
            wanted = [parent is not None for parent in wanted]
            g = tuple(g.get(i) for i in range(count)) if isinstance(g, _Parts) else g
            if any(isinstance(part, Tensor) for part in (g if isinstance(g, tuple) else (g,))):
                raise NotImplementedError(f"{function.__name__} is a fused op and can be differentiated once; "
                                          f"for higher derivatives use {composed}")
            return [dx.astype(x.dtype, copy=False) if want else None
                    for dx, x, want in zip(backward(g, wanted), args, wanted, strict=True)]

        pull.__name__ = function.__name__

        @functools.wraps(function)
        def apply(*args, **kwargs):
            arrays = [x.data if isinstance(x, Tensor) else x for x in args]
            y, backward = function(*arrays, **kwargs)
            if not any(isinstance(x, Tensor) for x in args):
                return y
            several = isinstance(y, tuple)
            parents = [x if isinstance(x, Tensor) and x.requires_grad else None for x in args]
            if not recording.on or all(x is None for x in parents):
                return tuple(map(tensor, y)) if several else tensor(y)

            source = (pull, args, arrays, (backward, len(y) if several else 1), parents)
            if not several:
                return tensor(y, source)
            # Several results: one node for the op, and one for each result, which hands its gradient on.
            whole = tensor((), source)
            return tuple(tensor(part, (_pull_part, (whole, i), (whole, i), {}, (whole, None)))
                         for i, part in enumerate(y))

        return apply
    return decorate


class _Parts(dict):
    """Gradients of some of several results, by their number. Each comes once, so that to add is to unite."""

    def __add__(self, other):
        return _Parts({**self, **other})


def _pull_part(g, y, args, kwargs, wanted):
    return _Parts({args[1]: g}), None

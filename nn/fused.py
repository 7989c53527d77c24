"""The second, and last, kind of op: a whole layer at once, differentiated by hand.

Read next: memory.py, then sequence.py, which is made of such ops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from nn.backward import Node
from nn.recording import recording
from nn.tensor import Tensor, result


def fused(composed: str) -> Callable:
    """Decorator for a function of arrays that returns `(y, backward)`; the result is an op on Tensors.

    y is an array or a tuple of arrays. `backward(g, wanted)` returns one gradient per positional argument, in the
    shape of the argument, where `wanted[i]` says whether the gradient of argument i is needed (return None for the
    others). If y is a tuple, g is one too, with None for each result that was not used.

    Such an op can be differentiated once: NotImplementedError for more. `composed` names what to use instead, the
    same layer made of plain ops.

    One result is one node. Several results are one node for the op, and one for each result:

        h, c = lstm(x, ...)         h ---- node: result 0 --.
                                                            +---- node: lstm, parents (x, ...)
                                    c ---- node: result 1 --'
    """
    def decorate(function):
        @functools.wraps(function)
        def differentiable(*args, **kwargs):
            arrays = [x.data if isinstance(x, Tensor) else x for x in args]
            y, backward = function(*arrays, **kwargs)
            if not any(isinstance(x, Tensor) for x in args):
                return y
            several = isinstance(y, tuple)
            parents = [x if isinstance(x, Tensor) and x.requires_grad else None for x in args]
            if not recording.on or all(x is None for x in parents):
                return tuple(map(result, y)) if several else result(y)

            def pullback(g, y, args, kwargs, parents):
                gs = tuple(g.get(i) for i in range(count)) if several else (g,)
                if any(isinstance(one, Tensor) for one in gs):
                    raise NotImplementedError(f"{function.__name__} is a fused op and can be differentiated once; "
                                              f"for higher derivatives use {composed}")
                wanted = [parent is not None for parent in parents]
                return [dx.astype(x.dtype, copy=False) if want else None for dx, x, want in
                        zip(backward(gs if several else g, wanted), args, wanted, strict=True)]

            pullback.__name__ = function.__name__
            node = Node(pullback, args, arrays, kwargs, parents)
            if not several:
                return result(y, node)
            count, whole = len(y), result((), node)
            return tuple(result(one, Node(hand_on, (whole, i), (whole, i), {}, (whole, None)))
                         for i, one in enumerate(y))

        return differentiable
    return decorate


class _Gradients(dict):
    """The gradients of some of the results, {number of the result: gradient}. Each comes once: to add is to unite."""

    def __add__(self, other):
        return _Gradients({**self, **other})


def hand_on(g, y, args, kwargs, parents):
    """The pullback of one of several results: hand the gradient on to the node of the op."""
    _, number = args
    return _Gradients({number: g}), None

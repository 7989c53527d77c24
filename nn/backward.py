"""The walk back through a graph: in which order, and how contributions add up. The heart of back-propagation.

Read next: ops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Node(NamedTuple):
    """What a Tensor remembers of the op that made it.

        b = a + a        c ---- node: pullback of add, parents (b, b)
        c = b + b                                               |
                         b ---- node: pullback of add, parents (a, a)
                                                                |
                         a ---- node: None, as it was made by hand

    pullback    (g, y, args, kwargs, parents) -> for each argument the gradient, given the gradient g of the result y;
                None where the parent is None. The arguments are arrays, or Tensors where a backward pass is recorded
    args        the arguments of the op, as they were given
    arrays      the same, with its array in the place of each Tensor
    kwargs      the keyword arguments
    parents     for each argument the Tensor itself, if it needs a gradient, else None

    A node is data, and its pullback a function of the op that is shared by all calls: a closure made by each call would
    cost more, and if it held its own result, the reference cycle would keep the graph alive.
    """

    pullback: Callable
    args: tuple
    arrays: list
    kwargs: dict
    parents: list


USED = object()  # the node of a Tensor whose graph was taken apart


def history(y) -> list:
    """y and every Tensor that it was computed from and that needs a gradient, oldest first.

    RuntimeError if part of the graph was already used up, or if an argument was changed after the op was recorded: a
    change gives it a new birth, so that it is younger than the result.
    """
    found, stack = {y.birth: y}, [y]
    while stack:  # no recursion: a graph may be 100,000 ops deep
        t = stack.pop()
        node = t.node
        if node is USED:
            raise RuntimeError("this graph was used by an earlier backward pass: give that one retain_graph=True")
        if node is not None:
            for x in node.parents:
                if x is not None and (birth := x.birth) not in found:
                    if birth > t.birth:
                        raise RuntimeError(f"a parameter of shape {x.shape} was changed after {node.pullback.__name__} "
                                           "used it: call backward() before the optimiser's step, or compute again")
                    found[birth] = x
                    stack.append(x)
    return [found[birth] for birth in sorted(found)]


def gradients(y, g, targets: set[int] | None, retain_graph: bool, create_graph: bool) -> Iterator[tuple]:
    """Yield (x, gradient of sum(g * y) with respect to x) for each target, newest first.

    targets: births of the Tensors wanted; None for all that were made by hand. The gradients are arrays; with
    create_graph (and g a Tensor) they are Tensors, as the vjps then work on the Tensors of the graph.

    Why an order is needed:  b = a + a;  c = b + b.  b's gradient has two contributions, one for each time that c
    uses it. If b's vjp ran after the first contribution only, a would receive half the gradient, and later too much.
    So everything that uses b must come before b. The arguments of an op are older than its result, so "newest first"
    is such an order.
    """
    tensors = history(y)
    needed = None
    if targets is not None:  # only the paths that lead to a target
        needed = set(targets)
        for t in tensors:
            if t.node is not None and any(x is not None and x.birth in needed for x in t.node.parents):
                needed.add(t.birth)
    grads = {y.birth: g}
    owned = set()  # a first contribution is borrowed: it may be someone else's array; a sum is ours to add to
    while tensors:
        t = tensors.pop()
        g = grads.pop(t.birth, None)
        if g is None:
            continue
        node = t.node
        is_target = node is None if targets is None else t.birth in targets
        if is_target:
            yield t, g
        if node is None:
            continue
        pullback, args, arrays, kwargs, parents = node
        if needed is not None:
            parents = [x if x is not None and x.birth in needed else None for x in parents]
            if all(x is None for x in parents):
                continue
        dxs = pullback(g, t, args, kwargs, parents) if create_graph else pullback(g, t.data, arrays, kwargs, parents)
        for x, dx in zip(parents, dxs):  # noqa: B905 (a pullback may stop after the last argument with a derivative)
            if x is None:
                continue
            birth = x.birth
            if birth not in grads:
                grads[birth] = dx
            elif birth in owned:
                grads[birth] += dx
            else:
                grads[birth] = grads[birth] + dx
                owned.add(birth)
        if not retain_graph:
            t.node = USED

"""The walk back through a graph: in which order, and how contributions add up. The heart of back-propagation.

A Tensor that an op made has a `source` (pull, args, arrays, kwargs, parents): the op's `pull`, which turns the
gradient of the result into those of the arguments that are wanted; the arguments; the same as plain arrays; and among
the arguments, the Tensors that need a gradient, with None for the others. `birth` numbers Tensors in the order in
which they were made.

Read next: ops.py.
"""

from __future__ import annotations

from collections.abc import Iterator

USED = object()  # the source of a Tensor whose graph was taken apart


def history(y) -> list:
    """y and every Tensor that it was computed from and that needs a gradient, oldest first.

    RuntimeError if part of the graph was already used up.
    """
    found, stack = {y.birth: y}, [y]
    while stack:  # no recursion: a graph may be 100,000 ops deep
        source = stack.pop().source
        if source is USED:
            raise RuntimeError("this graph was used by an earlier backward pass: give that one retain_graph=True")
        if source is not None:
            for x in source[-1]:
                if x is not None and x.birth not in found:
                    found[x.birth] = x
                    stack.append(x)
    return [found[birth] for birth in sorted(found)]


def gradients(y, g, targets: set[int] | None, retain_graph: bool, create_graph: bool) -> Iterator[tuple]:
    """Yield (x, gradient of sum(g * y) with respect to x) for each target, newest first.

    targets: births of the Tensors wanted; None for all that were made by hand. The gradients are arrays; with
    create_graph (and g a Tensor) they are Tensors, as the vjps then work on the Tensors of the graph.

    Why an order is needed:  b = a + a;  c = b + b.  b's gradient has two contributions, one for each time that c
    uses it. Were b asked for its vjp at the first, a would be given half of it, and then the whole once more. So
    all that uses b must come before b. An op's arguments are older than its result: newest first is such an order.
    """
    tensors = history(y)
    needed = None
    if targets is not None:  # only the paths that lead to a target
        needed = set(targets)
        for t in tensors:
            if t.source is not None and any(x is not None and x.birth in needed for x in t.source[-1]):
                needed.add(t.birth)
    grads = {y.birth: g}
    owned = set()  # a first contribution is borrowed: it may be someone else's array; a sum is ours to add to
    while tensors:
        t = tensors.pop()
        g = grads.pop(t.birth, None)
        if g is None:
            continue
        source = t.source
        if source is None if targets is None else t.birth in targets:
            yield t, g
        if source is None:
            continue
        pull, args, arrays, kwargs, parents = source
        if needed is not None:
            parents = [x if x is not None and x.birth in needed else None for x in parents]
            if all(x is None for x in parents):
                continue
        dxs = pull(g, t, args, kwargs, parents) if create_graph else pull(g, t.data, arrays, kwargs, parents)
        for x, dx in zip(parents, dxs):  # noqa: B905 (a pull may stop after the last that has a derivative)
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
            t.source = USED

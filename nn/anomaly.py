"""Which op made the first nan or inf? The graph of a loss still holds every value, so it can be searched later, and
training pays nothing for it.

Read next: gradcheck.py, for gradients that are finite and wrong.
"""

from __future__ import annotations

import numpy as np

from nn.backward import gradients, history
from nn.fused import hand_on
from nn.tensor import Tensor


@np.errstate(all="ignore")
def find_anomaly(y: Tensor) -> str | None:
    """The first value that is not finite: the result of an op, with the shapes of its arguments, on the way to y, or
    else a gradient on the way back from y. None if everything is finite.

    y: of any shape, before `backward`; its graph stays as it is. An intended infinity, such as one in a branch that
    `where` does not choose, is named too. RuntimeError if the graph was used up.
    """
    tensors = history(y)
    for t in tensors:
        if not np.isfinite(t.data).all():
            return f"a parameter or an input of shape {t.shape}" if t.node is None else _forward(t)
    everything = {t.birth for t in tensors}
    for t, g in gradients(y, np.ones_like(y.data), everything, retain_graph=True, create_graph=False):
        if not isinstance(g, dict) and not np.isfinite(g).all():  # newest first: those of its users were finite
            users = {_name(u) for u in tensors if u.node is not None and any(x is t for x in u.node.parents)}
            return f"backward through {' or '.join(sorted(users))}: the gradient of its argument {t.shape}"
    return None


def _forward(t):
    arrays = _node(t).arrays
    shapes = ", ".join(str(np.shape(x)) for x in arrays if isinstance(x, np.ndarray))
    wrong = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray) and not np.isfinite(x).all()]
    return f"{_name(t)} of {shapes}" + (f", whose argument {wrong[0]} is not finite already" if wrong else "")


def _node(t):
    """The node of the op that made t, also where t is one of several results."""
    return t.node.args[0].node if t.node.pullback is hand_on else t.node


def _name(t):
    return _node(t).pullback.__name__

"""Which op made the first nan or inf? The graph of a loss still holds every value, so it can be asked afterwards:
training pays nothing for it.

Read next: gradcheck.py, for gradients that are finite and wrong.
"""

from __future__ import annotations

import numpy as np

from nn.backward import gradients, history
from nn.tensor import Tensor


def find_anomaly(y: Tensor) -> str | None:
    """The first op, with the shapes of its arguments, that made a number that is not finite: on the way to y, or else
    on the way back from it. None if all is finite.

    y: of any shape, straight from its computation, before `backward`; the graph stays as it is. Complex steps and
    integers are let through as numpy sees them.
    """
    tensors = history(y)
    for t in tensors:
        if not _finite(t.data):
            return f"a parameter or an input of shape {t.shape} is not" if t.source is None else _forward(t)
    everything = {t.birth for t in tensors}
    for t, g in gradients(y, np.ones_like(y.data), everything, retain_graph=True, create_graph=False):
        if isinstance(g, np.ndarray) and not _finite(g):  # newest first: what used t was still right
            users = {_name(u) for u in tensors if u.source is not None and any(x is t for x in u.source[-1])}
            return f"backward through {' or '.join(sorted(users))}: the gradient of its argument {t.shape}"
    return None


def _forward(t):
    arrays = _of_the_op(t).source[2]
    shapes = ", ".join(str(np.shape(x)) for x in arrays if isinstance(x, np.ndarray))
    wrong = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray) and not _finite(x)]
    return f"{_name(t)} of {shapes}" + (f", whose argument {wrong[0]} already is not" if wrong else "")


def _of_the_op(t):
    """The node of the op itself, where t is one of several results."""
    return t.source[1][0] if t.source[0].__name__ == "_pull_part" else t


def _name(t):
    return _of_the_op(t).source[0].__name__


def _finite(x):
    return x.dtype.kind not in "fc" or bool(np.isfinite(x).all())

"""Batches of a data set, in an order that a seed decides.

Read next: anomaly.py, for when a training goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def batches(*arrays: np.ndarray, size: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, ...]]:
    """Go once through arrays of the same length N, in batches of `size`; the last one holds what is left.

        for x_batch, y_batch in batches(x, y, size=128, rng=rng): ...

    With `rng` the examples are shuffled, anew at each call; without it they keep their order. Every example comes once.
    ValueError for arrays of different lengths, or a size below 1.
    """
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or size < 1:
        raise ValueError(f"batches: arrays of one length, and a size of at least 1; not lengths {sorted(lengths)}, "
                         f"size {size}")
    N, = lengths
    order = np.arange(N) if rng is None else rng.permutation(N)
    return (tuple(array[order[i:i + size]] for array in arrays) for i in range(0, N, size))

"""Two threads for what is large: a product by halves of its result, everything else in blocks that stay in the cache.

A BLAS has threads of its own. But they wait for each other in a loop, so that on a machine with other work two of them
are slower than one; and its results depend on how many there are, in the last bits. So a training with large products,
as of the autoencoder, is best run with one thread of the BLAS and two of these:

    threadpoolctl.threadpool_limits(1)
    nn.set_num_threads(2)

A product is always computed in two halves, also by one thread, and no sum is divided: no bit depends on the threads.
Blocks gain something with one thread, too: what takes several passes over a large array goes through memory once, and
not in each of them.

Read next: sequence.py, which borrows memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

LARGE = 2**24  # multiplications of a product, about a third of a millisecond; below, a second thread gains nothing
BLOCK = 2**16  # elements; of smaller blocks there are so many that the threads wait for Python's lock

_second: ThreadPoolExecutor | None = None  # the thread beside the one that calls


def set_num_threads(count: int) -> None:
    """From now on compute what is large in one thread, as at first, or in two. ValueError for another number."""
    global _second
    if count not in (1, 2):
        raise ValueError(f"set_num_threads: there are 1 or 2 threads, not {count}")
    _second = ThreadPoolExecutor(1) if count == 2 else None


def halves(function: Callable, one: tuple, other: tuple) -> None:
    """function(*one) and function(*other), at the same time if there are two threads."""
    waiting = _second.submit(function, *other) if _second else None
    function(*one)
    if waiting:
        waiting.result()
    else:
        function(*other)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b, in the dtype of both: a (n, k), b (k, m) -> (n, m) by halves of the columns, if it is large."""
    if a.ndim != 2 or b.ndim != 2 or a.size * b.shape[1] < LARGE:
        return a @ b
    y, half = np.empty((len(a), b.shape[1]), np.result_type(a, b)), b.shape[1] // 2
    halves(np.matmul, (a, b[:, :half], y[:, :half]), (a, b[:, half:], y[:, half:]))
    return y


def in_blocks(function: Callable, *arrays: np.ndarray) -> None:
    """function(*blocks) for block after block of rows of the arrays, which have one length; several blocks are shared
    out to the threads. The function writes its results into one of the blocks.
    """
    rows = max(1, BLOCK * len(arrays[0]) // max(1, arrays[0].size))
    blocks = [slice(start, start + rows) for start in range(0, len(arrays[0]), rows)]

    def run(blocks):
        for block in blocks:
            function(*[array[block] for array in arrays])

    if len(blocks) < 4:  # done before a second thread would have started
        run(blocks)
    else:
        halves(run, (blocks[::2],), (blocks[1::2],))

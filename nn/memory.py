"""Borrowed memory: arrays that are used again and again, since fresh memory can cost as much as the arithmetic.

The operating system hands out fresh memory page by page, at the first touch (LSTM, 13,604 windows by 1,024, H = 12,
L = 5, forward and backward on one thread: 13 ms with fresh memory, 7 ms with borrowed memory). So the memory of a step
is put on a shelf when nothing uses it any more, and the next step takes it from there.

Read next: threads.py, two threads for what is large.
"""

from __future__ import annotations

import itertools
import math
from collections import deque

import numpy as np

# Bytes. Below, the allocator itself keeps the memory, and a fresh array costs less than the shelf. The 48 KB of a state
# of 12 units for 1,024 windows cost ten per cent of a step when they were not borrowed.
SMALL = 2**15
_shelf: deque[np.ndarray] = deque(maxlen=16)


class _Loan:
    """Memory that returns to the shelf when the last array that uses it is gone: numpy keeps the loan until then."""

    def __init__(self, memory):
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, shelf=_shelf):
        shelf.append(self.memory)


def borrow(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised arrays of these shapes, cut from one piece of memory: from the shelf, if one of that size is there.

    Safe with threads, as a deque is.
    """
    sizes = [math.prod(shape) for shape in shapes]
    total, memory = sum(sizes), None
    if total * dtype.itemsize < SMALL:
        return [np.empty(shape, dtype) for shape in shapes]
    for _ in range(len(_shelf)):
        try:
            candidate = _shelf.popleft()
        except IndexError:  # another thread took it
            break
        if candidate.size == total and candidate.dtype == dtype:
            memory = candidate
            break
        _shelf.append(candidate)
    whole = np.asarray(_Loan(np.empty(total, dtype) if memory is None else memory))
    ends = itertools.accumulate(sizes)
    return [whole[end - size:end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]

"""Recording: switched off for a block, for a function, for one thread; and threads that record side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import nn
from nn import Tensor, no_grad


def leaf(array):
    return Tensor(np.array(array, float), requires_grad=True)


def test_no_grad_as_context_also_when_it_fails():
    x = leaf(2.0)
    with pytest.raises(KeyError), no_grad():
        with no_grad():
            assert not (x * x).requires_grad
        assert not nn.concatenate([x[None], x[None]]).requires_grad
        assert not nn.RNN(1, 1, dtype=float)(x.reshape((1, 1, 1)))[0].requires_grad
        raise KeyError
    assert (x * x).requires_grad


def test_no_grad_as_decorator():
    @no_grad()
    def square(x):
        """x x"""
        return x * x

    x = leaf(2.0)
    for _ in range(2):
        assert not square(x).requires_grad and (x * x).requires_grad
    assert square.__name__ == "square" and square.__doc__ == "x x"


def test_no_grad_is_of_one_thread():
    x = leaf(2.0)
    inside, other_is_done, recorded = threading.Event(), threading.Event(), {}

    def without():
        with no_grad():
            inside.set()
            other_is_done.wait(10)
            recorded["inside"] = (x * x).requires_grad

    thread = threading.Thread(target=without)
    thread.start()
    assert inside.wait(10)
    recorded["outside"] = (x * x).requires_grad
    other_is_done.set()
    thread.join()
    with no_grad():
        new = threading.Thread(target=lambda: recorded.update(new=(x * x).requires_grad))
        new.start()
        new.join()
    assert recorded == {"inside": False, "outside": True, "new": True}


def test_threads_differentiate_side_by_side():
    results = {}

    def work(k):
        x = leaf(np.full(50, 0.1 * k))
        y = x
        for _ in range(200):
            y = nn.tanh(y * 1.01) + x
        y.sum().backward()
        results[k] = x.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    together = dict(results)
    for k in range(4):
        work(k)
        assert np.array_equal(results[k], together[k])

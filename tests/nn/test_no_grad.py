"""Recording: switched off for a block, for a function, for one thread; and threads that record side by side."""

from __future__ import annotations

import asyncio
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


# -- generators and coroutines ------------------------------------------------------------------------------------


def test_a_generator_records_nothing_and_leaves_the_switch_alone_while_it_waits():
    @nn.no_grad()
    def outputs(x):
        try:
            received = yield (x * 2).requires_grad
            yield received, (x * 3).requires_grad
        except KeyError:
            yield "caught", (x * 4).requires_grad
        return "the end"

    x = nn.Tensor([1.0], requires_grad=True)
    steps = outputs(x)
    assert next(steps) is False and (x * 2).requires_grad
    assert steps.send("sent") == ("sent", False) and (x * 2).requires_grad
    assert steps.throw(KeyError()) == ("caught", False) and (x * 2).requires_grad
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "the end" and (x * 2).requires_grad
    steps = outputs(x)
    next(steps)
    steps.close()
    assert (x * 2).requires_grad


def test_a_coroutine_records_nothing_and_others_do_meanwhile():
    x, seen = nn.Tensor([1.0], requires_grad=True), []

    @nn.no_grad()
    async def quiet():
        for _ in range(3):
            seen.append((x * 2).requires_grad)
            await asyncio.sleep(0)
        return "done"

    async def loud():
        for _ in range(3):
            seen.append((x * 2).requires_grad)
            await asyncio.sleep(0)

    async def both():
        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(both())[0] == "done"
    assert seen == [False, True] * 3


def test_the_same_decorator_may_be_used_inside_itself():
    @nn.no_grad()
    def again(n):
        return again(n - 1) if n else (x * 2).requires_grad

    x = nn.Tensor([1.0], requires_grad=True)
    assert again(3) is False and (x * 2).requires_grad

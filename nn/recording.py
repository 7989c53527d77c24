"""The switch that decides whether ops are recorded: on, except inside `no_grad`.

Read next: tensor.py.
"""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable
from contextlib import ContextDecorator


class _Recording(threading.local):
    on = True


recording = _Recording()


class no_grad(ContextDecorator):
    """Record nothing inside: `with no_grad(): ...`, or `@no_grad()` on a function. Each thread has its own switch.

    A generator or a coroutine that is decorated records nothing while it runs, and leaves the switch alone while it
    waits.
    """

    def __enter__(self):
        self.before, recording.on = recording.on, False

    def __exit__(self, *exception):
        recording.on = self.before

    def _recreate_cm(self):
        return no_grad()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *args, **kwargs: _without_recording(function(*args, **kwargs)))
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def coroutine(*args, **kwargs):
                return await _awaitable(function(*args, **kwargs))
            return coroutine
        return super().__call__(function)


def _without_recording(steps):
    """Run a generator or a coroutine, and record nothing in each of its steps."""
    step, given = steps.send, None
    while True:
        try:
            with no_grad():
                waiting = step(given)
        except StopIteration as stop:
            return stop.value
        try:
            step, given = steps.send, (yield waiting)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            step, given = steps.throw, error


_awaitable = types.coroutine(_without_recording)

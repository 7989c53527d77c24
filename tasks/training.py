"""The one training loop: a generator, which progress bars, curves, checkpoints and tests consume.

Read next: run_folder.py, on what is kept, or covid.py, on what is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice

import numpy as np

from nn import Module, Optimizer, Parameter, Tensor, find_anomaly, grad


class Diverged(ArithmeticError):
    """A loss or a gradient is not finite; the message says in which epoch and step, and which op made it so."""


def train(model: Module, optimizer: Optimizer, batches: Callable[[int], Iterable], loss: Callable[..., Tensor],
          evaluate: Callable[[], dict], epochs: int, rng: np.random.Generator, start: int = 0,
          skip: int = 0, threads: int = 1) -> Iterator[dict | None]:
    """Train from epoch start + 1 to `epochs`. Yields None after each step, and at the end of an epoch its record:
    epoch, what `evaluate` returns, seconds. Between two yields nothing is half done: it is safe to save, or to stop.

    batches(epoch)  the data in the order of that epoch: batches, each a list of parts. A run that goes on asks for the
                    epoch that it was stopped in once more, and leaves out the first `skip` batches
    loss(part)      the loss of a part, weighted so that the parts of a batch add up to the batch's loss. Their
                    gradients add up, and then one step is taken: memory does not grow with the batch
    evaluate()      numbers about the model after the epoch, taken in `eval` mode
    seconds         of the steps, and not of `evaluate`; after a stop within an epoch, of those since
    rng             what `loss` draws from, if anything
    threads         how many parts are computed at the same time, if `loss` draws nothing. The sum is in the order of
                    the parts, so that no bit depends on it

    Diverged if a number is not finite: the loss or a gradient of a batch, with the parameters as they were before it,
    or one that `evaluate` returns.
    """
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        for epoch in range(start + 1, epochs + 1):
            seconds, first = 0.0, skip if epoch == start + 1 else 0
            for step, batch in enumerate(islice(batches(epoch), first, None), first + 1):
                began, state = time.perf_counter(), rng.bit_generator.state
                optimizer.zero_grad()
                total = accumulate(optimizer.parameters, loss, batch, pool)
                if not (math.isfinite(total) and optimizer.grad_is_finite()):
                    rng.bit_generator.state = state  # the same step again, to see where it goes wrong
                    found = next(filter(None, (find_anomaly(loss(part)) for part in batch)), "the sum over the parts")
                    raise Diverged(f"epoch {epoch}, step {step}: the loss or a gradient is not finite; first {found}")
                optimizer.step()
                seconds += time.perf_counter() - began
                yield None
            model.eval()
            record = {"epoch": epoch, **evaluate(), "seconds": seconds}
            model.train()
            if wrong := [f"{name} is {value}" for name, value in record.items() if not math.isfinite(value)]:
                raise Diverged(f"epoch {epoch}: every step was finite, but {', '.join(wrong)}")
            yield record


def accumulate(parameters: list[Parameter], loss: Callable[..., Tensor], parts: list,
               pool: ThreadPoolExecutor | None) -> float:
    """The sum of the losses of the parts; their gradients are added up in `.grad`."""
    if pool is None or len(parts) == 1:
        total = 0.0
        for part in parts:
            value = loss(part)
            value.backward()
            total += value.item()
        return total

    def value_and_gradients(part):  # numpy lets the other threads run while it computes
        value = loss(part)
        return value.item(), grad(value, parameters)

    total = 0.0
    for value, gradients in pool.map(value_and_gradients, parts):
        total += value
        for p, g in zip(parameters, gradients, strict=True):
            p.accumulate(g.data)
    return total

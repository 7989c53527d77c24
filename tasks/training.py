"""The one training loop: a generator, which progress bars, curves, checkpoints and tests consume.

Read next: run_folder.py, on what is kept, or covid.py, on what is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from nn import Module, Optimizer, Tensor, find_anomaly


class Diverged(ArithmeticError):
    """A loss or a gradient is not finite; the message says in which epoch and step, and which op made it so."""


def train(model: Module, optimizer: Optimizer, batches: Callable[[int], Iterable], loss: Callable[..., Tensor],
          evaluate: Callable[[], dict], epochs: int, rng: np.random.Generator, start: int = 0,
          skip: int = 0) -> Iterator[dict | None]:
    """Train from epoch start + 1 to `epochs`. Yields None after each step, and at the end of an epoch its record:
    epoch, what `evaluate` returns, seconds. Between two yields nothing is half done: it is safe to save, or to stop.

    batches(epoch)  the data in the order of that epoch: batches, each a list of parts. A run that goes on asks for the
                    epoch that it was stopped in once more, and leaves out the first `skip` batches
    loss(part)      the loss of a part, weighted so that the parts of a batch add up to the batch's loss. Their
                    gradients add up, and then one step is taken: memory does not grow with the batch
    evaluate()      numbers about the model after the epoch, taken in `eval` mode; `seconds` does not include it
    rng             what `loss` draws from, if anything

    Diverged, with the parameters as they were, if the loss or a gradient of a batch is not finite.
    """
    for epoch in range(start + 1, epochs + 1):
        seconds, first = 0.0, skip if epoch == start + 1 else 0
        for step, batch in enumerate(islice(batches(epoch), first, None), first + 1):
            began, state = time.perf_counter(), rng.bit_generator.state
            optimizer.zero_grad()
            total = 0.0
            for part in batch:
                value = loss(part)
                value.backward()
                total += value.item()
            if not (math.isfinite(total) and optimizer.grad_is_finite()):
                rng.bit_generator.state = state  # the same step again, to see where it goes wrong
                found = next(filter(None, (find_anomaly(loss(part)) for part in batch)), "the sum over its parts")
                raise Diverged(f"epoch {epoch}, step {step}: the loss or a gradient is not finite: {found}")
            optimizer.step()
            seconds += time.perf_counter() - began
            yield None
        model.eval()
        record = {"epoch": epoch, **evaluate(), "seconds": seconds}
        model.train()
        yield record

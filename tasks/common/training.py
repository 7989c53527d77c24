"""The one training loop of both studies, and the state that it advances.

Read next: stops.py, how it ends before its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from nn import Module, Optimizer, Parameter, Tensor, find_anomaly, grad
from tasks.common.stops import Diverged


@dataclass
class TrainingState:
    """All that decides how a training goes on.

    model, optimizer    what is trained, and what trains it
    rng                 the generator that the loss draws from, if it draws anything
    history             a record for each finished epoch: see `train`
    step                the number of steps done in the epoch after those
    counts              what `loss` counted in those steps, added up: {name: number}
    """

    model: Module
    optimizer: Optimizer
    rng: np.random.Generator
    history: list[dict] = field(default_factory=list)
    step: int = 0
    counts: dict[str, float] = field(default_factory=dict)


def train(state: TrainingState, batches: Callable[[int], Iterable], loss: Callable[..., tuple[Tensor, dict]],
          evaluate: Callable[[dict], dict] | None, epochs: int, threads: int = 1) -> Iterator[dict | None]:
    """Advance `state` until its history has `epochs` records.

    Yields None after each step, and at the end of each epoch the record that was added to the history: epoch, the
    numbers of `evaluate`, seconds. At each yield the state is consistent: it is safe to save it, or to stop.

    batches(epoch)      the batches of an epoch, in order; a batch is a list of micro-batches. After a stop within an
                        epoch, this is called for that epoch again, and the first `state.step` batches are skipped
    loss(micro_batch)   a Tensor, and a dictionary of what is to be counted, such as right answers. The losses of the
                        micro-batches add up to the loss of the batch. Their gradients are added up before the step is
                        taken, so memory does not grow with the batch
    evaluate(counts)    numbers about the epoch, from what was counted in its steps, and from the model after them, in
                        `eval` mode; None for no numbers
    threads             the number of micro-batches computed at the same time, if `loss` draws nothing. They are summed
                        in order, so that results do not depend on `threads`

    "seconds" counts the steps but not `evaluate`; after a stop within an epoch, only the steps since then.
    Raises Diverged if a number is not finite: the loss or a gradient of a batch, with the parameters as they were
    before it, or a number of `evaluate`.
    """
    model, optimizer, rng = state.model, state.optimizer, state.rng
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        for epoch in range(len(state.history) + 1, epochs + 1):
            seconds = 0.0
            for batch in islice(batches(epoch), state.step, None):
                began, before = time.perf_counter(), rng.bit_generator.state
                optimizer.zero_grad()
                total, counts = accumulate(optimizer.parameters, loss, batch, pool)
                if not (math.isfinite(total) and optimizer.grad_is_finite()):
                    rng.bit_generator.state = before  # compute the same step again, to see where it goes wrong
                    found = (find_anomaly(loss(micro_batch)[0]) for micro_batch in batch)
                    raise Diverged(f"epoch {epoch}, step {state.step + 1}: the loss or a gradient is not finite; "
                                   f"first {next(filter(None, found), 'the sum over the micro-batches')}")
                optimizer.step()
                seconds += time.perf_counter() - began
                state.step += 1
                state.counts = add(state.counts, counts)
                yield None
            record = {"epoch": epoch, "seconds": seconds}
            if evaluate:
                model.eval()
                record = {"epoch": epoch, **evaluate(state.counts), "seconds": seconds}
                model.train()
            if wrong := [f"{name} is {value}" for name, value in record.items() if not math.isfinite(value)]:
                raise Diverged(f"epoch {epoch}: every step was finite, but {', '.join(wrong)}")
            state.history.append(record)
            state.step, state.counts = 0, {}
            yield record


def accumulate(parameters: list[Parameter], loss: Callable[..., tuple[Tensor, dict]], batch: list,
               pool: ThreadPoolExecutor | None) -> tuple[float, dict[str, float]]:
    """The sum of the losses of the micro-batches, and of what they counted; their gradients are added up in `.grad`."""
    total, counts = 0.0, {}
    if pool is None or len(batch) == 1:
        for micro_batch in batch:
            value, counted = loss(micro_batch)
            value.backward()
            total, counts = total + value.item(), add(counts, counted)
        return total, counts

    def with_gradients(micro_batch):  # numpy lets the other threads run while it computes
        value, counted = loss(micro_batch)
        return value.item(), counted, grad(value, parameters)

    for value, counted, gradients in pool.map(with_gradients, batch):
        total, counts = total + value, add(counts, counted)
        for p, g in zip(parameters, gradients, strict=True):
            p.accumulate(g.data)
    return total, counts


def add(counts: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    return {name: counts.get(name, 0) + number for name, number in more.items()}

"""The one training loop: a generator of records, which progress bars, curves, checkpoints and tests consume.

Read next: run_folder.py, on what is kept, or covid.py, on what is trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from nn import Module, Optimizer, Tensor


def train(model: Module, optimizer: Optimizer, batches: Callable[[], Iterable], loss: Callable[..., Tensor],
          evaluate: Callable[[], dict], epochs: int, start: int = 0) -> Iterator[dict]:
    """Train from epoch start + 1 to `epochs`, and yield after each a record: epoch, what `evaluate` returns, seconds.

    batches()    a fresh pass over the data: batches, each a list of parts
    loss(part)   the loss of a part, weighted so that the parts of a batch add up to the batch's loss. Their gradients
                 add up, and then one step is taken: memory does not grow with the batch
    evaluate()   numbers about the model after the epoch, taken in `eval` mode; `seconds` does not include it
    """
    for epoch in range(start + 1, epochs + 1):
        began = time.perf_counter()
        for batch in batches():
            optimizer.zero_grad()
            for part in batch:
                loss(part).backward()
            optimizer.step()
        seconds = time.perf_counter() - began
        model.eval()
        record = {"epoch": epoch, **evaluate(), "seconds": seconds}
        model.train()
        yield record

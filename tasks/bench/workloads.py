"""The work that the bench measures: its data, how `nn` does it, and what it takes at the very least.

All is float32. A work gives its parameters (by nn's names, which are PyTorch's) and its inputs, the same in every
process; `ours` is the step as the studies take it. The floor is what every implementation in numpy needs: the
matrix products, by shape, and the transcendental functions, by element.

Read next: peers.py, the same work in PyTorch, JAX, autograd and MyGrad.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import nn
from tasks.common.training import TrainingState, train
from tasks.covid.train import CELLS, Classifier, CovidOptions, micro_batch_count, micro_batches
from tasks.vae.model import VAE
from tasks.vae.model import loss as vae_loss

LR = 0.001


class Steps(NamedTuple):
    """How a library does a work.

    check()     the loss and {name: gradient, an array}, at the parameters given: it comes before any step
    step()      one step: forward, backward, and Adam where the work has it
    """

    check: Callable[[], tuple[float, dict[str, np.ndarray]]]
    step: Callable[[], object]


@dataclass(frozen=True)
class Recurrent:
    """A training step of the sequence study's classifier: the last hidden state -> Linear(H, 2) -> cross-entropy."""

    part: str
    cell: str
    N: int
    L: int
    I: int = 1
    H: int = 12

    @property
    def name(self) -> str:
        return f"{self.cell.upper()}, N={self.N:,}, L={self.L}" + f", H={self.H}" * (self.H != 12)

    @property
    def parts(self) -> int:
        """Micro-batches, which threads can share."""
        return micro_batch_count(self.N)

    def model(self) -> Classifier:
        rng = np.random.default_rng(0)
        model = Classifier(self.cell, self.H, 1, rng)
        if self.I != 1:
            model.recurrent = CELLS[self.cell](self.I, self.H, batch_first=True, rng=rng)
        return model

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """x (N, L, I) and classes (N,)."""
        rng = np.random.default_rng(1)
        return rng.standard_normal((self.N, self.L, self.I), np.float32), rng.integers(0, 2, self.N)

    def ours(self, threads: int) -> Steps:
        """Full batch by adding up micro-batches, as in covid.py."""
        model, (x, y) = self.model(), self.inputs()
        return training(model, micro_batches(x, y), threads,
                        lambda part: (nn.cross_entropy(model(part[0]), part[1], reduction="sum") / self.N, {}))

    def products(self) -> list[tuple[float, tuple[int, int, int]]]:
        """(how many, (n, k, m)) for each product (n, k) @ (k, m): a step's one forward, and its two backward."""
        gates, n = CELLS[self.cell].gates, -(-self.N // self.parts)
        rows, K, steps = gates * self.H, self.H + self.I + 1, self.N * self.L / n
        return [(steps, (rows, K, n)), (steps, (rows, n, K)), (steps, (self.H, rows, n)),
                *((self.N / n * count, shape) for count, shape in linear(n, self.H, 2))]

    def elementwise(self) -> list[tuple[str, float, int]]:
        """(ufunc, how many elements, how many at a time)."""
        n, tanhs = -(-self.N // self.parts), {"rnn": 1, "lstm": 5, "gru": 3}[self.cell] * self.H
        return [("tanh", self.N * self.L * tanhs, n * tanhs), ("exp", self.N * 2, n * 2)]


@dataclass(frozen=True)
class Autoencoder:
    """A training step of the image study's variational autoencoder, with KL weight 1."""

    part: str
    batch: int = 128
    width: int = 3072
    hidden: int = 400
    latent: int = 20
    parts: int = 1

    @property
    def name(self) -> str:
        if self.part == "h":
            return "VAE, beside a process"
        return f"VAE, {self.width}-{self.hidden}-{self.latent}, batch {self.batch}"

    def model(self) -> VAE:
        return VAE(self.width, self.hidden, self.latent, np.random.default_rng(0))

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """x (batch, width) from 0 to 1, and the noise (batch, latent) that `ours` draws first."""
        x = np.random.default_rng(1).random((self.batch, self.width), np.float32)
        return x, np.random.default_rng(2).standard_normal((self.batch, self.latent)).astype(np.float32)

    def ours(self, threads: int) -> Steps:
        model, (x, _), rng = self.model(), self.inputs(), np.random.default_rng(2)
        return training(model, [x], threads, lambda x: vae_loss(model, x, self.batch, 1.0, rng))

    def products(self) -> list[tuple[float, tuple[int, int, int]]]:
        n, D, H, Z = self.batch, self.width, self.hidden, self.latent
        return [*linear(n, D, H, dx=False), *linear(n, H, Z), *linear(n, H, Z), *linear(n, Z, H), *linear(n, H, D)]

    def elementwise(self) -> list[tuple[str, float, int]]:
        pixels, latents = self.batch * self.width, self.batch * self.latent
        return [("exp", pixels, pixels), ("log1p", pixels, pixels), ("exp", 2 * latents, latents)]


@dataclass(frozen=True)
class Chain:
    """x * a + b, again and again, over a few elements: the cost of the engine itself, without Adam.

    x, a and b all need a gradient. The floor is the same numpy calls without an engine.
    """

    part: str
    ops: int = 1000
    width: int = 8
    parts: int = 1

    @property
    def name(self) -> str:
        return f"chain of {self.ops:,} ops"

    def parameters(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {name: rng.uniform(0.98, 1.02, self.width).astype(np.float32) for name in ("x", "a", "b")}

    def inputs(self) -> tuple[int]:
        return self.ops // 2,

    def ours(self, threads: int) -> Steps:
        p = {name: nn.Tensor(array, requires_grad=True) for name, array in self.parameters().items()}

        def step():
            y = p["x"]
            for _ in range(self.ops // 2):
                y = y * p["a"] + p["b"]
            loss = y.sum()
            for tensor in p.values():
                tensor.grad = None
            loss.backward()
            return loss

        return Steps(lambda: (step().item(), {name: tensor.grad for name, tensor in p.items()}), step)

    def products(self) -> list:
        return []

    def elementwise(self) -> list[tuple[str, float, int]]:
        """Forward a product or a sum an op; backward of x * a two products and a sum, of x + b a sum."""
        half = self.ops // 2 * self.width
        return [("multiply", 3 * half, self.width), ("add", 3 * half, self.width)]


Work = Recurrent | Autoencoder | Chain

WORKS: list[Work] = [
    *(Recurrent("a", cell, 13_604, L) for L in (5, 30) for cell in CELLS),
    *(Recurrent("b", cell, 64, L) for L in (5, 30) for cell in CELLS),
    Recurrent("c", "lstm", 256, 50, 32, 128),
    Autoencoder("d"),
    Chain("e"),
]
# All networks of the sequence study with the split in time and one seed: the windows of 179 countries on 81 days, of
# which the last 16 are the test set.
GRID = [Recurrent("g", cell, 179 * (81 - 16 - L), L) for L in (3, 5, 7, 9, 10, 15, 20, 30) for cell in CELLS]
EPOCHS = CovidOptions.epochs  # of each of them
BUSY = Autoencoder("h")  # what is measured beside a process that computes
GROWTH = [*(Recurrent("f", "lstm", N, 5) for N in (1000, 3000, 10_000, 30_000, 100_000, 300_000)),
          *(Recurrent("f", "lstm", 1000, L) for L in (3, 10, 30, 100, 200))]


def parameters(work: Work) -> dict[str, np.ndarray]:
    """{name: array}: what every library starts from."""
    return work.parameters() if isinstance(work, Chain) else work.model().state_dict()


def training(model: nn.Module, parts: list, threads: int, loss: Callable) -> Steps:
    """The studies' own training loop, an epoch a step."""
    optimizer = nn.Adam(model.parameters(), LR)
    state = TrainingState(model, optimizer, np.random.default_rng(0))
    records = filter(None, train(state, lambda epoch: [parts], loss, None, sys.maxsize, threads))

    def check():
        optimizer.zero_grad()
        total = 0.0
        for part in parts:
            value, _ = loss(part)
            value.backward()
            total += value.item()
        return total, {name: p.grad.copy() for name, p in model.named_parameters()}

    return Steps(check, lambda: next(records))


# -- the floor ----------------------------------------------------------------------------------------------------


def linear(n: int, I: int, O: int, dx: bool = True) -> list[tuple[float, tuple[int, int, int]]]:
    """The products of y = x W^T, x (n, I) and W (O, I): y, dW, and dx where it is needed."""
    return [(1, (n, I, O)), (1, (O, n, I)), *([(1, (n, O, I))] if dx else [])]


def flops(work: Work) -> float:
    """Multiplications and additions in the products of one step."""
    return sum(2 * count * n * k * m for count, (n, k, m) in work.products())


def floor(work: Work, threads: int = 1) -> float:
    """Seconds of a step's products and transcendentals, each measured now on arrays of its own shape; micro-batches
    are shared out to the threads.
    """
    rng, total = np.random.default_rng(0), 0.0
    for count, (n, k, m) in work.products():
        a, b = rng.standard_normal((n, k), np.float32), rng.standard_normal((k, m), np.float32)
        total += count * shortest(functools.partial(np.matmul, a, b, out=np.empty((n, m), np.float32)))
    for name, elements, block in work.elementwise():
        ufunc, x = getattr(np, name), rng.random(block, np.float32)
        total += elements / block * shortest(functools.partial(ufunc, *[x] * ufunc.nin, out=np.empty_like(x)))
    return total / min(threads, work.parts)


def shortest(function: Callable[[], object], seconds: float = 0.03) -> float:
    """Seconds per call: the minimum of at least five short runs, since every disturbance makes a run longer."""
    function()
    began, best, calls, runs = time.perf_counter(), float("inf"), 1, 0
    while runs < 5 or time.perf_counter() - began < seconds:
        runs += 1
        start = time.perf_counter()
        for _ in range(calls):
            function()
        spent = time.perf_counter() - start
        best = min(best, spent / calls)
        if spent < 1e-4:  # the clock itself should not count
            calls *= 2
    return best

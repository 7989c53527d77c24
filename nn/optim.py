"""Optimisers over one flat buffer, gradient clipping, and schedules of the learning rate.

An optimiser moves the parameters into one array, and their gradients into another; each parameter then looks at
its part. So a step is a dozen in-place numpy calls whatever the number of parameters. Equations and defaults
are PyTorch's.

This is the last file on how to train. Read next: anomaly.py, for when it goes wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from nn.module import Parameter

BLOCK = 65_536  # elements that `update` sees at a time, near in the cache: Adam on 2.5 million took 4.3 ms, not 6.0


class Optimizer:
    """What the optimisers share. Subclasses name their moving averages in `slots` and define `update`.

    parameters: Parameters of one dtype. lr: the learning rate, an attribute that may be set at any time:

        optimizer.lr = cosine_decay(epoch, 0.01, epochs)

    A parameter that a backward pass did not reach has gradient zero, and moments decay (PyTorch leaves such a one
    alone). ValueError for parameters of several dtypes, or none, and for a negative learning rate.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], lr: float):
        self.parameters = list(parameters)
        dtypes = {p.dtype for p in self.parameters}
        if len(dtypes) != 1:
            found = ", ".join(sorted(map(str, dtypes))) or "no parameters"
            raise ValueError(f"an optimiser takes parameters of one dtype, not {found}")
        if not lr >= 0:
            raise ValueError(f"a learning rate is not negative: {lr}")
        self.lr = lr
        self.steps = 0
        self.data = np.concatenate([p.data.ravel() for p in self.parameters])
        self.grad = np.zeros_like(self.data)
        for name in self.slots:
            setattr(self, name, np.zeros_like(self.data))
        ends = np.cumsum([p.size for p in self.parameters])
        self.views = [(self.data[end - p.size:end].reshape(p.shape), self.grad[end - p.size:end].reshape(p.shape))
                      for end, p in zip(ends, self.parameters, strict=True)]
        self._attach()

    def _attach(self):
        """Let each parameter look at its part; take over what it has elsewhere, such as a gradient from before."""
        for p, (data, grad) in zip(self.parameters, self.views, strict=True):
            if p.data is not data:
                data[...] = p.data
                p.data = data
            if p.grad is not None and p.grad is not grad:
                grad[...] = p.grad
                p.grad = grad
            p.buffer = grad

    def _gather(self):
        """All gradients are in the buffer, 0 where there is none."""
        self._attach()
        for p, (_, grad) in zip(self.parameters, self.views, strict=True):
            if p.grad is None:
                grad[...] = 0

    def zero_grad(self) -> None:
        """Forget all gradients. The next backward pass writes them into the buffer, and adds from the second on."""
        self._attach()
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Change the parameters according to their gradients."""
        self._gather()
        self.steps += 1
        spare = np.empty_like(self.data[:BLOCK])
        for i in range(0, self.data.size, BLOCK):
            block = slice(i, i + BLOCK)
            p = self.data[block]
            self.update(p, self.grad[block], spare[:p.size], *(getattr(self, name)[block] for name in self.slots))

    def grad_is_finite(self) -> bool:
        """Whether no gradient has a nan or an inf."""
        self._gather()
        size = np.vdot(self.grad, self.grad)  # one product instead of a pass of comparisons and a mask
        return math.isfinite(size) or bool(np.isfinite(self.grad).all())

    def update(self, p: np.ndarray, g: np.ndarray, spare: np.ndarray, *slots: np.ndarray) -> None:
        """Change the flat parameters p in place, given their gradient g, which stays as it is; spare is like p."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """What the optimiser remembers: the number of steps and its moving averages, as copies."""
        return {"steps": np.asarray(self.steps), **{name: getattr(self, name).copy() for name in self.slots}}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Go on where `state_dict` was taken. KeyError or ValueError if it is of another optimiser or model."""
        for name in self.slots:
            if state[name].shape != self.data.shape:
                raise ValueError(f"{name} has {state[name].size} elements, the parameters have {self.data.size}")
        for name in self.slots:
            getattr(self, name)[...] = state[name]
        self.steps = int(state["steps"])


class SGD(Optimizer):
    """Stochastic gradient descent.

        g = g + weight_decay * p
        b = momentum * b + g
        p = p - lr * b                  nesterov: p - lr * (g + momentum * b)

    Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """

    slots = ("velocity",)

    def __init__(self, parameters, lr: float = 1e-3, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float = 0.0):
        super().__init__(parameters, lr)
        if nesterov and not momentum > 0:
            raise ValueError("nesterov needs a momentum")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def update(self, p, g, s, b):
        if self.weight_decay:
            g = np.add(np.multiply(p, self.weight_decay, out=s), g, out=s)
        b *= self.momentum
        b += g
        if self.nesterov:
            g = g + self.momentum * b
            p -= np.multiply(g, self.lr, out=s)
        else:
            p -= np.multiply(b, self.lr, out=s)


class RMSprop(Optimizer):
    """Gradients divided by a moving root mean square.

        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g^2
        b = momentum * b + g / (sqrt(v) + eps)
        p = p - lr * b

    Tieleman & Hinton 2012, "Lecture 6.5".
    """

    slots = ("square", "velocity")

    def __init__(self, parameters, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0,
                 weight_decay: float = 0.0):
        super().__init__(parameters, lr)
        self.alpha, self.eps, self.momentum, self.weight_decay = alpha, eps, momentum, weight_decay

    def update(self, p, g, s, v, b):
        if self.weight_decay:
            g = g + self.weight_decay * p
        np.multiply(g, g, out=s)
        s *= 1 - self.alpha
        v *= self.alpha
        v += s
        np.sqrt(v, out=s)
        s += self.eps
        np.divide(g, s, out=s)
        b *= self.momentum
        b += s
        p -= np.multiply(b, self.lr, out=s)


class Adam(Optimizer):
    """Adaptive moments.

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p = p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, ...

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """

    slots = ("mean", "square")

    def __init__(self, parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0):
        super().__init__(parameters, lr)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def update(self, p, g, s, m, v):
        # The moments are kept without their factors 1 - beta, which go into eps and the step: two passes less.
        beta1, beta2 = self.betas
        scale = math.sqrt((1 - beta2) / (1 - beta2**self.steps))
        if self.weight_decay:
            g = self.decay(p, g)
        m *= beta1
        m += g
        v *= beta2
        v += np.multiply(g, g, out=s)
        np.sqrt(v, out=s)
        s += self.eps / scale
        np.divide(m, s, out=s)
        s *= self.lr * (1 - beta1) / (1 - beta1**self.steps) / scale
        p -= s

    def decay(self, p, g):
        return g + self.weight_decay * p


class AdamW(Adam):
    """Adam with weight decay that is apart from the gradient: p = p - lr * weight_decay * p before the step.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
    """

    def __init__(self, parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2):
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def decay(self, p, g):
        p *= 1 - self.lr * self.weight_decay
        return g


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients in place by max_norm / (norm + 1e-6), if that is below 1; returns their norm before.

    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    wide = (g.astype(np.result_type(g, np.float32), copy=False) for g in grads)  # 300 squared is inf in float16
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in wide))
    if not (scale := max_norm / (norm + 1e-6)) >= 1:  # nan too: one nan gradient, and all are
        for g in grads:
            g *= scale
    return norm


# Schedules are functions of time t, in steps or epochs from 0. They have no state: nothing to save, nothing to
# get out of step.


def step_decay(t: int, lr: float, every: int, factor: float = 0.1) -> float:
    """lr * factor^(t // every)"""
    return lr * factor ** (t // every)


def cosine_decay(t: int, lr: float, total: int, lowest: float = 0.0) -> float:
    """From lr at 0 to `lowest` at `total`, and so on: lowest + (lr - lowest) (1 + cos(pi t / total)) / 2.
    Loshchilov & Hutter 2017.
    """
    return lowest + (lr - lowest) * (1 + math.cos(math.pi * min(t, total) / total)) / 2


def linear_warmup(t: int, lr: float, steps: int, start: float = 0.0) -> float:
    """From start * lr at 0 to lr at `steps`, and so on. Goyal et al. 2017."""
    return lr * (start + (1 - start) * min(t, steps) / steps)

"""Optimisers over one flat buffer, gradient clipping, and schedules of the learning rate.

An optimiser moves the parameters into one array, and their gradients into another; each parameter is then a view of its
section. So a step is a dozen in-place numpy calls, however many parameters there are. Equations and defaults are
PyTorch's.

Read next: batches.py.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import numpy as np

from nn.module import Module, Parameter
from nn.tensor import Tensor
from nn.threads import in_blocks


def _listed(parameters) -> list[Tensor]:
    """The parameters as a list; TypeError for what is not a collection of them."""
    if isinstance(parameters, (Tensor, Module)):
        raise TypeError(f"parameters are a list, such as model.parameters(), not one {type(parameters).__name__}")
    parameters = list(parameters)
    for p in parameters:
        if isinstance(p, dict):
            raise TypeError("there are no groups of parameters: make an optimiser for each group")
        if isinstance(p, tuple):
            raise TypeError("give the parameters without their names: model.parameters()")
        if not isinstance(p, Tensor):
            raise TypeError(f"a parameter is a Tensor, not {type(p).__name__}")
    return parameters


def _in_range(**values: tuple[float, float, float]) -> None:
    """ValueError unless lowest <= value < above, for each name=(value, lowest, above)."""
    for name, (value, lowest, above) in values.items():
        if not lowest <= value < above:
            raise ValueError(f"{name} is from {lowest} to below {above}, not {value}")


class Optimizer:
    """What the optimisers share. Subclasses name their moving averages in `slots` and define `update`.

    parameters: Parameters of one dtype. lr: the learning rate, an attribute that may be set at any time:

        optimizer.lr = cosine_decay(epoch, 0.01, epochs)

    A parameter that a backward pass did not reach, or that is frozen (requires_grad = False), is left alone, with its
    moving averages. The number of steps is counted for all together (PyTorch: for each parameter).

    TypeError for what is not a list of Tensors; ValueError for Tensors that cannot be trained: none at all, results of
    an op, whole numbers, one given twice, several dtypes; and for a negative learning rate.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], lr: float):
        self.parameters = _listed(parameters)
        for p in self.parameters:
            if p.node is not None:
                raise ValueError("an optimiser changes Tensors that were made by hand, not the result of an op")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError("a parameter is given twice")
        dtypes = {p.dtype for p in self.parameters}
        if len(dtypes) != 1:
            found = ", ".join(sorted(map(str, dtypes))) or "no parameters"
            raise ValueError(f"an optimiser takes parameters of one dtype, not {found}")
        if not any(p.requires_grad and p.dtype.kind == "f" for p in self.parameters):
            raise ValueError("none of the parameters needs a gradient: make them with requires_grad=True, of floats")
        _in_range(lr=(lr, 0, math.inf))
        self.lr = lr
        self.steps = 0
        self.data = np.concatenate([p.data.ravel() for p in self.parameters])
        self.wide = np.result_type(self.data, np.float32)  # the square of 300 is infinite in float16
        for name in self.slots:
            setattr(self, name, np.zeros(self.data.shape, self.wide))
        self._make_views()

    def _make_views(self):
        """A new buffer for the gradients, and each parameter's section of both buffers."""
        self.grad = np.zeros_like(self.data)
        self.sections = [slice(end - p.size, end) for p, end in zip(
            self.parameters, np.cumsum([p.size for p in self.parameters]).tolist(), strict=True)]
        self.views = [(self.data[section].reshape(p.shape), self.grad[section].reshape(p.shape))
                      for p, section in zip(self.parameters, self.sections, strict=True)]
        self._attach()
        self.references = self._references()

    def _references(self):
        """The number of references to each gradient, without `p.grad`: one more if someone keeps it."""
        return [sys.getrefcount(grad) - (p.grad is grad)
                for p, (_, grad) in zip(self.parameters, self.views, strict=True)]

    def _attach(self):
        """Make each parameter a view of its section; copy what it has elsewhere, such as a gradient from before."""
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

    def __getstate__(self) -> dict:
        """All but the views: those of a copy are made anew, into the buffers of the copy."""
        return {name: value for name, value in vars(self).items() if name not in ("grad", "views", "references")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._make_views()

    def zero_grad(self) -> None:
        """Forget all gradients. The next backward pass writes them into the buffer, and adds from the second on."""
        self._attach()
        for p in self.parameters:
            p.grad = None
        if self._references() != self.references:
            self._make_views()  # someone keeps a gradient, which must not be overwritten

    def step(self) -> None:
        """Change the parameters according to their gradients."""
        self._gather()
        self.steps += 1
        slots = [getattr(self, name) for name in self.slots]
        for run in self._runs():
            in_blocks(self._update, self.data[run], self.grad[run], *(slot[run] for slot in slots))

    def _update(self, p, g, *slots):
        self.update(p, g.astype(self.wide, copy=False), np.empty(p.shape, self.wide), *slots)

    def _runs(self):
        """The sections that have a gradient, neighbours joined: usually one run, from 0 to the end."""
        runs = []
        for p, section in zip(self.parameters, self.sections, strict=True):
            if p.grad is None or not p.requires_grad:
                continue
            p.changed()
            if runs and runs[-1].stop == section.start:
                section = slice(runs.pop().start, section.stop)
            runs.append(section)
        return runs

    def grad_is_finite(self) -> bool:
        """Whether no gradient has a nan or an inf."""
        self._gather()
        size = np.vdot(self.grad, self.grad)  # one product instead of a pass of comparisons and a mask
        return math.isfinite(size) or bool(np.isfinite(self.grad).all())

    def update(self, p: np.ndarray, g: np.ndarray, spare: np.ndarray, *slots: np.ndarray) -> None:
        """Change the flat parameters p in place, given their gradient g, which stays as it is. `spare` is of p's shape;
        g, spare and the slots are at least float32.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """What the optimiser remembers: the number of steps and its moving averages, as copies."""
        return {"steps": np.asarray(self.steps), **{name: getattr(self, name).copy() for name in self.slots}}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Continue where `state_dict` was taken. KeyError or ValueError if it belongs to another optimiser or model."""
        if state.keys() != {"steps", *self.slots}:
            raise KeyError(f"the state of another optimiser: {', '.join(state)}")
        arrays = {name: np.asarray(state[name], getattr(self, name).dtype) for name in self.slots}
        steps = int(state["steps"])
        for name, array in arrays.items():
            if array.shape != self.data.shape:
                raise ValueError(f"{name} has {array.size} elements, the parameters have {self.data.size}")
        for name, array in arrays.items():
            getattr(self, name)[...] = array
        self.steps = steps


class SGD(Optimizer):
    """Stochastic gradient descent.

        g = g + weight_decay * p
        b = momentum * b + g
        p = p - lr * b                  nesterov: p - lr * (g + momentum * b); without momentum b = g

    Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """

    def __init__(self, parameters, lr: float = 1e-3, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float = 0.0):
        _in_range(momentum=(momentum, 0, math.inf), weight_decay=(weight_decay, 0, math.inf))
        if nesterov and not momentum > 0:
            raise ValueError("nesterov needs a momentum")
        self.slots = ("velocity",) if momentum else ()
        super().__init__(parameters, lr)
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def update(self, p, g, s, b=None):
        if self.weight_decay:
            g = np.add(np.multiply(p, self.weight_decay, out=s), g, out=s)
        if b is None:
            p -= np.multiply(g, self.lr, out=s)
            return
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
        b = momentum * b + g / (sqrt(v) + eps)                      without momentum: g / (sqrt(v) + eps)
        p = p - lr * b

    Tieleman & Hinton 2012, "Lecture 6.5".
    """

    def __init__(self, parameters, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0,
                 weight_decay: float = 0.0):
        _in_range(alpha=(alpha, 0, math.inf), eps=(eps, 0, math.inf), momentum=(momentum, 0, math.inf),
                  weight_decay=(weight_decay, 0, math.inf))
        self.slots = ("square", "velocity") if momentum else ("square",)
        super().__init__(parameters, lr)
        self.alpha, self.eps, self.momentum, self.weight_decay = alpha, eps, momentum, weight_decay

    def update(self, p, g, s, v, b=None):
        if self.weight_decay:
            g = g + self.weight_decay * p
        np.multiply(g, g, out=s)
        s *= 1 - self.alpha
        v *= self.alpha
        v += s
        np.sqrt(v, out=s)
        s += self.eps
        np.divide(g, s, out=s)
        if b is not None:
            b *= self.momentum
            b += s
            np.copyto(s, b)
        s *= self.lr
        p -= s


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
        _in_range(beta1=(betas[0], 0, 1), beta2=(betas[1], 0, 1), eps=(eps, 0, math.inf),
                  weight_decay=(weight_decay, 0, math.inf))
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
    """Adam with decoupled weight decay: p = p - lr * weight_decay * p before the step, and g without it.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
    """

    def __init__(self, parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2):
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def decay(self, p, g):
        p *= 1 - self.lr * self.weight_decay
        return g


def clip_grad_norm_(parameters: Iterable[Parameter] | Tensor, max_norm: float) -> float:
    """Scale all gradients in place by max_norm / (norm + 1e-6), if that is below 1; returns their norm before.

    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    """
    grads = _gradients(parameters)
    wide = (g.astype(np.result_type(g, np.float32), copy=False) for g in grads)  # 300 squared is inf in float16
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in wide))
    if not (scale := max_norm / (norm + 1e-6)) >= 1:  # nan too: one nan gradient, and all are
        for g in grads:
            g *= scale
    return norm


def clip_grad_value_(parameters: Iterable[Parameter] | Tensor, clip_value: float) -> None:
    """Clip every element of the gradients in place to [-clip_value, clip_value]."""
    for g in _gradients(parameters):
        np.clip(g, -clip_value, clip_value, out=g)


def _gradients(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else _listed(parameters)
    return [p.grad for p in parameters if p.grad is not None]


# Schedules are functions of time t, in steps or epochs from 0. They have no state: there is nothing to save.


def step_decay(t: int, lr: float, every: int, factor: float = 0.1) -> float:
    """lr * factor^(t // every)"""
    return lr * factor ** (t // every)


def cosine_decay(t: int, lr: float, total: int, lowest: float = 0.0) -> float:
    """From lr at t = 0 down to `lowest` at t = total, and constant after that:

        lowest + (lr - lowest) (1 + cos(pi t / total)) / 2

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", without restarts.
    """
    return lowest + (lr - lowest) * (1 + math.cos(math.pi * min(t, total) / total)) / 2


def linear_warmup(t: int, lr: float, steps: int, start: float = 0.0) -> float:
    """From start * lr at t = 0 up to lr at t = steps, and constant after that; steps = 0 is no warm-up.

    Goyal et al. 2017, "Accurate, large minibatch SGD".
    """
    return lr * (start + (1 - start) * min(t, steps) / steps) if steps else lr

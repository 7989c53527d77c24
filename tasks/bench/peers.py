"""The same work in PyTorch, JAX, autograd and MyGrad, each in its own best idiom. None of them has to be installed.

    PyTorch             its own layers (torch.nn.LSTM, ...) over the full batch, its fused Adam
    JAX                 loss, gradients and Adam in one jitted function, buffers donated; time by lax.scan, or
                        unrolled up to L = 30, which is three times as fast or four times as slow
    autograd, MyGrad    Python loops over time, arrays of the full batch, Adam in numpy

Each is a function of a work and a number of threads that returns the Steps, or None where the library cannot run this
workload: JAX would fuse the chain of small ops into one kernel. A process has one number of threads for good.

Read next: report.py, the tables and the chart.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from tasks.bench.workloads import LR, Autoencoder, Chain, Recurrent, Steps, Work, parameters

ZERO, HALF, ONE = np.float32([0, 0.5, 1])  # float32 constants: MyGrad turns a Python number into float64

# -- the works as pure functions of p = {name: parameter}; np is numpy as a library has it ----------------------------


def sigmoid(np, x):
    return HALF * np.tanh(HALF * x) + HALF


def rnn(np, from_x, state, W, b):
    return np.tanh(from_x + state[0] @ W.T + b),


def lstm(np, from_x, state, W, b):
    (h, c), H = state, W.shape[1]
    a = from_x + h @ W.T + b
    i, f, o = (sigmoid(np, a[:, k * H:(k + 1) * H]) for k in (0, 1, 3))
    c = f * c + i * np.tanh(a[:, 2 * H:3 * H])
    return o * np.tanh(c), c


def gru(np, from_x, state, W, b):
    (h,), H = state, W.shape[1]
    from_h = h @ W.T + b
    rz = sigmoid(np, from_x[:, :2 * H] + from_h[:, :2 * H])
    n = np.tanh(from_x[:, 2 * H:] + rz[:, :H] * from_h[:, 2 * H:])
    return n + rz[:, H:] * (h - n),


def loop(step, state, xs):
    """The state after all steps in time, xs (L, N, I)."""
    for x in xs:
        state = step(state, x)
    return state


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def classifier_loss(cell, np, loop, p, xs, hot, h0):
    """Mean cross-entropy; hot (N, 2) is 1 at the class, h0 (N, H) is 0. Logits so small need no maximum taken out."""
    W_ih, W_hh, b_ih, b_hh = (p[f"recurrent.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    start = (h0, h0) if cell is lstm else (h0,)
    h, *_ = loop(lambda state, x: cell(np, x @ W_ih.T + b_ih, state, W_hh, b_hh), start, xs)
    logits = linear(p, "linear", h)
    own = np.sum(hot * logits, axis=1)
    return np.sum(np.log(np.sum(np.exp(logits), axis=1)) - own) / (ONE * len(hot))


def vae_loss(np, loop, p, x, noise):
    """Negative ELBO, in nats per image."""
    h = np.maximum(linear(p, "encoder", x), ZERO)
    mean, log_var = linear(p, "mean", h), linear(p, "log_var", h)
    z = mean + np.exp(HALF * log_var) * noise
    logits = linear(p, "output", np.maximum(linear(p, "decoder", z), ZERO))
    reconstruction = np.sum(np.maximum(logits, ZERO) - logits * x + np.log1p(np.exp(-np.abs(logits))))
    return (reconstruction + HALF * np.sum(mean * mean + np.exp(log_var) - log_var - ONE)) / (ONE * len(x))


def chain_loss(ops, np, loop, p):
    y = p["x"]
    for _ in range(ops // 2):
        y = y * p["a"] + p["b"]
    return np.sum(y)


def pure(work: Work) -> tuple[Callable, tuple[np.ndarray, ...]]:
    """The loss as a function (np, loop, p, *arrays), and the arrays."""
    if isinstance(work, Recurrent):
        x, y = work.inputs()
        arrays = x.swapaxes(0, 1).copy(), np.eye(2, dtype=np.float32)[y], np.zeros((work.N, work.H), np.float32)
        return functools.partial(classifier_loss, {"rnn": rnn, "lstm": lstm, "gru": gru}[work.cell]), arrays
    if isinstance(work, Autoencoder):
        return vae_loss, work.inputs()
    return functools.partial(chain_loss, work.ops), ()


def adam(np, t, state, grads):
    """nn.Adam's equations for {name: (p, m, v)}, at step t = 1, 2, ..."""
    def update(p, m, v, g):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g * g)
        return p - LR / (1 - 0.9**t) * m / (np.sqrt(v) / (1 - 0.999**t) ** 0.5 + 1e-8), m, v

    return {name: update(*state[name], grads[name]) for name in state}


# -- the libraries ----------------------------------------------------------------------------------------------------


def pytorch(work: Work, threads: int) -> Steps:
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    p = {name: torch.from_numpy(array) for name, array in parameters(work).items()}
    if isinstance(work, Chain):
        x, a, b = (p[name].requires_grad_() for name in "xab")

        def loss():
            y = x
            for _ in range(work.ops // 2):
                y = y * a + b
            return y.sum()
    elif isinstance(work, Recurrent):
        layer = getattr(torch.nn, work.cell.upper())(work.I, work.H)
        model = torch.nn.ModuleDict({"recurrent": layer, "linear": torch.nn.Linear(work.H, 2)})
        x, y = map(torch.from_numpy, work.inputs())
        x = x.transpose(0, 1).contiguous()

        def loss():
            _, last = layer(x)
            h_n = last[0] if work.cell == "lstm" else last
            return F.cross_entropy(model["linear"](h_n[-1]), y)
    else:
        model = torch.nn.ModuleDict({name: torch.nn.Linear(*p[f"{name}.weight"].shape[::-1])
                                     for name in ("encoder", "mean", "log_var", "decoder", "output")})
        x, noise = map(torch.from_numpy, work.inputs())

        def loss():
            h = F.relu(model["encoder"](x))
            mean, log_var = model["mean"](h), model["log_var"](h)
            logits = model["output"](F.relu(model["decoder"](mean + torch.exp(0.5 * log_var) * noise)))
            kl = 0.5 * (mean**2 + torch.exp(log_var) - log_var - 1).sum()
            return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / work.batch

    optimizer = None
    if not isinstance(work, Chain):
        model.load_state_dict(p)
        p = dict(model.named_parameters())
        optimizer = torch.optim.Adam(model.parameters(), LR, fused=True)

    def backward():
        for q in p.values():
            q.grad = None
        value = loss()
        value.backward()
        return value

    def check():
        value = backward().item()
        return value, {name: q.grad.numpy() for name, q in p.items()}

    def step():
        backward()
        if optimizer:
            optimizer.step()

    return Steps(check, step)


def jax(work: Work, threads: int, unrolled: bool = False) -> Steps | None:
    if isinstance(work, Chain) or (unrolled and not (isinstance(work, Recurrent) and work.L <= 30)):
        return None
    os.environ["PJRT_NPROC"] = str(threads)  # read when JAX first counts its devices
    import jax
    from jax import numpy as jnp

    def scan(step, state, xs):
        return jax.lax.scan(lambda state, x: (step(state, x), None), state, xs)[0]

    loss, arrays = pure(work)
    arrays = jax.device_put(arrays)
    p = jax.device_put(parameters(work))
    state = {name: (q, jnp.zeros_like(q), jnp.zeros_like(q)) for name, q in p.items()}
    t = 0

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, t, arrays):
        p = {name: p for name, (p, _, _) in state.items()}
        value, grads = jax.value_and_grad(lambda p: loss(jnp, loop if unrolled else scan, p, *arrays))(p)
        return adam(jnp, t, state, grads), value

    def step():
        nonlocal state, t
        t += 1
        state, value = jax.block_until_ready(update(state, np.float32(t), arrays))
        return value

    def check():  # what is timed is what is checked: after the first step, the mean of Adam is 0.1 g
        value = float(step())
        return value, {name: np.asarray(m) * np.float32(10) for name, (_, m, _) in state.items()}

    return Steps(check, step)


def jax_unrolled(work: Work, threads: int) -> Steps | None:
    return jax(work, threads, unrolled=True)


def in_python(work: Work, threads: int, gradients: Callable) -> Steps:
    """gradients(p) -> loss, {name: gradient}, by a library on top of numpy; Adam in numpy."""
    threadpool_limits(threads)
    state = {name: (p, np.zeros_like(p), np.zeros_like(p)) for name, p in parameters(work).items()}
    t = 0

    def backward():
        value, grads = gradients({name: p for name, (p, _, _) in state.items()})
        return float(value), grads

    def step():
        nonlocal state, t
        t += 1
        _, grads = backward()
        if not isinstance(work, Chain):
            state = adam(np, t, state, grads)

    return Steps(backward, step)


def autograd(work: Work, threads: int) -> Steps:
    import autograd
    import autograd.numpy

    loss, arrays = pure(work)
    return in_python(work, threads, autograd.value_and_grad(lambda p: loss(autograd.numpy, loop, p, *arrays)))


def mygrad(work: Work, threads: int) -> Steps:
    import mygrad

    mygrad.turn_memory_guarding_off()  # it says itself that this is the faster way
    loss, arrays = pure(work)

    def gradients(p):
        p = {name: mygrad.tensor(array) for name, array in p.items()}
        value = loss(mygrad, loop, p, *arrays)
        value.backward()
        return value.item(), {name: tensor.grad for name, tensor in p.items()}

    return in_python(work, threads, gradients)


# {name: (module, idioms)}; the best idiom counts
LIBRARIES = {"PyTorch": ("torch", [pytorch]), "JAX": ("jax", [jax, jax_unrolled]), "autograd": ("autograd", [autograd]),
             "MyGrad": ("mygrad", [mygrad])}

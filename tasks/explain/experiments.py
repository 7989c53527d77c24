"""What the page measures: how gradients fade with time, and how exact a derivative is that a difference gives.

Read next: page.py, which puts it all on one page.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import nn
from tasks.common.style import BLUE, GREEN, ORANGE, SKY, VERMILION, canvas

H, L, N = 12, 30, 16


def fading() -> dict[str, np.ndarray]:
    """{cell: size of the gradient of the last state with respect to the state before each step}, (L + 1,).

    The mean over 16 sequences of 30 random inputs, relative to the last step; 12 hidden units.
    """
    def norms(make, lstm=False, bias=0.0):
        rng = np.random.default_rng(0)
        cell = make(1, H, rng=rng, dtype=np.float64)
        if bias:
            cell.bias_ih.data[H:2 * H] += bias  # the second gate: f of an LSTM, z of a GRU
        x = rng.standard_normal((L, N, 1))
        zeros = [nn.Tensor(np.zeros((N, H)), requires_grad=True) for _ in range(2)]
        states, h, c = [zeros[1] if lstm else zeros[0]], zeros[0], zeros[1]
        for t in range(L):
            if lstm:
                h, c = cell(x[t], (h, c))
            else:
                h = cell(x[t], h)
            states.append(c if lstm else h)
        gradients = nn.grad((states[-1] * rng.standard_normal((N, H))).sum(), states)
        sizes = np.array([np.linalg.norm(g.data, axis=1).mean() for g in gradients])
        return sizes / sizes[-1]

    return {"RNN": norms(nn.RNNCell), "GRU": norms(nn.GRUCell), "LSTM": norms(nn.LSTMCell, lstm=True),
            "GRU, bias of z + 3": norms(nn.GRUCell, bias=3.0),
            "LSTM, bias of f + 3": norms(nn.LSTMCell, lstm=True, bias=3.0)}


def fading_figure(sizes: dict[str, np.ndarray]) -> Figure:
    figure, axes = canvas("How much of the gradient is left, going back in time", (7.2, 4))
    for (name, values), colour in zip(sizes.items(), (VERMILION, GREEN, BLUE, SKY, ORANGE), strict=True):
        axes.semilogy(np.arange(L, -1, -1), values, color=colour, label=name)
    axes.set_xlabel("steps before the last")
    axes.set_ylabel("size of the gradient, last step = 1")
    axes.legend(frameon=False)
    return figure


def squire_trapp(x):
    """exp(x) / sqrt(sin(x)^3 + cos(x)^3), the example of Squire & Trapp 1998."""
    return nn.exp(x) / nn.sqrt(nn.sin(x) ** 3 + nn.cos(x) ** 3)


def v_curve() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step sizes, and the relative errors of the central difference and of the complex step beside nn's derivative."""
    x = nn.Tensor(1.5, True, np.float64)
    exact = nn.grad(squire_trapp(x), x).item()
    steps = 10.0 ** np.arange(-1, -20.5, -0.5)
    central = np.array([(squire_trapp(1.5 + h) - squire_trapp(1.5 - h)) / (2 * h) for h in steps])
    complex_step = np.array([squire_trapp(np.complex128(1.5 + 1j * h)).imag / h for h in steps])
    return steps, abs(central / exact - 1), abs(complex_step / exact - 1)


def v_curve_figure(steps: np.ndarray, central: np.ndarray, complex_step: np.ndarray) -> Figure:
    figure, axes = canvas("Central difference and complex step: the error of a derivative", (7.2, 4))
    least = 1e-17  # what is exact has no place on a logarithmic axis
    axes.loglog(steps, np.maximum(central, least), color=VERMILION, marker=".", label="central difference")
    axes.loglog(steps, np.maximum(complex_step, least), color=BLUE, marker=".", label="complex step")
    axes.invert_xaxis()
    axes.set_xlabel("step size h, smaller to the right")
    axes.set_ylabel("relative error")
    axes.legend(frameon=False)
    return figure

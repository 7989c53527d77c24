"""How far back does a network look? Two answers: what it loses without the older days, and its derivatives by day.

Read next: reliability.py, whether the probabilities are right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import nn
from data.windows import Windows
from tasks.covid.metrics import roc_auc


def auc_by_days(forecast: Callable[[np.ndarray], np.ndarray], windows: Windows) -> list[float | None]:
    """ROC AUC with the last k days alone, for k = 1 to L: every older day is overwritten by the k-th last.

    forecast    new cases (n, L) -> probability (n,) of "more"
    """
    L = windows.values.shape[1]
    found = []
    for k in range(1, L + 1):
        values = windows.values.copy()
        values[:, :L - k] = values[:, [L - k]]
        found.append(roc_auc(windows.label, forecast(values)))
    return found


def sensitivity(model: nn.Module, x: np.ndarray, chunk: int = 8192) -> list[float]:
    """The mean over the windows of |d logit / d x[t]|, by lag: first that of the last day, last that of the first day.

    The logit is log p / (1 - p), that is, logits[:, 1] - logits[:, 0]; x (n, L, 1) are the inputs, signed log1p of new
    cases. Where gradients vanish on their way back through time, it falls as a power of a number below 1.
    """
    total = np.zeros(x.shape[1])
    for i in range(0, len(x), chunk):
        part = nn.Tensor(x[i:i + chunk], requires_grad=True)
        logits = model(part)
        # The windows are independent: the derivative of the sum holds that of each window.
        derivative = nn.grad(nn.sum(logits[:, 1] - logits[:, 0]), part)
        total += np.abs(derivative.data[:, :, 0]).sum(axis=0, dtype=float)
    return (total[::-1] / len(x)).tolist()


def days_needed(auc: list[float], margin: float = 0.01) -> int:
    """The smallest number of days with which the AUC is within `margin` of that with all days, and stays there."""
    short = [k for k, value in enumerate(auc, start=1) if value < auc[-1] - margin]
    return max(short, default=0) + 1

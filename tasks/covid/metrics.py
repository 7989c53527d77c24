"""How good are predicted probabilities of a yes-or-no question? With each score, that of a constant answer.

Read next: lookback.py, how far back a network looks.
"""

from __future__ import annotations

import numpy as np


def classification(label: np.ndarray, probability: np.ndarray) -> dict:
    """What a set of predictions is worth.

    label (n,) 0 or 1; probability (n,) that it is 1; the prediction is 1 where the probability exceeds one half.

        accuracy            share of right predictions
        balanced_accuracy   mean of the shares right among the zeros and among the ones; 0.5 for any constant answer
        roc_auc             probability that a one is given more than a zero is, ties half; 0.5 for no information
        log_loss            mean of -log(probability given to what happened), nats; a probability of 0 counts as 1e-12
        brier               mean of (probability - label)^2; Brier 1950
        confusion           [[zeros called 0, zeros called 1], [ones called 0, ones called 1]], counts
        majority            share of the larger class: what always giving the same answer scores

    What needs both classes is None where there is only one.
    """
    ones = label == 1
    confusion = np.bincount(2 * label + (probability > 0.5), minlength=4).reshape(2, 2)
    sizes = confusion.sum(axis=1)
    both = bool(sizes.all())
    given = np.clip(np.where(ones, probability, 1 - probability).astype(float), 1e-12, 1)
    return {
        "accuracy": float(np.trace(confusion) / len(label)),
        "balanced_accuracy": float((np.diag(confusion) / sizes).mean()) if both else None,
        "roc_auc": roc_auc(label, probability),
        "log_loss": float(-np.log(given).mean()),
        "brier": float(((probability.astype(float) - label) ** 2).mean()),
        "confusion": confusion.tolist(),
        "majority": float(sizes.max() / len(label)),
    }


def roc_auc(label: np.ndarray, probability: np.ndarray) -> float | None:
    """The Mann-Whitney statistic: the ranks of the ones, less what they would be at the bottom. Equal values share
    their ranks. None if there is only one class.
    """
    ones = label == 1
    if ones.all() or not ones.any():
        return None
    _, which, counts = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[which]
    n, m = ones.sum(), (~ones).sum()
    return float((rank[ones].sum() - n * (n + 1) / 2) / (n * m))

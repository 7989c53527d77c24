"""Does it happen in four of ten cases where 40 % was forecast? And how sure are the scores, as days are few?

Windows of one day are not independent: an epidemic moves in many countries at once. So intervals come from resampling
whole days, with all their windows (a cluster bootstrap: Efron & Tibshirani 1993, "An introduction to the bootstrap",
section 8). They say what other days could have given to the same network; what another seed would give, they do not.

Read next: gates.py, what a network does day by day.
"""

from __future__ import annotations

import numpy as np

SAMPLES = 400  # resamples of the days
LEVEL = 95  # per cent, of the intervals


def resampled_days(day: np.ndarray) -> np.ndarray:
    """How often each window is in each of the resamples: day (n,), of each window -> (SAMPLES, n)."""
    _, which = np.unique(day, return_inverse=True)
    days = which.max() + 1
    counts = np.random.default_rng(0).multinomial(days, np.full(days, 1 / days), SAMPLES)
    return counts[:, which].astype(float)


def interval(values: np.ndarray) -> list[float] | None:
    """The interval that holds LEVEL per cent of the values that are not nan, as many missing on either side; None if
    all are nan.
    """
    values = values[~np.isnan(values)]
    return np.percentile(values, [50 - LEVEL / 2, 50 + LEVEL / 2]).tolist() if len(values) else None


def intervals(label: np.ndarray, probability: np.ndarray, rule: np.ndarray, day: np.ndarray) -> dict[str, list[float]]:
    """Intervals of scores, and of what the network has more than the one-line rule on the same resampled days.

    label, rule (n,) 0 or 1; probability (n,); day (n,)
    -> {"accuracy", "roc_auc", "log_loss", "accuracy_beyond_rule", "roc_auc_beyond_rule": [low, high]}
    """
    w = resampled_days(day)
    given = np.clip(np.where(label == 1, probability, 1 - probability).astype(float), 1e-12, 1)
    accuracy, of_rule = (w @ right / w.sum(axis=1) for right in ((probability > 0.5) == label, rule == label))
    auc, auc_of_rule = (weighted_auc(label, score, w) for score in (probability, rule))
    return {"accuracy": interval(accuracy), "roc_auc": interval(auc),
            "log_loss": interval(w @ -np.log(given) / w.sum(axis=1)),
            "accuracy_beyond_rule": interval(accuracy - of_rule), "roc_auc_beyond_rule": interval(auc - auc_of_rule)}


def weighted_auc(label: np.ndarray, score: np.ndarray, w: np.ndarray) -> np.ndarray:
    """ROC AUC of windows that count w times: label, score (n,), w (m, n) -> (m,), nan where there is only one class."""
    order = np.argsort(score, kind="stable")
    ties = np.flatnonzero(np.diff(score[order], prepend=np.nan) != 0)  # where a new value begins
    ones, zeros = (np.add.reduceat(w[:, order] * (label[order] == value), ties, axis=1) for value in (1, 0))
    below = zeros.cumsum(axis=1) - zeros
    with np.errstate(invalid="ignore"):
        return (ones * (below + zeros / 2)).sum(axis=1) / (ones.sum(axis=1) * zeros.sum(axis=1))


def reliability(label: np.ndarray, probability: np.ndarray, day: np.ndarray, count: int = 10) -> dict:
    """Forecast and what happened, in bins with as many windows each; and the Brier score in its parts.

        brier = reliability - resolution + uncertainty + within
        reliability = sum_b n_b / n (mean forecast_b - share_b)^2        0 if the probabilities are right
        resolution  = sum_b n_b / n (share_b - share)^2                  how different the bins are
        uncertainty = share (1 - share)                                  of always forecasting the share itself
        within                                                           what the bins blur, small

    label, probability, day (n,) -> {"bins": [{"forecast", "share", "low", "high", "windows"}], "brier", ...}
    Murphy 1973, "A new vector partition of the probability score".
    """
    order = np.argsort(probability, kind="stable")
    bins = [each for each in np.array_split(order, count) if len(each)]
    w, shown = resampled_days(day), []
    for each in bins:
        with np.errstate(invalid="ignore"):
            low, high = interval(w[:, each] @ label[each] / w[:, each].sum(axis=1)) or (0.0, 1.0)
        shown.append({"forecast": float(probability[each].mean(dtype=float)), "share": float(label[each].mean()),
                      "low": low, "high": high, "windows": len(each)})
    n, share = len(label), float(label.mean())
    parts = {
        "brier": float(((probability.astype(float) - label) ** 2).mean()),
        "reliability": sum(b["windows"] * (b["forecast"] - b["share"]) ** 2 for b in shown) / n,
        "resolution": sum(b["windows"] * (b["share"] - share) ** 2 for b in shown) / n,
        "uncertainty": share * (1 - share),
    }
    within = parts["brier"] - parts["reliability"] + parts["resolution"] - parts["uncertainty"]
    return {"bins": shown, **parts, "within": within, "mean_forecast": float(probability.mean(dtype=float)),
            "share": share}


def by_weekday(label: np.ndarray, probability: np.ndarray, weekday: np.ndarray) -> dict[str, list[float | None]]:
    """Share of rises and mean forecast by weekday, from Monday to Sunday; None where a weekday has no window."""
    def means(values):
        return [float(values[weekday == d].mean()) if (weekday == d).any() else None for d in range(7)]

    return {"share": means(label), "forecast": means(probability.astype(float))}

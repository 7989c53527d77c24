"""Which factors of the drawn faces a code holds, how well each can be read off the posterior means; and how many pixels
each of them moves.

Read next: two_sample.py, how well samples pass for images.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from data.drawn_faces import FACTORS, draw_face, draw_factors
from data.faces import shrink

CIRCLES = ("eye_hue", "clothes_hue", "background_hue")  # 0 and 1 are the same colour
NEIGHBOURS = 10
SEEN = 8  # of 255: a pixel that changes by less looks the same


def targets(name: str, values: np.ndarray) -> np.ndarray:
    """A factor as numbers (n, m): a point on the circle, a column for each name of a choice, or the value itself."""
    if name in CIRCLES:
        return np.stack([np.cos(2 * np.pi * values), np.sin(2 * np.pi * values)], axis=1)
    if isinstance(FACTORS[name], dict):
        return np.eye(len(FACTORS[name]))[values]
    return values[:, None].astype(float)


def recovered(means: dict[str, np.ndarray], factors: dict[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """R^2 of every factor on the test images, from the posterior means: {"linear": {factor: R^2}, "neighbours": ...}.

        R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of y)^2     over images and the columns of `targets`

    1: the code holds the factor; 0: it says no more than the mean, and less is possible on new images.
    "linear" is least squares on the training images; "neighbours" the mean over the 10 nearest of them, which also sees
    what is in the code but not on a straight line.

    means, factors      {"train": (n, Z) and n rows, "test": the same}

    Only the principal axes of the means with a variance above 0.01 are looked at, those in use. What is left in the
    means of a collapsed code is far smaller than the noise that the decoder sees added to them.
    """
    centre = means["train"].mean(axis=0, dtype=np.float64)
    _, s, axes = np.linalg.svd(means["train"] - centre, full_matrices=False)
    axes = axes[s**2 / len(means["train"]) > 0.01]
    if not len(axes):
        return {model: dict.fromkeys(factors["train"], 0.0) for model in ("linear", "neighbours")}
    train, test = ((means[name] - centre) @ axes.T for name in ("train", "test"))
    nearest = _nearest(train, test)
    found = {"linear": {}, "neighbours": {}}
    for name in factors["train"]:
        y, truth = (targets(name, factors[part][name].to_numpy()) for part in ("train", "test"))
        slope = np.linalg.lstsq(train, y - y.mean(axis=0), rcond=None)[0]
        predictions = {"linear": y.mean(axis=0) + test @ slope, "neighbours": y[nearest].mean(axis=1)}
        total = ((truth - truth.mean(axis=0))**2).sum()
        for model, prediction in predictions.items():
            found[model][name] = float(1 - ((truth - prediction)**2).sum() / total) if total else 0.0
    return found


def _nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The indices (n, NEIGHBOURS) of the nearest training codes of each test code."""
    distance = (train**2).sum(axis=1) - 2 * test @ train.T  # squared, but for what is the same for all
    count = min(NEIGHBOURS, len(train))
    return np.argpartition(distance, count - 1, axis=1)[:, :count]


@functools.cache
def pixels_moved(size: int, faces: int = 10) -> dict[str, float]:
    """How many of the size x size pixels of a drawn face change, on average over some faces, if a factor takes the
    value that it has in another face and all others stay. A pixel changes if one of its colours does by more than SEEN.
    """
    rows = draw_factors(2 * faces).to_dict("records")

    def drawn(row):
        return shrink(np.asarray(draw_face(row)), size)

    moved = dict.fromkeys(FACTORS, 0.0)
    for row, other in zip(rows[:faces], rows[faces:], strict=True):
        before = drawn(row)
        for name in FACTORS:
            change = np.abs(drawn(row | {name: other[name]}) - before).max(axis=2)
            moved[name] += np.count_nonzero(change > SEEN) / faces
    return moved

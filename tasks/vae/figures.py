"""The figures of the image study: grids of images, sharp on every screen, and the learning curve.

A figure is a function from results to a `Figure`, as in the sequence study. Images are enlarged by whole factors with
nearest neighbour, so that a pixel of the image is a square of pixels in the file, and have thin white gaps.

Read next: latent_explorer.py, decoders that run in the browser.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.common.style import BLACK, GREY, SET_COLOUR, canvas, marker, set_epochs, set_style, set_title

DPI = 100
GAP = 2  # pixels between images, before they are enlarged
TERMS = {"negative_elbo": "negative ELBO", "reconstruction": "reconstruction", "kl": "KL"}


class Grid(NamedTuple):
    """Images to be shown together.

    images      (R, K, size, size, C) uint8, C = 3 or 1
    rows        R labels at the left; columns: K labels above
    """

    images: np.ndarray
    rows: list[str] | None = None
    columns: list[str] | None = None


def tile(images: np.ndarray) -> np.ndarray:
    """Images (R, K, size, size, C), C = 3 or 1, as one picture (height, width, 3), uint8, with white gaps of GAP."""
    R, K, size, _, _ = images.shape
    picture = np.full((R, size + GAP, K, size + GAP, 3), 255, np.uint8)
    picture[:, :size, :, :size] = images.transpose(0, 2, 1, 3, 4)
    return picture.reshape(R * (size + GAP), K * (size + GAP), 3)[:-GAP, :-GAP]


def image_grid(grid: Grid, *, title: str, width: int = 1000) -> Figure:
    """A grid of images with its labels under a title.

    width       pixels that the grid should have, about: the factor of enlargement is the whole number that fits best
    """
    images, rows, columns = grid
    size, picture = images.shape[2], tile(images)
    factor = max(1, round(width / picture.shape[1]))
    picture = picture.repeat(factor, 0).repeat(factor, 1)

    height, width = picture.shape[:2]
    left, margin = (150 if rows else 20), 20
    lines = textwrap.wrap(title, (left + width) // 10)
    top = 28 + 18 * len(lines) + (24 if columns else 0)
    total = left + width + margin, top + height + margin
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI, facecolor="white")
    figure.figimage(picture, left, margin)
    figure.text(20 / total[0], 1 - 16 / total[1], "\n".join(lines), va="top", fontsize=11, fontweight="bold",
                parse_math=False)
    step = (size + GAP) * factor
    for r, label in enumerate(rows or []):
        figure.text((left - 10) / total[0], (margin + height - (r * step + size * factor / 2)) / total[1], label,
                    ha="right", va="center", fontsize=9, parse_math=False)
    for k, label in enumerate(columns or []):
        figure.text((left + k * step + size * factor / 2) / total[0], (margin + height + 6) / total[1], label,
                    ha="center", va="bottom", fontsize=9, parse_math=False)
    return figure


def elbo_by_epoch(history: pd.DataFrame, *, title: str, constant: float) -> Figure:
    """The learning curve: the negative ELBO, and beside it the two parts that it is the sum of.

    history     a row an epoch: epoch, and train_ and test_ negative_elbo, reconstruction, kl (nats per image)
    constant    the reconstruction term of the best constant image, test set: what a model that ignores its code scores
    """
    figure = Figure(figsize=(11, 4), dpi=150, layout="constrained", facecolor="white")
    set_title(figure, title, 110)
    for axes, (term, words) in zip(figure.subplots(1, 3), TERMS.items(), strict=True):
        for name, colour in SET_COLOUR.items():
            axes.plot(history["epoch"], history[f"{name}_{term}"], color=colour, linewidth=1.6, label=name,
                      marker=marker(len(history)))
        if term == "reconstruction":
            axes.axhline(constant, color=GREY, linewidth=1.2, linestyle=(0, (4, 4)),
                         label="best constant image (test)")
        axes.set_title(words, fontsize=10, loc="left")
        set_style(axes)
        set_epochs(axes)
        axes.legend(frameon=False, fontsize=9)
    figure.get_axes()[0].set_ylabel("nats per image")
    return figure


def kl_by_latent(metrics: dict, *, title: str) -> Figure:
    """The KL term of each latent on the test images, largest first, and what the law of collapse predicts.

    metrics     as in metrics.json
    """
    found = sorted(metrics["test"]["latent_kl"], reverse=True)
    rank = range(1, len(found) + 1)
    figure, axes = canvas(title)
    axes.bar(rank, found, color=SET_COLOUR["test"], alpha=0.7, label="measured, test images")
    spectrum = np.array(metrics["collapse"]["eigenvalues"])
    if metrics["collapse"]["predicted"]:
        weight = 1.0 if metrics["kl"] == "anneal" else metrics["kl"]
        predicted = np.log((spectrum / weight).clip(1)) / 2
        axes.plot(rank, predicted, color=BLACK, marker="o", markersize=4, linewidth=1.2,
                  label="predicted before training: ½ log(λ / weight)")
    axes.set_title(f"All latents collapse, it is predicted, from the weight λ₁ = {spectrum[0]:.3g} on.", fontsize=10,
                   loc="left")
    axes.set_xlabel("latents, largest KL first")
    axes.set_ylabel("KL (nats per code)")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.legend(frameon=False, fontsize=9)
    return figure

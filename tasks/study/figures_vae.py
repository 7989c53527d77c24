"""The figures of the image study: learning curves and terms by weight of the KL term; and why, from the whole sweep of
weights: what the law of collapse predicts, where points are runs and lines are predictions.

Read next: answers.py, what the page shows first.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.common.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, canvas, marker, set_style
from tasks.study import sweep
from tasks.study.figures import HEIGHT, POINTS, WIDTH, finish, scale, source, thin
from tasks.study.results import Run, Study, weight_name
from tasks.vae.collapse import predict
from tasks.vae.factors import pixels_moved

WEIGHT_COLOUR = {
    "weight 0": VERMILION,
    "weight 1": BLUE,
    "weight 100": BLACK,
    "learned": GREEN,
    "0 to 1": SKY,
    "weight 1, each channel by itself": PURPLE,
}
NOTHING = 0.3  # of the smallest weight: where weight 0 is drawn, on a logarithmic axis


# -- the weights that are shown in pictures ---------------------------------------------------------------------------


def elbo_by_weight(runs: list[Run]) -> Figure:
    """The negative ELBO by epoch for each weight of the KL term; in it the weight is 1, whatever was optimised.

    The first tenth of the epochs may be outside the axis, as it would flatten the rest. Needs a run.
    """
    figure, axes = canvas(f"Learning curves, {source(runs)}", (WIDTH, HEIGHT + 0.7))
    drawn = []
    for run in runs:
        name = weight_name(run.config)
        history = thin(run.history.set_index("epoch"), POINTS)
        for set_name, style in (("test", "-"), ("train", (0, (2, 1.5)))):
            axes.plot(history[f"{set_name}_negative_elbo"], color=WEIGHT_COLOUR[name], linewidth=1.4, linestyle=style,
                      label=name if set_name == "test" else None, marker=marker(len(history)))
            drawn.append(history[f"{set_name}_negative_elbo"])
    axes.axhline(_constant_image(runs), color=GREY, linewidth=1.2, label="best constant image")
    axes.plot([], [], color=GREY, linewidth=1.4, linestyle=(0, (2, 1.5)), label="dashed: training images")
    scale(axes, pd.concat([curve.reset_index(drop=True) for curve in drawn], axis=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative ELBO (nats per image)")
    finish(figure, axes)
    return figure


def terms_by_weight(runs: list[Run]) -> Figure:
    """The two terms of the negative ELBO on the test images, a point for each weight. Needs a run.

    Along the line their sum is that of the best weight; above it the sum is larger by the vertical distance.
    """
    figure, axes = canvas(f"The two terms of the negative ELBO, {source(runs)}", (WIDTH, HEIGHT + 0.7))
    for run in runs:
        name, test = weight_name(run.config), run.metrics["test"]
        axes.plot(test["kl"], test["reconstruction"], "o", markersize=8, color=WEIGHT_COLOUR[name], alpha=0.85,
                  label=name)
    axes.axhline(_constant_image(runs), color=GREY, linewidth=1.2, label="best constant image")
    axes.margins(0.1)
    best = min(run.metrics["test"]["negative_elbo"] for run in runs)
    axes.axline((0, best), slope=-1, color=GREY, linewidth=1.2, linestyle=(0, (5, 2)), label="same sum as the best")
    axes.set_xlabel("KL (nats per image)")
    axes.set_ylabel("reconstruction (nats per image)")
    finish(figure, axes)
    return figure


# -- why: all weights of the sweep --------------------------------------------------------------------------------


def terms_over_weight(study: Study) -> Figure:
    """KL and reconstruction over the weight, a point a run, on the line that was predicted before training."""
    runs, found = sweep.table(study), sweep.collapse(study)
    figure, first = canvas(f"Predicted and measured, {source([_main(study)])}", (WIDTH, 1.35 * HEIGHT))
    first.remove()
    panels = figure.subplots(2, 1, sharex=True)
    line = _predicted(study, runs)
    for axes, term, words in zip(panels, ("kl", "reconstruction"), ("KL", "reconstruction"), strict=True):
        set_style(axes)
        axes.plot(line.index, line[term], color=BLACK, linewidth=1.4, label="predicted before training")
        axes.plot(_place(runs["weight"]), runs[term], "o", color=VERMILION, markersize=5, alpha=0.8,
                  label="measured, test images")
        _weights(axes, runs, found, named=term == "kl")
        axes.set_ylabel(f"{words} (nats per image)")
    top = max(runs.loc[runs["weight"] > 0, "kl"].max(), line["kl"].max()) or 1.0
    panels[0].set_ylim(-0.03 * top, 1.12 * top)
    free = runs.loc[runs["weight"] == 0, "kl"]
    if len(free) and free.max() > 1.12 * top:
        panels[0].annotate(f"weight 0: {free.mean():.0f} nats,\nbeyond this axis", (0.02, 0.05), fontsize=8,
                           xycoords="axes fraction").set_in_layout(False)
    panels[1].set_xlabel("weight of the KL term")
    finish(figure, panels[0])
    return figure


def rate_distortion(study: Study) -> Figure:
    """KL against reconstruction, all runs of one seed, with lines of equal negative ELBO."""
    runs = sweep.table(study)
    others = [run for run in study.vae if isinstance(run.config["kl"], str)]
    figure, axes = canvas(f"Rate and distortion, {source([_main(study)])}", (WIDTH, HEIGHT + 0.9))
    line = _predicted(study, runs)
    axes.plot(line["kl"], line["reconstruction"], color=BLACK, linewidth=1.2, label="predicted before training")
    fixed = runs[(runs["seed"] == 0) & (runs["weight"] > 0)]
    axes.plot(fixed["kl"], fixed["reconstruction"], "o-", color=VERMILION, markersize=4, linewidth=1,
              label="weights that are numbers")
    for run, colour, shape in zip(others, (GREEN, SKY), ("s", "D"), strict=False):
        test = run.metrics["test"]
        axes.plot(test["kl"], test["reconstruction"], shape, color=colour, markersize=6, label=weight_name(run.config))
    constant = _main(study).metrics["test"]["constant_image"]
    axes.plot(0, constant, "*", color=BLUE, markersize=11, label="mean image, rate 0")
    for _, row in fixed[fixed["kl"] > 0.05 * fixed["kl"].max()].iterrows():
        axes.annotate(f"{row['weight']:g}", (row["kl"], row["reconstruction"]), (4, 4), textcoords="offset points",
                      fontsize=8).set_in_layout(False)
    shown = fixed["kl"].tolist() + [run.metrics["test"]["kl"] for run in others]
    heights = [constant, *fixed["reconstruction"], *(run.metrics["test"]["reconstruction"] for run in others)]
    low, high = min(heights), max(heights)
    most = max(shown, default=0) or 1.0
    axes.set_xlim(-0.03 * most, 1.08 * most)
    margin = 0.06 * (high - low) or 1
    axes.set_ylim(low - margin, high + 2 * margin)
    for elbo in np.linspace(low, high + most, 9):
        axes.axline((0, elbo), slope=-1, color=GREY, linewidth=0.5, zorder=0)
    axes.set_xlabel("rate: KL (nats per image)")
    axes.set_ylabel("distortion: reconstruction (nats)")
    finish(figure, axes)
    return figure


def latents_in_use(study: Study) -> Figure:
    """How many latents are in use, by axis and by principal axis of the posterior means, beside the prediction."""
    runs, found = sweep.table(study), sweep.collapse(study)
    figure, axes = canvas(f"Latents in use, {source([_main(study)])}", (WIDTH, HEIGHT + 0.4))
    line = _predicted(study, runs)
    axes.plot(line.index, line["used"], color=BLACK, linewidth=1.4, drawstyle="steps-post",
              label="predicted: eigenvalues above the weight")
    axes.plot(_place(runs["weight"]), runs["active_units"], "o", color=ORANGE, markersize=6, alpha=0.8,
              label="measured: latents by themselves")
    axes.plot(_place(runs["weight"]), runs["active_axes"], "D", color=BLUE, markersize=4, alpha=0.8,
              label="measured: principal axes of their means")
    _weights(axes, runs, found)
    axes.set_xlabel("weight of the KL term")
    axes.set_ylabel("in use (variance above 0.01)")
    finish(figure, axes, ncols=1)
    return figure


def kl_over_training(study: Study) -> Figure | None:
    """The KL term of each latent by epoch, for weight 1, the rising weight, and the largest that is below lambda_1."""
    found = sweep.collapse(study)
    fixed = [run for run in sweep.swept(study) if run.config["seed"] == 0]
    large = [run for run in fixed if 1 < run.config["kl"] < found.predicted][-1:]
    chosen = ([run for run in fixed if run.config["kl"] == 1]
              + [run for run in study.vae if run.config["kl"] == "anneal"] + large)
    chosen = [run for run in chosen if "test_kl_0" in run.history]
    if not chosen:
        return None
    figure, first = canvas(f"KL of each latent, {source([_main(study)])}", (WIDTH, 0.9 + 1.6 * len(chosen)))
    first.remove()
    for axes, run in zip(figure.subplots(len(chosen), 1, sharex=True, squeeze=False).ravel(), chosen, strict=True):
        set_style(axes)
        columns = [name for name in run.history if name.startswith("test_kl_")]
        axes.plot(run.history["epoch"], run.history[columns], color=BLUE, linewidth=0.9, alpha=0.7)
        axes.set_title(f"{weight_name(run.config)}: a line per latent", loc="left", fontsize=10)
        axes.set_ylabel("KL (nats)")
    axes.set_xlabel("epoch")
    return figure


def factor_map(study: Study) -> Figure | None:
    """R^2 of every factor on the test images by weight: by a straight line at the left, by neighbours at the right; and
    how many pixels it moves.
    """
    runs = [run for run in sweep.swept(study) if run.config["seed"] == 0 and "factors" in run.metrics]
    if not runs:
        return None
    names, moved = _by_mean(runs), pixels_moved(runs[0].metrics["data"]["size"])
    figure, first = canvas(f"Which factor is in the code (R²), {source(runs)}", (WIDTH, 1.6 + 0.19 * len(names)))
    first.remove()
    for axes, model, words in zip(figure.subplots(1, 2, sharey=True), ("linear", "neighbours"),
                                  ("linear", "nearest neighbours"), strict=True):
        values = np.array([[run.metrics["factors"][model][name] for run in runs] for name in names])
        image = axes.imshow(values.clip(0), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(words, loc="left", fontsize=10)
        axes.set_xticks(range(len(runs)), [f"{run.config['kl']:g}" for run in runs], rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), [f"{name.replace('_', ' ')}, {moved[name]:.0f} px" for name in names],
                        fontsize=8)
        axes.set_xlabel("weight of the KL term")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    figure.colorbar(image, ax=figure.axes, location="bottom", shrink=0.5, aspect=30, label="R², 0 or less to 1")
    return figure


def sample_quality(study: Study) -> Figure | None:
    """How well a small network tells samples from test images, and how near samples are to training images."""
    runs = sweep.table(study).dropna(subset=["accuracy"])
    if runs.empty:
        return None
    real = _main(study).metrics["two_sample"]
    figure, first = canvas(f"Samples beside images, {source([_main(study)])}", (WIDTH, 1.6 * HEIGHT))
    first.remove()
    panels = figure.subplots(2, 1, sharex=True)
    for axes, name, words in zip(panels, ("accuracy", "distance"), (
            "told from test images (%)", "to the nearest training image"), strict=True):
        set_style(axes)
        scale = 100 if name == "accuracy" else 1
        axes.plot(_place(runs["weight"]), scale * runs[name], "o", color=VERMILION, markersize=5, alpha=0.8,
                  label="samples of the prior")
        axes.axhline(scale * real[f"{name}_real"], color=BLACK, linewidth=1.2, label="test images")
        _weights(axes, runs, None)
        axes.set_ylabel(words)
    panels[0].axhline(50, color=GREY, linewidth=1, linestyle=(0, (4, 4)), label="guessing")
    panels[1].set_ylim(0)
    panels[1].set_xlabel("weight of the KL term")
    finish(figure, panels[0])
    return figure


# -- what they share ----------------------------------------------------------------------------------------------


def _main(study: Study) -> Run:
    return sweep.swept(study)[0]


def _predicted(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """The law on a fine grid of weights: used, kl, reconstruction of the test images."""
    spectrum = np.array(_main(study).metrics["collapse"]["eigenvalues"])
    weights = runs.loc[runs["weight"] > 0, "weight"]
    grid = np.geomspace(weights.min(), weights.max(), 200) if len(weights) else []
    rows = {b: predict(spectrum, b) for b in grid}
    constant = _main(study).metrics["test"]["constant_image"]
    return pd.DataFrame({"used": {b: law.used for b, law in rows.items()},
                         "kl": {b: law.kl for b, law in rows.items()},
                         "reconstruction": {b: constant - law.gain for b, law in rows.items()}})


def _place(weights: pd.Series) -> pd.Series:
    """Where weights stand on a logarithmic axis: 0 at the left of all others."""
    return weights.where(weights > 0, NOTHING * weights[weights > 0].min())


def _weights(axes: Axes, runs: pd.DataFrame, found: sweep.Collapse | None, named: bool = True) -> None:
    """A logarithmic axis of weights, with 0 on it; and marks at 1, 100, lambda_1 and D / Z."""
    weights = sorted(runs["weight"].unique())
    axes.set_xscale("log")
    ticks = [weight for weight in (0, 0.1, 1, 10, 100) if weight in weights or weights[0] < weight < weights[-1]]
    axes.set_xticks(_place(pd.Series(weights)).tolist()[:1] * (0 in ticks) + [w for w in ticks if w],
                    [f"{weight:g}" for weight in ticks])
    axes.minorticks_off()
    if found:
        for weight in (1, 100):
            axes.axvline(weight, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        for weight, words, side in ((found.predicted, "λ₁", "right"), (found.mean_reduction, "D / Z", "left")):
            axes.axvline(weight, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
            axes.annotate(f" {words} " * named, (weight, 0.96), xycoords=("data", "axes fraction"), fontsize=9, ha=side,
                          va="top").set_in_layout(False)


def _by_mean(runs: list[Run]) -> list[str]:
    """The factors, those first that are found best."""
    found = pd.DataFrame([run.metrics["factors"]["neighbours"] for run in runs]).clip(0).mean()
    return list(found.sort_values(ascending=False).index)


def _constant_image(runs: list[Run]) -> float:
    """The reconstruction term of the best constant image: lowest where a model knows its channel."""
    return min(run.metrics["test"]["constant_image"] for run in runs)

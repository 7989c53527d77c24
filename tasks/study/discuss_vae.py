"""The discussion of the image study, by the rules of discuss_covid.py.

Read next: figures.py, what the figures of the page share.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.study import sweep
from tasks.study.numbers import Paragraph, nats, percent
from tasks.study.results import Run, Study, weight_name
from tasks.vae.factors import pixels_moved

PER_CHANNEL = "weight 1, each channel by itself"


def discussion(study: Study) -> list[Paragraph]:
    """The discussion of the image study: paragraphs that open with a claim, none if no run has finished."""
    if not study.vae:
        return []
    runs = {weight_name(run.config): run for run in study.vae}
    apart = runs.pop(PER_CHANNEL, None)
    answers = [images(study), best_weight(runs), without_kl(runs), collapse(runs), learned(runs), annealed(runs),
               latents_in_use(runs), new_images(runs), when_lowest(runs), per_channel(apart, runs), closer_bound(runs)]
    return [answer for answer in answers if answer]


def images(study: Study) -> Paragraph:
    """Which images are these, and how precise are the numbers?"""
    data = study.vae[0].metrics["data"]
    drawn = "They are simulated: what follows is about drawings, not about photographs." if data["simulated"] else None
    repeated = [run.metrics["test"]["negative_elbo"] for run in sweep.swept(study) if run.config["kl"] == 1]
    chance = (f"Over {len(repeated)} seeds the negative ELBO of weight 1 varies by "
              f"{nats(max(repeated) - min(repeated))}: smaller differences mean nothing." if len(repeated) > 1 else
              "There is one run for each weight, so it is not known how much these numbers vary by chance.")
    return Paragraph(f"There are {data['train'] + data['test']:,} images ({data['source']}), {data['train']:,} for "
                     f"training and {data['test']:,} for test.", drawn, chance,
                     "The negative ELBO always has weight 1, whatever was optimised.")


def best_weight(runs: dict[str, Run]) -> Paragraph | None:
    """Which weight has the lowest negative ELBO on the test images?"""
    if len(runs) < 2:
        return None
    elbo = tested(runs, "negative_elbo").sort_values()
    lowest, highest = elbo.index[0], elbo.index[-1]
    if lowest == "weight 1":
        aim = " Training with weight 1 minimises exactly this measure."
    elif lowest == "0 to 1":
        aim = " It ends as weight 1, which minimises exactly this measure in training."
    else:
        aim = " Training with weight 1 minimises exactly this measure; on the test images it is not the lowest."
    return Paragraph(f"The lowest negative ELBO on the test images is that of {phrase(lowest)}, {nats(elbo.iloc[0])} "
                     "per image.",
                     f"{phrase(elbo.index[1]).capitalize()} has {nats(elbo.iloc[1] - elbo.iloc[0])} more, "
                     f"{phrase(highest)} most, {nats(elbo.iloc[-1])}.", aim.strip() if "weight 1" in runs else None)


def without_kl(runs: dict[str, Run]) -> Paragraph | None:
    """What happens to the codes when the prior does not matter?"""
    if not {"weight 0", "weight 1"} <= set(runs):
        return None
    free, held = (runs[name].metrics["test"] for name in ("weight 0", "weight 1"))
    saved = held["reconstruction"] - free["reconstruction"]
    answer = (f"With weight 0 the KL term is {nats(free['kl'])}; with weight 1 it is {nats(held['kl'])}. The "
              f"reconstruction is {nats(abs(saved))} {'lower' if saved > 0 else 'higher'}.")
    if free["kl"] <= held["kl"]:
        return Paragraph("Without the KL term the codes have not moved further from the prior.", answer)
    return Paragraph("Without the KL term the codes leave the prior: they are narrower or further away.", answer,
                     "A sample of the prior is then less likely to fall where the decoder was trained.")


def collapse(runs: dict[str, Run]) -> Paragraph | None:
    """Does a large weight make the code useless: no latent in use, and no nat better than a constant image?"""
    if "weight 100" not in runs:
        return None
    test, latents = runs["weight 100"].metrics["test"], runs["weight 100"].config["latent"]
    above = test["reconstruction"] - test["constant_image"]
    collapsed = test["active_units"] == 0 and above > -1
    state = "has collapsed and carries nothing about the image" if collapsed else "is still used"
    return Paragraph(f"With weight 100 the code {state}.", f"{test['active_units']} of {latents} latents are in "
                     f"use, the KL term is {nats(test['kl'])}, and the reconstruction is {nats(abs(above))} "
                     f"{'above' if above > 0 else 'below'} that of the best constant image "
                     f"({nats(test['constant_image'])}).")


def learned(runs: dict[str, Run]) -> Paragraph | None:
    """Which value did the learned weight take?"""
    if "learned" not in runs:
        return None
    found, kl = runs["learned"].metrics["learned"], tested(runs, "kl")
    claim = f"The learned weight is {found['kl_weight']:.4f}, relative to half the squared error."
    answer = (f"The decoder is Gaussian, with a standard deviation of {255 * found['sigma']:.1f} of 255 grey levels. "
              f"By its own measure, a density, the test images cost {nats(found['test'] - found['train'])} more than "
              "the training images.")
    if not {"weight 0", "weight 1"} <= set(runs):
        return Paragraph(claim, answer)
    least, most = sorted(kl[["weight 0", "weight 1"]])
    where = "below" if kl["learned"] <= least else "above" if kl["learned"] >= most else "between"
    return Paragraph(claim, answer, "Its value cannot be compared with the other weights, which multiply the KL term "
                     f"beside a cross-entropy. But its KL term can: {nats(kl['learned'])}, {where} those of weight 0 "
                     f"({nats(kl['weight 0'])}) and weight 1 ({nats(kl['weight 1'])}).")


def annealed(runs: dict[str, Run]) -> Paragraph | None:
    """Does it help to let the weight rise from 0?"""
    if not {"0 to 1", "weight 1"} <= set(runs):
        return None
    risen, fixed = (runs[name].metrics["test"] for name in ("0 to 1", "weight 1"))
    less = fixed["negative_elbo"] - risen["negative_elbo"]
    return Paragraph(f"The weight that rises from 0 to 1 ends with a negative ELBO {nats(abs(less))} "
                     f"{'lower' if less > 0 else 'higher'} than weight 1 from the start.",
                     f"It ends with {risen['active_units']} latents in use where that has {fixed['active_units']}.")


def latents_in_use(runs: dict[str, Run]) -> Paragraph | None:
    """Does a larger weight leave fewer latents in use?"""
    fixed = sorted((run for run in runs.values() if not isinstance(run.config["kl"], str)),
                   key=lambda run: run.config["kl"])
    if len(fixed) < 2:
        return None
    active = [run.metrics["test"]["active_units"] for run in fixed]
    numbers = ", ".join(f"{n} with weight {run.config['kl']:g}" for n, run in zip(active, fixed, strict=True))
    falls = (np.diff(active) <= 0).all() and active[-1] < active[0]
    strictly = (np.diff(active) < 0).all()
    answer = ("The larger the weight, the fewer latents are" if strictly else
              "Up to ties, a larger weight leaves fewer latents" if falls else
              "A larger weight does not leave fewer latents")
    return Paragraph(f"{answer} in use.", f"Of {fixed[0].config['latent']}, {numbers}.")


def new_images(runs: dict[str, Run]) -> Paragraph | None:
    """How much more do images cost that the model was not trained on?"""
    if not runs:
        return None
    gaps = (tested(runs, "negative_elbo") - tested(runs, "negative_elbo", "train")).sort_values()
    n = next(iter(runs.values())).metrics["data"]["train"]
    most, least = gaps.index[-1], gaps.index[0]
    if gaps[most] <= 0:
        return Paragraph(f"With every weight the negative ELBO on the test images is at most that on the {n:,} "
                         "training images.")
    share = gaps[most] / runs[most].metrics["train"]["negative_elbo"]
    others = f", and least with {phrase(least)}, by {nats(gaps[least])}" if len(gaps) > 1 else ""
    return Paragraph(f"The negative ELBO is higher on the test images than on the {n:,} training images.",
                     f"It is so most with {phrase(most)}, by {nats(gaps[most])} or {percent(share)}{others}.")


def when_lowest(runs: dict[str, Run]) -> Paragraph | None:
    """Was the training with weight 1 long enough, or too long?"""
    if "weight 1" not in runs:
        return None
    elbo = runs["weight 1"].history.set_index("epoch")["test_negative_elbo"]
    lowest, epochs = elbo.idxmin(), elbo.index[-1]
    answer = f"With weight 1 the negative ELBO on the test images was lowest in epoch {lowest} of {epochs}"
    if lowest > 0.9 * epochs:
        return Paragraph(f"{answer}.", "More epochs may lower it further.")
    return Paragraph(f"{answer}.", f"It has risen by {nats(elbo.iloc[-1] - elbo.min())} since: longer training has "
                     "not helped.")


def per_channel(apart: Run | None, runs: dict[str, Run]) -> Paragraph | None:
    """What is lost when red, green and blue have a code each?"""
    if not apart or "weight 1" not in runs:
        return None
    if apart.metrics["data"]["channels"] == 1:
        return Paragraph("The images are grey, so a code for each channel is the same model.")
    own, whole = (run.metrics["test"]["negative_elbo"] for run in (apart, runs["weight 1"]))
    return Paragraph(f"With a code for each channel the negative ELBO is {nats(own)}, {nats(abs(own - whole))} "
                     f"{'higher' if own > whole else 'lower'} than with one code for all three.",
                     "A sample of the prior is then three codes drawn independently, so nothing in the model makes "
                     "the three channels fit together.")


def closer_bound(runs: dict[str, Run]) -> Paragraph | None:
    """Is the order of the weights the same by a tighter bound?"""
    if len(runs) < 2:
        return None
    elbo, closer = tested(runs, "negative_elbo"), tested(runs, "importance_weighted")
    order = list(closer.sort_values().index)
    same = order == list(elbo.sort_values().index)
    return Paragraph(f"A tighter bound puts the weights in {'the same' if same else 'another'} order.",
                     f"The bound on −log p(x) from 100 importance samples is {nats((elbo - closer).min())} to "
                     f"{nats((elbo - closer).max())} below the negative ELBO.",
                     None if same else f"It has {', '.join(map(phrase, order))}, from lowest to highest.")


# -- why ----------------------------------------------------------------------------------------------------------


def why(study: Study) -> dict[str, Paragraph | None]:
    """The paragraphs of the sections that say why: "collapse", "latents", "factors", "quality"; {} without a sweep."""
    if not sweep.swept(study):
        return {}
    table = sweep.table(study)
    return {"collapse": why_collapse(sweep.collapse(study), table), "latents": why_latents(table),
            "factors": why_factors(study), "quality": why_quality(study, table)}


def why_collapse(found: sweep.Collapse, table: pd.DataFrame) -> Paragraph:
    """Does the code collapse where the largest eigenvalue says?"""
    known = table.dropna(subset=["predicted_kl"])
    wrong = known[(known["kl"] >= sweep.DEAD) != (known["predicted_kl"] >= sweep.DEAD)]
    claim = (f"The weight at which the code collapses can be computed before training: {found.predicted:.3g}."
             if wrong.empty else
             f"Training lets the code collapse earlier than it has to: predicted is the weight {found.predicted:.3g}."
             if (wrong["kl"] < wrong["predicted_kl"]).all() else
             f"The code does not always collapse where it is predicted, at the weight {found.predicted:.3g}.")
    seen = []
    if found.below is not None:
        seen.append(f"it still holds something with weight {found.below:g}")
    if found.above is not None:
        seen.append(f"it holds less than {sweep.DEAD:g} nats from weight {found.above:g} on")
    large = known[known["predicted_kl"] >= 1]
    off = (large["kl"] / large["predicted_kl"] - 1).abs()
    return Paragraph(
        claim,
        f"A latent costs more than it saves where its eigenvalue is below the weight, and {found.predicted:.3g} is the "
        "largest.",
        f"As measured, {' and '.join(seen)}." if seen else None,
        f"In {len(wrong)} of {len(known)} runs prediction and measurement disagree on whether the code is empty."
        if len(wrong) else None,
        stuck(wrong),
        f"Where 1 nat or more is predicted, the KL term is {percent(off.median())} off in the median, and at most "
        f"{percent(off.max())}." if len(off) else None,
        f"Taking the mean of both terms, a common mistake, gives the KL term the weight {found.mean_reduction:.4g}, "
        f"which is {'beyond' if found.mean_reduction >= found.predicted else 'short of'} the collapse.")


def stuck(wrong: pd.DataFrame) -> str | None:
    """Could the code have been kept where training let it collapse? `wrong`: the runs where the law says otherwise."""
    empty = wrong[wrong["kl"] < sweep.DEAD]
    if empty.empty:
        return None
    reached = empty["reconstruction"] + empty["weight"] * empty["kl"]
    possible = empty["predicted_reconstruction"] + empty["weight"] * empty["predicted_kl"]
    missed = reached - possible
    if missed.min() <= 0:
        return None
    return (f"There the loss that training ends with is {nats(missed.min())} to {nats(missed.max())} above the one "
            "predicted for a code in use: training is stuck where the code is empty.")


def why_latents(table: pd.DataFrame) -> Paragraph:
    """Which count of the latents in use is nearer to the predicted one?"""
    known = table.dropna(subset=["predicted_used"])
    if known.empty:
        return Paragraph("No weight of these runs has a prediction.")
    units, axes = ((known[name] - known["predicted_used"]).abs().mean() for name in ("active_units", "active_axes"))
    claim = ("Counted by directions, the latents in use are nearer to the prediction than counted one by one."
             if axes < units else
             "Counted by directions, the latents in use are no nearer to the prediction than counted one by one.")
    return Paragraph(claim, f"The mean error is {axes:.1f} latents along the principal axes of the posterior means, "
                     f"and {units:.1f} along the axes of the code.")


def why_factors(study: Study) -> Paragraph | None:
    """Which factors of the drawn faces does the code of weight 1 hold, and which has it lost?"""
    runs = [run for run in sweep.swept(study) if run.config["kl"] == 1 and "factors" in run.metrics]
    if not runs:
        return None
    best = pd.concat([pd.DataFrame(run.metrics["factors"]).max(axis=1) for run in runs], axis=1).mean(axis=1)
    moved = pd.Series(pixels_moved(runs[0].metrics["data"]["size"]))[best.index]
    best.index = moved.index = best.index.str.replace("_", " ")
    found, lost = best[best >= 0.5].sort_values(ascending=False), best[best < 0.1]
    pixels = moved[found.index].median(), moved[lost.index].median()
    because = ("what moves few pixels saves few nats" if pixels[0] > pixels[1] else
               "the number of pixels alone does not decide what is held")
    return Paragraph(f"With weight 1 the code holds {len(found)} of {len(best)} factors well and has lost {len(lost)}.",
                     f"Well, with an R² of at least 0.5: {', '.join(found.index)}." if len(found) else None,
                     f"Lost, with less than 0.1: {', '.join(lost.index)}." if len(lost) else None,
                     f"A factor that is held moves {pixels[0]:.0f} pixels of a face in the median, and one that is "
                     f"lost {pixels[1]:.0f}: {because}." if len(found) and len(lost) else None)


def why_quality(study: Study, table: pd.DataFrame) -> Paragraph | None:
    """Do samples pass for images, and are they copies of training images?"""
    known = table.dropna(subset=["accuracy"])
    if known.empty:
        return None
    real = next(run.metrics["two_sample"] for run in sweep.swept(study) if "two_sample" in run.metrics)
    by_weight = known.groupby("weight")[["accuracy", "distance"]].mean()
    hardest, least = by_weight["accuracy"].idxmin(), by_weight["accuracy"].min()
    claim = ("A small network tells the samples of every weight from test images; least often with weight "
             f"{hardest:g}, {percent(least)} right." if least > 0.75 else
             f"Samples with weight {hardest:g} are hardest to tell from test images: {percent(least)} right.")
    near = by_weight["distance"].min() / real["distance_real"]
    copies = (f"The samples are not copies of training images: with every weight they are at least {percent(near)} as "
              "far from the nearest one as test images are." if near > 0.5 else
              f"With weight {by_weight['distance'].idxmin():g} the samples are only {percent(near)} as far from the "
              "nearest training image as test images are.")
    return Paragraph(claim, f"Test images are told from other test images in {percent(real['accuracy_real'])} of "
                     "cases; 50 % is guessing.", copies)


def tested(runs: dict[str, Run], quantity: str, set_name: str = "test") -> pd.Series:
    """A metric of each run, by the name of its weight."""
    return pd.Series({name: run.metrics[set_name][quantity] for name, run in runs.items()})


def phrase(name: str) -> str:
    """The name of a weight as a part of a sentence."""
    return {"learned": "the learned weight", "0 to 1": "the weight that rises from 0 to 1"}.get(name, name)

"""The discussion of the image study, by the rules of discuss_covid.py.

Read next: figures.py, the figures of the page.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.study.numbers import nats, percent
from tasks.study.results import Run, Study, weight_name

PER_CHANNEL = "weight 1, each channel by itself"


def discussion(study: Study) -> list[str]:
    """The discussion of the image study: plain paragraphs, none if no run has finished."""
    if not study.vae:
        return []
    runs = {weight_name(run.config): run for run in study.vae}
    apart = runs.pop(PER_CHANNEL, None)
    answers = [images(study.vae[0]), best_weight(runs), without_kl(runs), collapse(runs), learned(runs), annealed(runs),
               latents_in_use(runs), new_images(runs), when_lowest(runs), per_channel(apart, runs), closer_bound(runs)]
    return [answer for answer in answers if answer]


def images(run: Run) -> str:
    """Which images are these, and how precise are the numbers?"""
    data = run.metrics["data"]
    drawn = " They are simulated: what follows is about drawings, not about photographs." * data["simulated"]
    return (f"There are {data['train'] + data['test']:,} images ({data['source']}), {data['train']:,} for training and "
            f"{data['test']:,} for test.{drawn} There is one run for each weight, so it is not known how much these "
            "numbers vary by chance. The negative ELBO always has weight 1, whatever was optimised.")


def best_weight(runs: dict[str, Run]) -> str | None:
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
    return (f"The lowest negative ELBO on the test images is that of {phrase(lowest)}, {nats(elbo.iloc[0])} per image; "
            f"{phrase(elbo.index[1])} has {nats(elbo.iloc[1] - elbo.iloc[0])} more, {phrase(highest)} most, "
            f"{nats(elbo.iloc[-1])}.{aim if 'weight 1' in runs else ''}")


def without_kl(runs: dict[str, Run]) -> str | None:
    """What happens to the codes when the prior does not matter?"""
    if not {"weight 0", "weight 1"} <= set(runs):
        return None
    free, held = (runs[name].metrics["test"] for name in ("weight 0", "weight 1"))
    saved = held["reconstruction"] - free["reconstruction"]
    answer = (f"With weight 0 the KL term is {nats(free['kl'])}; with weight 1 it is {nats(held['kl'])}. The "
              f"reconstruction is {nats(abs(saved))} {'lower' if saved > 0 else 'higher'}.")
    if free["kl"] <= held["kl"]:
        return f"{answer} The codes have not moved further from the prior than with weight 1."
    return (f"{answer} The codes are narrower or further from the prior, so a sample of the prior is less likely to "
            "fall where the decoder was trained.")


def collapse(runs: dict[str, Run]) -> str | None:
    """Does a large weight make the code useless: no latent in use, and no nat better than a constant image?"""
    if "weight 100" not in runs:
        return None
    test, latents = runs["weight 100"].metrics["test"], runs["weight 100"].config["latent"]
    above = test["reconstruction"] - test["constant_image"]
    collapsed = test["active_units"] == 0 and above > -1
    state = "has collapsed and carries nothing about the image" if collapsed else "is still used"
    return (f"With weight 100 the code {state}: {test['active_units']} of {latents} latents are in use, the KL term "
            f"is {nats(test['kl'])}, and the reconstruction is {nats(abs(above))} {'above' if above > 0 else 'below'} "
            f"that of the best constant image ({nats(test['constant_image'])}).")


def learned(runs: dict[str, Run]) -> str | None:
    """Which value did the learned weight take?"""
    if "learned" not in runs:
        return None
    found, kl = runs["learned"].metrics["learned"], tested(runs, "kl")
    answer = (f"The learned weight is {found['kl_weight']:.4f}, relative to half the squared error: the decoder is "
              f"Gaussian, with a standard deviation of {255 * found['sigma']:.1f} of 255 grey levels. By its own "
              f"measure, a density, the test images cost {nats(found['test'] - found['train'])} more than the training "
              "images.")
    if not {"weight 0", "weight 1"} <= set(runs):
        return answer
    least, most = sorted(kl[["weight 0", "weight 1"]])
    where = "below" if kl["learned"] <= least else "above" if kl["learned"] >= most else "between"
    return (f"{answer} Its value cannot be compared with the other weights, which multiply the KL term beside a "
            f"cross-entropy. But its KL term can: {nats(kl['learned'])}, {where} those of weight 0 "
            f"({nats(kl['weight 0'])}) and weight 1 ({nats(kl['weight 1'])}).")


def annealed(runs: dict[str, Run]) -> str | None:
    """Does it help to let the weight rise from 0?"""
    if not {"0 to 1", "weight 1"} <= set(runs):
        return None
    risen, fixed = (runs[name].metrics["test"] for name in ("0 to 1", "weight 1"))
    less = fixed["negative_elbo"] - risen["negative_elbo"]
    return (f"The weight that rises from 0 to 1 ends with a negative ELBO {nats(abs(less))} "
            f"{'lower' if less > 0 else 'higher'} than weight 1 from the start, and with {risen['active_units']} "
            f"latents in use where that has {fixed['active_units']}.")


def latents_in_use(runs: dict[str, Run]) -> str | None:
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
    return f"{answer} in use: of {fixed[0].config['latent']}, {numbers}."


def new_images(runs: dict[str, Run]) -> str | None:
    """How much more do images cost that the model was not trained on?"""
    if not runs:
        return None
    gaps = (tested(runs, "negative_elbo") - tested(runs, "negative_elbo", "train")).sort_values()
    n = next(iter(runs.values())).metrics["data"]["train"]
    most, least = gaps.index[-1], gaps.index[0]
    if gaps[most] <= 0:
        return f"With every weight the negative ELBO on the test images is at most that on the {n:,} training images."
    share = gaps[most] / runs[most].metrics["train"]["negative_elbo"]
    others = f", and least with {phrase(least)}, by {nats(gaps[least])}" if len(gaps) > 1 else ""
    return (f"The negative ELBO is higher on the test images than on the {n:,} training images: most with "
            f"{phrase(most)}, by {nats(gaps[most])} or {percent(share)}{others}.")


def when_lowest(runs: dict[str, Run]) -> str | None:
    """Was the training with weight 1 long enough, or too long?"""
    if "weight 1" not in runs:
        return None
    elbo = runs["weight 1"].history.set_index("epoch")["test_negative_elbo"]
    lowest, epochs = elbo.idxmin(), elbo.index[-1]
    answer = f"With weight 1 the negative ELBO on the test images was lowest in epoch {lowest} of {epochs}"
    if lowest > 0.9 * epochs:
        return f"{answer}: more epochs may lower it further."
    return f"{answer} and has risen by {nats(elbo.iloc[-1] - elbo.min())} since: longer training has not helped."


def per_channel(apart: Run | None, runs: dict[str, Run]) -> str | None:
    """What is lost when red, green and blue have a code each?"""
    if not apart or "weight 1" not in runs:
        return None
    if apart.metrics["data"]["channels"] == 1:
        return "The images are grey, so a code for each channel is the same model."
    own, whole = (run.metrics["test"]["negative_elbo"] for run in (apart, runs["weight 1"]))
    return (f"With a code for each channel the negative ELBO is {nats(own)}, {nats(abs(own - whole))} "
            f"{'higher' if own > whole else 'lower'} than with one code for all three. A sample of the prior is then "
            "three codes drawn independently, so nothing in the model makes the three channels fit together.")


def closer_bound(runs: dict[str, Run]) -> str | None:
    """Is the order of the weights the same by a tighter bound?"""
    if len(runs) < 2:
        return None
    elbo, closer = tested(runs, "negative_elbo"), tested(runs, "importance_weighted")
    order = list(closer.sort_values().index)
    same = order == list(elbo.sort_values().index)
    return (f"The bound on −log p(x) from 100 importance samples is tighter, {nats((elbo - closer).min())} to "
            f"{nats((elbo - closer).max())} below the negative ELBO. It puts the weights in "
            f"{'the same order' if same else 'another order: ' + ', '.join(map(phrase, order))}.")


def tested(runs: dict[str, Run], quantity: str, set_name: str = "test") -> pd.Series:
    """A metric of each run, by the name of its weight."""
    return pd.Series({name: run.metrics[set_name][quantity] for name, run in runs.items()})


def phrase(name: str) -> str:
    """The name of a weight as a part of a sentence."""
    return {"learned": "the learned weight", "0 to 1": "the weight that rises from 0 to 1"}.get(name, name)

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
    """What was learnt from, and how far do the numbers carry?"""
    data = run.metrics["data"]
    drawn = " They are simulated: what follows is about drawings, not about photographs." * data["simulated"]
    return (f"The images are {data['train'] + data['test']:,} of {data['source']}, {data['train']:,} to train and "
            f"{data['test']:,} to test.{drawn} There is one run for each weight, so how much these numbers vary by "
            "chance is not known. The negative ELBO has weight 1 throughout, whatever was optimised.")


def best_weight(runs: dict[str, Run]) -> str | None:
    """Which weight has the lowest negative ELBO on the test images?"""
    if len(runs) < 2:
        return None
    elbo = tested(runs, "negative_elbo").sort_values()
    lowest, highest = elbo.index[0], elbo.index[-1]
    if lowest == "weight 1":
        aim = " Weight 1 is what minimises this measure in training."
    elif lowest == "0 to 1":
        aim = " It ends as weight 1, which is what minimises this measure in training."
    else:
        aim = " Weight 1 is what minimises this measure in training; in test it is not the lowest."
    return (f"The lowest negative ELBO on the test images is that of {phrase(lowest)}, {nats(elbo.iloc[0])} an image; "
            f"{phrase(elbo.index[1])} has {nats(elbo.iloc[1] - elbo.iloc[0])} more, {phrase(highest)} most, "
            f"{nats(elbo.iloc[-1])}.{aim if 'weight 1' in runs else ''}")


def without_kl(runs: dict[str, Run]) -> str | None:
    """What happens to the codes when nothing holds them to the prior?"""
    if not {"weight 0", "weight 1"} <= set(runs):
        return None
    free, held = (runs[name].metrics["test"] for name in ("weight 0", "weight 1"))
    saved = held["reconstruction"] - free["reconstruction"]
    answer = (f"With weight 0, where nothing holds it, the KL term is {nats(free['kl'])}, beside {nats(held['kl'])} "
              f"with weight 1; the reconstruction is {nats(abs(saved))} {'lower' if saved > 0 else 'higher'}.")
    if free["kl"] <= held["kl"]:
        return f"{answer} The codes have not moved further from the prior than with weight 1."
    return (f"{answer} The codes are narrower or further from the prior, and a sample of the prior falls the less "
            "often where the decoder has learnt.")


def collapse(runs: dict[str, Run]) -> str | None:
    """Does a large weight leave the code without a message? No latent in use, and no nat better than without a code."""
    if "weight 100" not in runs:
        return None
    test, latents = runs["weight 100"].metrics["test"], runs["weight 100"].config["latent"]
    above = test["reconstruction"] - test["constant_image"]
    collapsed = test["active_units"] == 0 and above > -1
    state = "has collapsed and tells nothing of an image" if collapsed else "is still used"
    return (f"With weight 100 the code {state}: {test['active_units']} of {latents} latents are in use, the KL term "
            f"is {nats(test['kl'])}, and the reconstruction is {nats(abs(above))} {'above' if above > 0 else 'below'} "
            f"that of the best image that takes no code ({nats(test['constant_image'])}).")


def learned(runs: dict[str, Run]) -> str | None:
    """What does the learned weight amount to?"""
    if "learned" not in runs:
        return None
    found, kl = runs["learned"].metrics["learned"], tested(runs, "kl")
    answer = (f"The learned weight amounts to {found['kl_weight']:.4f} against half the squared error: the decoder is "
              f"Gaussian, with a standard deviation of {255 * found['sigma']:.1f} of 255 grey levels. By its own "
              f"measure, a density, the test images cost {nats(found['test'] - found['train'])} more than the training "
              "images.")
    if not {"weight 0", "weight 1"} <= set(runs):
        return answer
    least, most = sorted(kl[["weight 0", "weight 1"]])
    where = "below" if kl["learned"] <= least else "above" if kl["learned"] >= most else "between"
    return (f"{answer} Its number is not to be set beside the other weights, which stand beside a cross-entropy, but "
            f"its KL term is: {nats(kl['learned'])}, {where} those of weight 0 ({nats(kl['weight 0'])}) and weight 1 "
            f"({nats(kl['weight 1'])}).")


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
    fewer = (np.diff(active) <= 0).all() and active[-1] < active[0]
    answer = "The larger the weight, the fewer latents" if fewer else "A larger weight does not leave fewer latents"
    return f"{answer} in use: of {fixed[0].config['latent']}, {numbers}."


def new_images(runs: dict[str, Run]) -> str | None:
    """How much more do images cost that were not learnt from?"""
    if not runs:
        return None
    gaps = (tested(runs, "negative_elbo") - tested(runs, "negative_elbo", "train")).sort_values()
    n = next(iter(runs.values())).metrics["data"]["train"]
    most, least = gaps.index[-1], gaps.index[0]
    if gaps[most] <= 0:
        return f"With no weight is the negative ELBO higher on the test images than on the {n:,} training images."
    share = gaps[most] / runs[most].metrics["train"]["negative_elbo"]
    others = f", and least with {phrase(least)}, by {nats(gaps[least])}" if len(gaps) > 1 else ""
    return (f"The negative ELBO is higher on the test images than on the {n:,} training images: most with "
            f"{phrase(most)}, by {nats(gaps[most])} or {percent(share)}{others}.")


def when_lowest(runs: dict[str, Run]) -> str | None:
    """Had the training with weight 1 been long enough, or too long?"""
    if "weight 1" not in runs:
        return None
    elbo = runs["weight 1"].history.set_index("epoch")["test_negative_elbo"]
    lowest, epochs = elbo.idxmin(), elbo.index[-1]
    answer = f"With weight 1 the negative ELBO on the test images was lowest in epoch {lowest} of {epochs}"
    if lowest > 0.9 * epochs:
        return f"{answer}: more epochs may lower it further."
    return f"{answer} and has risen by {nats(elbo.iloc[-1] - elbo.min())} since: longer training has not helped."


def per_channel(apart: Run | None, runs: dict[str, Run]) -> str | None:
    """What is lost when red, green and blue are coded each by itself?"""
    if not apart or "weight 1" not in runs:
        return None
    if apart.metrics["data"]["channels"] == 1:
        return "The images are grey, so that to code each channel by itself is the same model."
    own, whole = (run.metrics["test"]["negative_elbo"] for run in (apart, runs["weight 1"]))
    return (f"With each channel coded by itself the negative ELBO is {nats(own)}, {nats(abs(own - whole))} "
            f"{'higher' if own > whole else 'lower'} than with one code for all three. A sample of the prior is then "
            "three codes drawn independently, so that nothing in the model makes its three channels fit together.")


def closer_bound(runs: dict[str, Run]) -> str | None:
    """Is the order of the weights the same by a bound that is closer?"""
    if len(runs) < 2:
        return None
    elbo, closer = tested(runs, "negative_elbo"), tested(runs, "importance_weighted")
    order = list(closer.sort_values().index)
    same = order == list(elbo.sort_values().index)
    return (f"The bound on −log p(x) from 100 importance samples is closer, {nats((elbo - closer).min())} to "
            f"{nats((elbo - closer).max())} below the negative ELBO. It puts the weights in "
            f"{'the same order' if same else 'another order: ' + ', '.join(map(phrase, order))}.")


def tested(runs: dict[str, Run], quantity: str, part: str = "test") -> pd.Series:
    """A metric of each run, by the name of its weight."""
    return pd.Series({name: run.metrics[part][quantity] for name, run in runs.items()})


def phrase(name: str) -> str:
    """The name of a weight as a part of a sentence."""
    return {"learned": "the learned weight", "0 to 1": "the weight that rises from 0 to 1"}.get(name, name)

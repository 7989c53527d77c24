"""The sweep over the weights of the KL term as a table, and what it says of the law of collapse.

Read next: numbers.py, how numbers are written in a sentence.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from tasks.study.results import Run, Study

DEAD = 0.1  # nats: a code that holds less than this carries nothing that could be seen in an image


class Collapse(NamedTuple):
    """Where the code collapses.

    predicted       lambda_1, the weight from which on no latent should be in use
    below, above    the largest weight with which the code still holds something in every seed, and the smallest from
                    which on it holds nothing in any; None if there is no such weight in the sweep
    mean_reduction  D / Z, the weight that "mean" for both terms amounts to
    """

    predicted: float
    below: float | None
    above: float | None
    mean_reduction: float


def swept(study: Study) -> list[Run]:
    """The runs of the sweep: the weights that are numbers, one model for all channels, by weight and seed; none if all
    have weight 0, of which the law of collapse says nothing.
    """
    runs = [run for run in study.vae + study.sweep
            if not isinstance(run.config["kl"], str) and not run.config["per_channel"] and "collapse" in run.metrics]
    positive = any(run.config["kl"] > 0 for run in runs)
    return sorted(runs, key=lambda run: (run.config["kl"], run.config["seed"])) if positive else []


def table(study: Study) -> pd.DataFrame:
    """The sweep, a row a run, on the test images in nats per image; what cannot be predicted is nan.

    weight, seed, kl, reconstruction, negative_elbo, active_units, active_axes, accuracy (of the two-sample test),
    distance (to the nearest training image); predicted_kl, predicted_reconstruction, predicted_used
    """
    rows = []
    for run in swept(study):
        test, law = run.metrics["test"], run.metrics["collapse"]["predicted"] or {}
        rows.append({"weight": run.config["kl"], "seed": run.config["seed"]}
                    | {name: test[name] for name in ("kl", "reconstruction", "negative_elbo", "active_units",
                                                     "active_axes")}
                    | {name: run.metrics.get("two_sample", {}).get(name) for name in ("accuracy", "distance")}
                    | {f"predicted_{name}": law.get(name) for name in ("kl", "reconstruction", "used")})
    return pd.DataFrame(rows).astype(float) if rows else pd.DataFrame()


def collapse(study: Study) -> Collapse | None:
    """Where the law says that the code collapses and where it does; None if nothing was swept."""
    runs = swept(study)
    if not runs:
        return None
    kl = table(study).groupby("weight")["kl"]
    alive, dead = kl.min() >= DEAD, kl.max() < DEAD
    from_here = dead[::-1].cummin()[::-1]  # dead here and with every larger weight
    found = runs[0].metrics["collapse"]
    return Collapse(found["eigenvalues"][0], max(alive.index[alive], default=None),
                    min(from_here.index[from_here], default=None), found["mean_reduction"])

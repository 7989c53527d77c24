"""The sequence explorer: what the page needs to run the trained networks itself, on days that the reader changes.

cells.js computes, in the names and the order of nn/cells.py; explorer.js draws and listens.

Read next: faces.py, the same for the image runs.
"""

from __future__ import annotations

import base64

import numpy as np

from data.windows import make_windows, split_windows
from tasks.study.results import Run, Study

# The order in which the arrays of a network follow one another; read by `network` in cells.js.
ARRAYS = ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "recurrent.bias_ih_l0", "recurrent.bias_hh_l0",
          "linear.weight", "linear.bias")


def explorer(study: Study) -> dict | None:
    """What explorer.js reads; None without a run of the split in time whose weights are at hand, or without cases.

    countries, days     names and ISO dates; cases[c][t] are the new cases of country c on day t
    dropped             the countries that the networks were not trained on
    first_test          the first day that a test label asks about, an index into days
    networks            {"gru 5": {"weights": base64 of float32, "hidden": H, "seed": of how many "seeds"}}
    """
    runs = [run for run in study.covid if run.config["split"] == "time" and run.weights]
    if not runs or study.cases is None:
        return None
    new_cases = study.cases.counts.new_cases
    _, test = split_windows(make_windows(new_cases, 1), "time", seed=0)
    groups = {}
    for run in runs:
        groups.setdefault(f"{run.config['cell']} {run.config['L']}", []).append(run)
    return {
        "source": study.cases.counts.source,
        "simulated": study.cases.counts.simulated,
        "countries": list(new_cases.columns),
        "dropped": sorted(set(new_cases.columns) - set(study.cases.kept)),
        "days": [f"{day:%Y-%m-%d}" for day in new_cases.index],
        "cases": [[int(n) if n == int(n) else n for n in column] for column in new_cases.to_numpy(float).T.tolist()],
        "first_test": int(test.day.min()),
        "largest": str(study.cases.counts.cumulative.iloc[-1].idxmax()),
        "networks": {name: network(nearest_to_mean(of_seeds)) | {"seeds": len(of_seeds)}
                     for name, of_seeds in groups.items()},
    }


def nearest_to_mean(runs: list[Run]) -> Run:
    """Of the runs that differ in their seed, the one whose test log loss is nearest to their mean."""
    loss = np.array([run.metrics["test"]["log_loss"] for run in runs])
    return runs[int(np.abs(loss - loss.mean()).argmin())]


def network(run: Run) -> dict:
    """The weights of a run, one array after the other, row by row, as base64 of little-endian float32."""
    values = np.concatenate([run.weights[name].ravel() for name in ARRAYS]).astype("<f4")
    return {"weights": base64.b64encode(values.tobytes()).decode(), "seed": run.config["seed"],
            "hidden": run.weights["linear.weight"].shape[1]}

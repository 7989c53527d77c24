"""What was found, in one sentence and one figure for each question: what the page shows first.

Read next: maps.py, the world maps.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.figure import Figure

from tasks.common.style import set_title
from tasks.study import discuss_vae, figures_covid, figures_vae, sweep
from tasks.study.results import Study, scores
from tasks.study.why_covid import why


class Answer(NamedTuple):
    """A claim that the numbers decide, a figure of it, and the id of the section of the page that explains it."""

    claim: str
    figure: Figure
    section: str


def answers(study: Study) -> list[Answer]:
    """The answers that the finished runs give."""
    found = []
    of_time = [run for run in study.covid if run.config["split"] == "time"]
    if of_time:
        table = scores(of_time).groupby(["cell", "L"]).mean(numeric_only=True)
        accuracy, auc = ((table[f"test_{name}"] > table[rule]).sum() for name, rule in (
            ("accuracy", "test_rule"), ("roc_auc", "test_rule_auc")))
        found.append(Answer(
            f"By accuracy, {accuracy} of {len(table)} networks are ahead of a rule of one line; by AUC, {auc} are.",
            figures_covid.scores_over_length(study.covid, "accuracy", "time"), "cells"))
    if reasons := why(study.covid):
        found.append(Answer(reasons.lookback.claim, figures_covid.auc_by_days(reasons.runs), "lookback"))
        found.append(Answer(reasons.reliability.claim, figures_covid.reliability(reasons.runs), "reliability"))
    if sweep.swept(study) and (figure := figures_vae.terms_over_weight(study)):
        found.append(Answer(discuss_vae.why(study)["collapse"].claim, figure, "collapse"))
    for number, answer in enumerate(found, start=1):  # a title of its own gives the figure ids of its own
        set_title(answer.figure, f"{number}. {answer.figure.get_suptitle()}", 48)
    return found

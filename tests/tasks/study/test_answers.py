"""What the page shows first: a claim for each question, decided by the numbers."""

from __future__ import annotations

import pytest

from tasks.study.answers import answers
from tasks.study.results import Study
from tests.tasks.study import made_up


def run(cell, accuracy, roc_auc, split="time"):
    return made_up.sequence_run(
        cell, 5, split, 0, train=made_up.scores(), test=made_up.scores(accuracy, roc_auc),
        rule=made_up.baseline(0.62, 0.6), regression=made_up.baseline(0.6), history={"epoch": [1]})


def of(*runs):
    return answers(Study(list(runs), [], {}, None, {}))


@pytest.mark.parametrize("scores, says", [
    ([(0.6, 0.7), (0.61, 0.7)], "By accuracy, 0 of 2 networks are ahead of a rule of one line; by AUC, 2 are."),
    ([(0.7, 0.5), (0.61, 0.7)], "By accuracy, 1 of 2 networks are ahead of a rule of one line; by AUC, 1 are."),
])
def test_the_first_answer_counts_the_networks_that_are_ahead(scores, says):
    found = of(*(run(cell, *both) for cell, both in zip(("rnn", "gru"), scores, strict=True)))
    assert [answer.section for answer in found] == ["cells", "lookback", "reliability"]
    assert found[0].claim == says
    assert [answer.figure.get_suptitle()[:3] for answer in found] == ["1. ", "2. ", "3. "]


def test_without_runs_that_ask_about_days_to_come_there_is_no_answer():
    assert of() == [] and of(run("rnn", 0.7, 0.7, split="random")) == []

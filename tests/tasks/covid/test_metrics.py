"""The metrics against scikit-learn's, and what is not defined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tasks.covid.metrics import classification

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 7)), min_size=2)


@settings(max_examples=30)
@given(PAIRS.filter(lambda pairs: len({label for label, _ in pairs}) == 2))
def test_equal_to_scikit_learn_with_many_ties(pairs):
    label = np.array([x for x, _ in pairs])
    probability = np.array([p for _, p in pairs]) / 7
    found = classification(label, probability)
    called = probability > 0.5
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(label, called))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(label, called))
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(label, probability))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(label, probability))
    assert found["log_loss"] == pytest.approx(oracle.log_loss(label, np.clip(probability, 1e-12, 1 - 1e-12)), rel=1e-4)
    assert found["confusion"] == oracle.confusion_matrix(label, called).tolist()
    assert found["majority"] == pytest.approx(max(label.mean(), 1 - label.mean()))


def test_one_class_alone_has_no_auc_and_no_balance():
    found = classification(np.array([1, 1, 1]), np.array([0.9, 0.2, 0.7]))
    assert found["roc_auc"] is None and found["balanced_accuracy"] is None
    assert found["accuracy"] == pytest.approx(2 / 3) and found["majority"] == 1


def test_certainty_that_is_wrong_costs_much_but_not_infinitely():
    assert classification(np.array([0, 1]), np.array([1.0, 1.0]))["log_loss"] == pytest.approx(-np.log(1e-12) / 2)


def test_float32_probabilities_are_scored_in_double_precision():
    probability = np.array([0.1, 0.8, 0.3], np.float32)
    found = classification(np.array([0, 1, 1]), probability)
    assert found["brier"] == pytest.approx(((probability.astype(float) - [0, 1, 1]) ** 2).mean(), abs=1e-15)


def test_one_half_is_no_rise():
    found = classification(np.array([0, 0, 1]), np.full(3, 0.5))
    assert found["confusion"] == [[2, 0], [1, 0]] and found["accuracy"] == pytest.approx(2 / 3)

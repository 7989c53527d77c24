"""Sentences held to made-up runs whose answer is known, in both directions."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest

from tasks.study import discuss_covid as discussion
from tasks.study.discuss_covid import trend
from tasks.study.results import Study, scores
from tests.tasks.study import made_up

LENGTHS = (3, 5, 7, 9, 10, 15, 20, 30)


def run(cell="gru", L=5, split="time", seed=0, *, accuracy=0.6, auc=0.7, train_accuracy=0.8, train_auc=0.8,
        balanced=0.6, majority=0.55, train_majority=0.75, rule=0.62, rule_auc=0.6, regression=0.61, regression_auc=0.65,
        train_regression_auc=0.75, rises=(25, 45), n=100, test_loss=(0.7, 0.6, 0.6), simulated=False, calls=None):
    """A run of which as much is made up as the discussion looks at. rises: % of training and test labels."""
    def part(up, accuracy, auc, majority):
        return made_up.scores(accuracy, auc, balanced_accuracy=balanced, log_loss=0.6, majority=majority,
                              confusion=[[n - up * n // 100, 0], [0, up * n // 100]])

    probabilities = None if calls is None else pd.DataFrame(
        {"country": [f"c{i}" for i in range(len(calls))], "probability": [0.9 if c == "1" else 0.1 for c in calls],
         "last_day": "2020-04-30"})
    return made_up.sequence_run(
        cell, L, split, seed, train=part(rises[0], train_accuracy, train_auc, train_majority),
        test=part(rises[1], accuracy, auc, majority), rule=made_up.baseline(rule, rule_auc, 0.6),
        regression=made_up.baseline(regression, regression_auc, train_regression_auc),
        history={"epoch": range(1, len(test_loss) + 1), "test_loss": test_loss}, probabilities=probabilities,
        simulated=simulated, countries_kept=10)


def grid(cells=("rnn", "lstm", "gru"), lengths=(5,), seeds=(0, 1, 2), splits=("time",), **of_run):
    """A run for each; of_run holds what differs as functions of cell, L, seed and split."""
    return [run(cell, L, split, seed, **{name: value(cell, L, seed, split) for name, value in of_run.items()})
            for cell in cells for L in lengths for seed in seeds for split in splits]


def study(runs):
    return Study(runs, [], {}, None, {})


def test_nothing_run_nothing_said():
    assert discussion.discussion(study([])) == []


def test_an_accuracy_never_stands_without_the_majority_class_and_the_rule():
    runs = grid(lengths=LENGTHS, splits=("time", "random"), calls=lambda *_: "110")
    told = [text for text in discussion.discussion(study(runs)) if "ccuracy" in text and " %" in text]
    assert len(told) > 5
    for paragraph in told:
        assert re.search(r"majority class|more frequent answer", paragraph) and "one-line rule" in paragraph


@pytest.mark.parametrize("runs", [
    [run()],
    [run(split="random")],
    [run(auc=None, train_auc=None, balanced=None, rule_auc=None, regression_auc=None, train_regression_auc=None)],
    grid(auc=lambda *_: None, rule_auc=lambda *_: None, regression_auc=lambda *_: None, splits=("time", "random")),
    [run(seed=0), run(seed=1), run("rnn"), run("lstm", 7, "random")],
    [run(L=L, test_loss=(0.7,)) for L in LENGTHS],
    grid(lengths=LENGTHS, splits=("time", "random"), calls=lambda *_: "000"),
])
def test_what_is_missing_is_left_out(runs):
    paragraphs = discussion.discussion(study(runs))
    assert paragraphs
    for paragraph in paragraphs:
        assert re.fullmatch(r"[A-Z].*\.", paragraph) and "None" not in paragraph and "nan" not in paragraph


def test_simulated_counts_are_said_to_be():
    assert "simulated" in discussion.discussion(study([run(simulated=True)]))[0]
    assert not any("simulat" in paragraph for paragraph in discussion.discussion(study([run()])))


def test_of_the_random_split_alone_nothing_is_claimed():
    (paragraph,) = discussion.discussion(study(grid(splits=("random",))))
    assert "leaks" in paragraph and "nothing is concluded" in paragraph
    assert not any("nothing is concluded" in p for p in discussion.discussion(study([run(), run(split="random")])))


def test_certainty():
    runs = grid(accuracy=lambda cell, L, seed, split: 0.4 + 0.1 * seed)
    said = discussion.precision_of_scores(runs)
    assert "3 seeds" in said and "4 of 100" in said and "100 test windows" in said and "10 days" in said
    assert f"{100 * math.sqrt(0.5 * 0.5 / 100):.1f} percentage points" in said
    assert "4 of 100" not in discussion.precision_of_scores(runs[:2])
    assert "one seed: nothing can be said about the spread" in discussion.precision_of_scores(runs[:1])


def test_shares_of_training_and_test():
    said = discussion.shares_of_rises([run(L=5), run(L=3, train_majority=0.9, rises=(10, 45))])
    assert "after 45.0 % of the test windows" in said and "10.0 % with L = 3 and 25.0 % with L = 5" in said
    assert "unlike" in said
    assert "for 90.0 % and 75.0 % of the training windows" in said and "62.0 % of the test windows" in said
    assert discussion.shares_of_rises([run()]).count("with L = 5") == 1
    assert "much like" in discussion.shares_of_rises([run(rises=(40, 45))])  # 2 standard errors are 14 points
    assert "unlike" in discussion.shares_of_rises([run(rises=(25, 45))])
    assert "much like" in discussion.shares_of_rises([run(rises=(45, 25), n=20)])
    assert "unlike" in discussion.shares_of_rises([run(rises=(60, 45))])


@pytest.mark.parametrize("lead, said", [(0.03, "every network is"), (0.01, "no network is"), (-0.03, "no network is")])
def test_a_lead_has_to_exceed_the_spread_over_the_seeds(lead, said):
    runs = grid(("rnn", "gru"), accuracy=lambda cell, L, seed, split: 0.62 + lead + 0.01 * (seed - 1))
    sentence = discussion.compare_with(scores(runs), "the one-line rule", "accuracy", "rule")
    assert f"{said} clearly above" in sentence
    assert ("none of 2 clearly below" in sentence) == (lead == 0.01)
    assert ("2 of 2 clearly below" in sentence) == (lead == -0.03)
    assert "spread 2.0 percentage points" in sentence
    assert "the one-line rule 62.0 % (the majority class 55.0 %)" in sentence


def test_the_best_is_named_and_the_others_counted():
    leads = {"rnn": 0.05, "lstm": 0.1, "gru": -0.05}
    table = scores(grid(accuracy=lambda cell, L, seed, split: 0.5 + leads[cell], majority=lambda *_: 0.5))
    sentence = discussion.compare_with(table, "the majority class", "accuracy", "majority")
    assert "2 of 3 networks are clearly above" in sentence and "1 of 3 clearly below" in sentence
    assert "LSTM with L = 5, has 60.0 %" in sentence
    assert "has 0.700" in discussion.compare_with(table, "the one-line rule", "roc_auc", "rule_auc")


def test_with_one_seed_a_lead_is_a_sign():
    table = scores([run("rnn", accuracy=0.63), run("gru", accuracy=0.60)])
    sentence = discussion.compare_with(table, "the one-line rule", "accuracy", "rule")
    assert "1 of 2 networks is above" in sentence and "1 of 2 below" in sentence
    assert "clearly" not in sentence and "spread" not in sentence


def test_a_network_of_one_seed_among_others_has_no_clear_lead():
    table = scores([run("rnn", seed=0), run("rnn", seed=1), run("gru", accuracy=0.9)])
    sentence = discussion.compare_with(table, "the one-line rule", "accuracy", "rule")
    assert "no network is clearly above" in sentence and "GRU" in sentence and "nan" not in sentence


def test_training_windows_are_held_to_their_own_majority():
    table = scores([run(train_accuracy=0.7)])
    sentence = discussion.compare_with(table, "the majority class", "accuracy", "majority", set_name="train")
    assert "training windows no network is above" in sentence and "75.0 %" in sentence


@pytest.mark.parametrize("accuracy, auc, said", [(0.6, 0.7, True), (0.7, 0.7, False), (0.6, 0.5, False)])
def test_ranking_without_deciding(accuracy, auc, said):
    assert bool(discussion.ranks_but_does_not_decide(scores([run(accuracy=accuracy, auc=auc)]))) == said


# -- L ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope, word", [(-0.001, "falls as"), (0.001, "rises as"), (0, "neither falls nor rises as")])
def test_a_score_along_L(slope, word):
    noise = dict(zip(LENGTHS, (0, 3, 1, 2, 2.5, 0.5, 1.5, 0.1), strict=True))
    runs = grid(lengths=LENGTHS, accuracy=lambda cell, L, seed, split: 0.6 + slope * L + 1e-4 * noise[L] + 1e-3 * seed,
                auc=lambda cell, L, seed, split: 0.7 - slope * L + 1e-4 * noise[L])
    sentence = discussion.effect_of_length(scores(runs), "accuracy")
    assert word in sentence and f"{61.0 + 100 * slope * 3 - 0.9:.1f} % with L = 3" in sentence
    assert f"RNN {word.removesuffix(' as')}" in sentence and "the majority class 55.0 %" in sentence
    opposite = {"falls as": "rises as", "rises as": "falls as"}.get(word, word)
    assert opposite in discussion.effect_of_length(scores(runs), "roc_auc")


def test_of_four_lengths_nothing_is_said_and_of_one_nothing_at_all():
    runs = grid(lengths=(3, 5, 7, 9), accuracy=lambda cell, L, seed, split: 0.01 * L)
    assert "From these 4 lengths nothing can be said" in discussion.effect_of_length(scores(runs), "accuracy")
    assert "From these 2 lengths" in discussion.effect_of_length(scores(grid(lengths=(3, 5))), "accuracy")
    assert discussion.effect_of_length(scores(grid()), "accuracy") is None


def test_a_length_that_not_all_have_does_not_tilt_the_mean():
    runs = grid(lengths=LENGTHS, accuracy=lambda cell, L, seed, split: 0.6 + 0.001 * L + 0.1 * (cell == "gru"))
    runs = [one for one in runs if one.config["cell"] == "gru" or one.config["L"] != 3]
    assert "% with L = 5, " in discussion.effect_of_length(scores(runs), "accuracy")


def test_direction_is_spearman_held_to_all_orders():
    values = pd.Series([0.5, 0.1, 0.9, 0.3, 0.4, 0.2], index=[3, 5, 7, 9, 10, 100])
    _, r, chance = trend(values)
    ranks = np.arange(6)
    every = [abs(np.corrcoef(ranks, order)[0, 1]) for order in itertools.permutations(ranks)]
    assert r == pytest.approx(np.corrcoef(ranks, values.rank())[0, 1])
    assert chance == pytest.approx(np.quantile(every, 0.95, method="higher"))


def test_direction_needs_five_values_that_are_not_all_equal():
    assert trend(pd.Series([1, 2, 3, 4], index=[3, 5, 7, 9])) is None
    assert trend(pd.Series([2.0] * 8, index=LENGTHS)) is None
    assert trend(pd.Series([1, 2, 3, 4, 5], index=[3, 5, 7, 9, 30]))[:2] == ("rises", pytest.approx(1))
    assert trend(pd.Series([5, 4, 3, 2, 1], index=[3, 5, 7, 9, 30]))[:2] == ("falls", pytest.approx(-1))
    assert trend(pd.Series([2, 1, 3, 4, 5], index=[3, 5, 7, 9, 30]))[0] == "neither falls nor rises"


@pytest.mark.parametrize("slope, word", [(0.001, "grows with L"), (-0.001, "shrinks with L")])
def test_the_gap_and_what_the_majority_has_of_it(slope, word):
    runs = grid(lengths=LENGTHS, train_accuracy=lambda cell, L, seed, split: 0.9 + slope * L,
                train_majority=lambda cell, L, seed, split: 0.8 if L in (3, 5, 7, 9) else 0.7)
    sentence = discussion.accuracy_gap(scores(runs))
    mean = 100 * (0.3 + slope * np.mean(LENGTHS))
    assert word in sentence and f"{mean:.1f} percentage points higher in training" in sentence
    assert "20.0 percentage points higher there" in sentence
    assert f"{mean - 20:.1f} percentage points" in sentence


@pytest.mark.parametrize("more, clear", [(0.03, True), (0.01, False), (-0.03, False)])
def test_the_gap_in_auc_is_held_to_a_model_too_small_to_remember(more, clear):
    runs = grid(lengths=LENGTHS, train_auc=lambda cell, L, seed, split: 0.8 + more + 0.01 * (seed - 1) + {
        "rnn": 0.1, "lstm": 0, "gru": -0.1}[cell])
    sentence = discussion.auc_gap(scores(runs))
    assert f"that of the networks is {'clearly' if clear else 'not clearly'} larger" in sentence
    assert "has a gap of 0.100" in sentence and f"is {0.1 + more:.3f} higher in training" in sentence
    assert "L (rank" not in sentence  # equal at every L: no trend to speak of


# -- cells, loss, leak, maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart, said", [(0.03, "differ clearly"), (0.01, "do not differ clearly")])
def test_cells_have_to_differ_by_more_than_one_spreads(apart, said):
    runs = grid(lengths=(5, 7), auc=lambda cell, L, seed, split:
                0.7 + apart * (cell == "gru") + (0.01 * (seed - 1) + 0.1 * (L - 6)) * (cell != "rnn"))
    runs += [run("rnn", 9, auc=0.1), run("lstm", 9, auc=0.1)]  # there is no GRU to set beside them
    sentence = discussion.compare_cells(scores(runs), "roc_auc")
    assert said in sentence and f"GRU {0.7 + apart:.3f}" in sentence and "is 0.020" in sentence


def test_cells_cannot_be_told_apart_by_one_seed_or_alone():
    runs = [run("rnn", auc=0.5), run("gru", auc=0.9)]
    said = discussion.compare_cells(scores(runs), "roc_auc")
    assert "cannot be said from one seed" in said and "clearly" not in said
    assert discussion.compare_cells(scores(runs[:1]), "roc_auc") is None


@pytest.mark.parametrize("end, risen", [(0.63, True), (0.61, False)])
def test_overfitting_is_a_loss_that_rises_again_by_more_than_its_spread(end, risen):
    runs = grid(test_loss=lambda cell, L, seed, split: (0.7, 0.6 + 0.01 * (seed - 1), end + 0.01 * (seed - 1)))
    said = discussion.find_overfitting(runs)
    assert ("In 3 of 3 networks it has risen clearly" in said) == risen == ("from epoch 2 of 3" in said)
    assert ("In no network has it risen clearly" in said) != risen
    assert f"ends at {end:.3f} nats" in said and "below the 0.693" in said
    assert "above the 0.693" in discussion.find_overfitting([run(test_loss=(0.6, 0.7))])
    assert "In no network has it risen since" in discussion.find_overfitting([run(test_loss=(0.7, 0.6))])


@pytest.mark.parametrize("more, clear", [(0.05, True), (0.01, False), (-0.05, False)])
def test_the_leak_is_what_networks_gain_beyond_a_small_model(more, clear):
    def gain(amount):
        return lambda cell, L, seed, split: 0.6 + (split == "random") * (amount + 0.01 * (seed - 1))

    runs = grid(splits=("time", "random"), accuracy=gain(0.1 + more), auc=gain(0.1 + more),
                regression=lambda cell, L, seed, split: 0.6 + 0.1 * (split == "random"),
                regression_auc=lambda cell, L, seed, split: 0.6 + 0.1 * (split == "random"),
                majority=lambda cell, L, seed, split: 0.7 if split == "random" else 0.55)
    said = discussion.effect_of_leak(scores(runs))
    assert said.count("do not gain clearly more") == (0 if clear else 2)
    assert f"{70 + 100 * more:.1f} % (the majority class 70.0 %" in said and "60.0 % (the majority class 55.0 %" in said
    assert f"{0.1 + more:.3f} more. Logistic regression gains 0.100" in said


def test_the_leak_is_asked_of_pairs_alone():
    runs = [run(accuracy=0.6), run(split="random", accuracy=0.8), run(L=7, accuracy=0.1)]
    assert "60.0 %" in discussion.effect_of_leak(scores(runs))
    assert discussion.effect_of_leak(scores(runs[:1])) is None
    assert discussion.effect_of_leak(scores([run(), run(seed=1, split="random")])) is None


def test_world_maps_are_counted_and_compared():
    said = discussion.compare_maps([
        run("rnn", calls="1100"), run("lstm", calls="1000"), run("gru", calls="1110"),
        run("gru", 7, calls="1000"), run("rnn", 9, calls="1100"), run("gru", 9, calls="1100")])
    assert "For 2020-05-01" in said and "4 countries" in said and "RNN 50.0 %, LSTM 25.0 %, GRU 50.0 %" in said
    assert "the share of rises was 45.0 %" in said
    assert "same answer for 75.0 %" in said  # with L = 3 the first and the last country, with L = 9 all
    assert f"agree on {100 * (0.5 * 0.25 * 0.75 + 0.5 * 0.75 * 0.25 + 0.5) / 2:.1f} %" in said


def test_world_maps_are_means_over_the_seeds():
    said = discussion.compare_maps([run(seed=seed, calls=calls) for seed, calls in enumerate(("10", "10", "01"))])
    assert "GRU 50.0 %" in said and "agree" not in said
    halves = discussion.compare_maps([run(seed=seed, calls=calls) for seed, calls in enumerate(("10", "01"))])
    assert "call 0.0 % of 2 countries ascending" in halves  # one half is no rise
    assert discussion.compare_maps([run()]) is None

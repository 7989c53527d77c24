"""The discussion of the sequence study. Each sentence is chosen by a test on the numbers.

A function answers one question, or returns None if the runs that it needs are missing. Other numbers give other
sentences. The networks are compared on the split in time, the only one that asks about days to come.

A difference is called clear if it is larger than the spread over the seeds, the largest value minus the smallest. With
three seeds, normal noise and no true difference, that happens in 4 of 100 cases on either side. With one seed only the
sign of a difference is known.

Read next: why_covid.py, why it comes out so.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd

from tasks.common.style import fixed
from tasks.study.numbers import Paragraph, difference, paragraph, percent, score
from tasks.study.results import CELLS, Run, Study, scores

WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "roc_auc": "AUC"}
SETS = {"train": "training", "test": "test"}


def discussion(study: Study) -> list[Paragraph]:
    """The discussion of the sequence study, none if no run has finished. A paragraph's first sentence is its claim."""
    if not study.covid:
        return []
    table = scores(study.covid)
    runs = [run for run in study.covid if run.config["split"] == "time"]
    answers = of_time_split(runs, table[table["split"] == "time"]) if runs else [
        "No run with the split in time has finished. The random split leaks, as windows overlap: training windows "
        "contain the days that test labels ask about. So nothing is concluded from it alone."]
    found = (warn_if_simulated(study.covid), *answers, effect_of_leak(table))
    return [Paragraph(*re.split(r"(?<=\.) (?=[A-Z])", answer, maxsplit=1)) for answer in found if answer]


def of_time_split(runs: list[Run], table: pd.DataFrame) -> list[str | None]:
    """The questions that the split in time answers: its runs, and the scores of those."""
    return [
        precision_of_scores(runs),
        shares_of_rises(runs),
        # the rule only says yes or no, so its balanced accuracy equals its AUC
        paragraph(compare_with(table, "the one-line rule", "accuracy", "rule"),
                  compare_with(table, "the one-line rule", "balanced_accuracy", "rule_auc"),
                  compare_with(table, "the one-line rule", "roc_auc", "rule_auc"), ranks_but_does_not_decide(table)),
        paragraph(compare_with(table, "logistic regression", "accuracy", "regression"),
                  compare_with(table, "logistic regression", "roc_auc", "regression_auc")),
        paragraph(compare_with(table, "the majority class", "accuracy", "majority"),
                  compare_with(table, "the majority class", "accuracy", "majority", set_name="train")),
        paragraph(effect_of_length(table, "accuracy"), effect_of_length(table, "roc_auc")),
        paragraph(accuracy_gap(table), auc_gap(table)),
        paragraph(compare_cells(table, "accuracy"), compare_cells(table, "roc_auc")),
        find_overfitting(runs),
        compare_maps(runs),
    ]


# -- questions about the runs ----------------------------------------------------------------------------------------


def warn_if_simulated(runs: list[Run]) -> str | None:
    """Is this about the world?"""
    data = runs[0].metrics["data"]
    if not data["simulated"]:
        return None
    return (f"The counts are simulated ({data['source']}): everything below is about the simulation, and nothing "
            "about a real epidemic.")


def precision_of_scores(runs: list[Run]) -> str:
    """How precise are the numbers?"""
    n = share_of_rises(runs[0], "test")[1]
    accuracy = np.mean([run.metrics["test"]["accuracy"] for run in runs])
    error = difference(math.sqrt(accuracy * (1 - accuracy) / n), "accuracy")
    days = n / runs[0].metrics["data"]["countries_kept"]
    seeds = len({run.config["seed"] for run in runs})
    trainings = ("There is one seed: nothing can be said about the spread between trainings, and only the sign of a "
                 "difference is given." if seeds == 1 else
                 f"Numbers are means over {seeds} seeds. A difference is called clear if it is larger than the spread "
                 "over the seeds, the largest value minus the smallest. This is the spread between trainings alone, as "
                 "all networks are tested on the same windows.")
    if seeds == 3:
        trainings += " Without a true difference, chance makes one clear in 4 of 100 cases on either side."
    return (f"{trainings} If the {n:,} test windows were independent, an accuracy would have a standard error of "
            f"{error}. They are {days:.0f} days of the same countries, so the true error is larger. And the best of "
            "many networks, chosen by its test score, looks better than it is.")


def shares_of_rises(runs: list[Run]) -> str:
    """What does a constant answer score, and is it the same in training and in test?"""
    shortest, longest = (pick(runs, key=lambda run: run.config["L"]) for pick in (min, max))
    ends = [shortest, longest] if longest.config["L"] > shortest.config["L"] else [shortest]
    learnt = " and ".join(f"{percent(share_of_rises(run, 'train')[0])} with L = {run.config['L']}" for run in ends)
    majority = " and ".join(percent(run.metrics["train"]["majority"]) for run in ends)
    (train, m), (test, n) = (share_of_rises(shortest, set_name) for set_name in ("train", "test"))
    unlike = abs(test - train) > 2 * math.sqrt(train * (1 - train) / m + test * (1 - test) / n)
    rule = shortest.metrics["baselines"]["rule"]["test"]["accuracy"]
    return (f"New cases rise after {percent(test)} of the test windows; of the training windows, after {learnt}. In "
            f"this the test days are {'unlike' if unlike else 'much like'} the training days. Always giving the more "
            f"frequent answer is right for {percent(shortest.metrics['test']['majority'])} of the test windows and for "
            f"{majority} of the training windows. The one-line rule, up if the last step was down, is right for "
            f"{percent(rule)} of the test windows. Compare every accuracy with these.")


def find_overfitting(runs: list[Run]) -> str:
    """Does the test log loss rise again after its lowest epoch?"""
    losses = [run.history.set_index("epoch")["test_loss"] for run in runs]
    table = pd.DataFrame([run.config for run in runs])[["cell", "L", "seed"]].assign(
        lowest=[loss.idxmin() for loss in losses], end=[loss.iloc[-1] for loss in losses],
        rise=[loss.iloc[-1] - loss.min() for loss in losses])
    networks = table.groupby(["cell", "L"])
    risen = networks["rise"].mean() > networks["end"].agg(spread).fillna(0)
    end, fair = table["end"].mean(), math.log(2)
    answer = (f"The test log loss ends at {end:.3f} nats per window on average, {'above' if end > fair else 'below'} "
              f"the {fair:.3f} of always saying 50 %.")
    if not risen.any():
        return f"{answer} In no network has it risen {clearly(table)}since its lowest epoch."
    return (f"{answer} In {risen.sum()} of {len(risen)} networks it has risen {clearly(table)}since its lowest; by "
            f"{table['rise'].mean():.3f} in the mean of all, from epoch {table['lowest'].median():.0f} of "
            f"{len(runs[0].history)} in the median. To stop there would need a validation set: days that are neither "
            "for training nor for test.")


def compare_maps(runs: list[Run]) -> str | None:
    """How many countries are called ascending, and do the cells agree on which?"""
    asked = [run for run in runs if run.probabilities is not None]
    if not asked:
        return None
    table = pd.concat({(run.config["cell"], run.config["L"], run.config["seed"]):
                       run.probabilities.set_index("country")["probability"] for run in asked}, axis=1)
    calls = table.T.groupby(level=[0, 1]).mean() > 0.5  # (cell, L) x country
    share = calls.mean(axis=1).groupby(level=0).mean()
    called = ", ".join(f"{cell.upper()} {percent(share[cell])}" for cell in CELLS if cell in share)
    day = pd.Timestamp(asked[0].probabilities["last_day"].iloc[0]) + pd.Timedelta(days=1)
    answer = (f"For {day:%Y-%m-%d} the maps call {percent(share.mean())} of {calls.shape[1]} countries ascending. "
              f"These are means over the seeds and L; by cell {called}. In the test windows the share of rises was "
              f"{percent(share_of_rises(asked[0], 'test')[0])}.")
    together = [of_cells for _, of_cells in calls.groupby(level=1) if len(of_cells) > 1]
    if not together:
        return answer
    agree = np.mean([(of_cells.nunique() == 1).mean() for of_cells in together])
    chance = np.mean([p.prod() + (1 - p).prod() for p in (of_cells.mean(axis=1) for of_cells in together)])
    return (f"{answer} With the same L all cells give the same answer for {percent(agree)} of the countries. If each "
            f"cell chose its countries independently, they would agree on {percent(chance)}.")


# -- questions about the table of scores -----------------------------------------------------------------------------


def compare_with(table: pd.DataFrame, name: str, quantity: str, baseline: str, set_name: str = "test") -> str | None:
    """Is any network (a cell with an L) clearly better than a baseline?"""
    found = leads(table, f"{set_name}_{quantity}", f"{set_name}_{baseline}")
    if found.empty:
        return None
    n, better, worse, best = len(found), found["better"].sum(), found["worse"].sum(), found["lead"].idxmax()
    above = {0: "no network is", n: "every network is"}.get(
        better, f"{better} of {n} networks {'is' if better == 1 else 'are'}")
    below = "" if better == n else f", and {worse or 'none'} of {n} {clearly(table)}below"
    own, other = (score(found.loc[best, column], quantity) for column in ("own", "simple"))
    width = found.loc[best, "spread"]
    within = "" if math.isnan(width) else f" (spread {difference(width, quantity)})"
    others = baselines_of(table.set_index(["cell", "L"]).loc[[best]], quantity, set_name, without=name)
    return (f"By {WORDS[quantity]} on the {SETS[set_name]} windows {above} {clearly(table)}above {name}{below}. The "
            f"best beside it, {best[0].upper()} with L = {best[1]}, has {own}{within}, {name} {other}{others}.")


def ranks_but_does_not_decide(table: pd.DataFrame) -> str | None:
    """Are probabilities worth more than the answers that are cut from them at one half?"""
    decides, ranks = leads(table, "test_accuracy", "test_rule"), leads(table, "test_roc_auc", "test_rule_auc")
    if decides["better"].any() or not ranks["better"].any():
        return None
    return ("So the networks know more than the rule about the order of the countries and days, but not about which "
            "probabilities exceed one half.")


def effect_of_length(table: pd.DataFrame, quantity: str) -> str | None:
    """Does it fall or rise as L grows? At every L the same days are asked about."""
    values = by_length(table, f"test_{quantity}")
    if len(values) < 2:
        return None
    first, last = (f"{score(values[L], quantity)} with L = {L}" for L in (values.index[0], values.index[-1]))
    ends = f"{first}, {last}{baselines_of(table, quantity)}"
    found = trend(values)
    if found is None:
        return (f"From these {len(values)} lengths nothing can be said about whether test {WORDS[quantity]} depends on "
                f"L: {ends}.")
    word, r, chance = found
    of_cells = {cell: trend(by_length(of_cell, f"test_{quantity}")) for cell, of_cell in table.groupby("cell")}
    of_cells = ", ".join(f"{cell.upper()} {of_cells[cell][0]} ({fixed(of_cells[cell][1], 2)})" for cell in CELLS
                         if of_cells.get(cell))
    return (f"Test {WORDS[quantity]}, the mean over cells and seeds, {word} as L grows: {ends}. Its rank correlation "
            f"with L is {fixed(r, 2)}; shuffling the {len(values)} lengths gives a correlation within ±{chance:.2f} in "
            f"95 of 100 cases. By cell: {of_cells}.")


def accuracy_gap(table: pd.DataFrame) -> str | None:
    """Does the accuracy lost between training and test grow with L, and is it skill?"""
    values = by_length(table, "gap")
    if values.empty:
        return None
    majority = by_length(table.assign(gap=table["train_majority"] - table["test_majority"]), "gap").mean()
    return (f"Accuracy is {difference(values.mean(), 'accuracy')} higher in training than in test"
            f"{trend_phrase(values)}. The share of the majority class is {difference(majority, 'accuracy')} higher "
            f"there, which leaves {difference(values.mean() - majority, 'accuracy')}.")


def auc_gap(table: pd.DataFrame) -> str | None:
    """The same by AUC, which does not depend on the share of rises; and is it memory?"""
    gaps = table.assign(own=table["train_roc_auc"] - table["test_roc_auc"],
                        simple=table["train_regression_auc"] - table["test_regression_auc"])
    values, simple = by_length(gaps, "own"), by_length(gaps, "simple")
    if values.empty:
        return None
    more = (gaps["own"] - gaps["simple"]).groupby(gaps["seed"]).mean()
    memory = (f"that of the networks is {'' if is_clear(more) else 'not '}{clearly(table)}larger (by "
              f"{difference(more.mean(), 'roc_auc')})")
    return (f"AUC, which does not depend on that share, is {difference(values.mean(), 'roc_auc')} higher in training "
            f"than in test{trend_phrase(values)}. Logistic regression, which with 2 (L + 1) parameters is too small "
            f"to memorise windows, has a gap of {difference(simple.mean(), 'roc_auc')}; {memory}.")


def compare_cells(table: pd.DataFrame, quantity: str) -> str | None:
    """Do the cells differ clearly, on the mean over L?"""
    runs = table.pivot_table(index=["L", "seed"], columns="cell", values=f"test_{quantity}").dropna()
    if runs.shape[1] < 2 or runs.empty:
        return None
    of_seeds = runs.groupby("seed").mean()
    means = of_seeds.mean().sort_values(ascending=False)
    apart = ", ".join(f"{cell.upper()} {score(mean, quantity)}" for cell, mean in means.items())
    if len(of_seeds) == 1:
        return (f"Whether the cells differ in test {WORDS[quantity]} cannot be said from one seed. The means over L "
                f"are {apart}{baselines_of(table, quantity)}.")
    most = spread(of_seeds).max()
    differ = "differ clearly" if means.iloc[0] - means.iloc[-1] > most else "do not differ clearly"
    return (f"In test {WORDS[quantity]}, the mean over L, the cells {differ}. They have {apart}"
            f"{baselines_of(table, quantity)}; the largest spread over the seeds of one is "
            f"{difference(most, quantity)}.")


def effect_of_leak(table: pd.DataFrame) -> str | None:
    """What does the random split add, beyond what it adds to a model that is too small to memorise windows?"""
    answers = []
    for quantity, simple in (("accuracy", "test_regression"), ("roc_auc", "test_regression_auc")):
        own = f"test_{quantity}"
        both = table.dropna(subset=[own, simple])
        both = both[both.groupby(["cell", "L", "seed"])["split"].transform("nunique") == 2]
        if both.empty:
            continue
        of_splits = dict(iter(both.groupby("split")))
        random, time = (f"{score(of_splits[split][own].mean(), quantity)}{baselines_of(of_splits[split], quantity)}"
                        for split in ("random", "time"))
        means = both.groupby(["split", "seed"])[[own, simple]].mean()
        gains = means.loc["random"] - means.loc["time"]
        more = gains[own] - gains[simple]
        answers.append(
            f"Test {WORDS[quantity]} is {random} under the random split and {time} under the split in time, "
            f"{difference(gains[own].mean(), quantity)} more. Logistic regression gains "
            f"{difference(gains[simple].mean(), quantity)}; the networks {'' if is_clear(more) else 'do not '}gain "
            f"{clearly(both)}more ({difference(more.mean(), quantity)}).")
    return paragraph(*answers, answers and "Logistic regression is too small to remember overlapping windows: it gains "
                                           "because it is tested on days like those it was trained on. Only what the "
                                           "networks gain beyond it can be the leak.")


# -- tests --------------------------------------------------------------------------------------------------------


def one_seed(table: pd.DataFrame) -> bool:
    """Is there only one seed, and so no spread?"""
    return table["seed"].nunique() == 1


def clearly(table: pd.DataFrame) -> str:
    """The word for a clear difference; empty with one seed, where clear has no meaning."""
    return "" if one_seed(table) else "clearly "


def spread(values: pd.Series | pd.DataFrame) -> float | pd.Series:
    """The largest value minus the smallest, over the seeds; nan for a single seed."""
    return values.max() - values.min() if len(values) > 1 else math.nan


def is_clear(of_seeds: pd.Series) -> bool:
    """Is the mean over the seeds above zero by more than the spread? With one seed: is it above zero?"""
    return bool(of_seeds.mean() > (spread(of_seeds) if len(of_seeds) > 1 else 0))


def leads(table: pd.DataFrame, own: str, baseline: str) -> pd.DataFrame:
    """For each network (cell, L) the means over the seeds of its score and of the baseline, and its lead.

    Columns: own, simple, lead = own - simple, spread; better and worse: is the lead, or its opposite, clear?
    """
    runs = table[["cell", "L"]].assign(own=table[own], simple=table[baseline], lead=table[own] - table[baseline])
    runs = runs.dropna()
    networks = runs.groupby(["cell", "L"])
    found = networks.mean().assign(spread=networks["lead"].agg(spread))
    margin = 0 if one_seed(table) else found["spread"]
    return found.assign(better=found["lead"] > margin, worse=-found["lead"] > margin)


def by_length(table: pd.DataFrame, quantity: str) -> pd.Series:
    """The mean over cells and seeds for each L that all of them have."""
    return table.pivot_table(index="L", columns=["cell", "seed"], values=quantity).dropna().mean(axis=1)


def trend(values: pd.Series) -> tuple[str, float, float] | None:
    """Do values fall or rise along their index? The answer, the rank correlation, and what that is by chance.

    Spearman's rho of the n values with their index. It says something if it is beyond what 95 of 100 of 9,999 shuffles
    of the values stay within, the third number. None where it cannot be: for fewer than 5 values (of 4, one order in 12
    is perfect), and where all are equal.
    """
    if len(values) < 5 or values.nunique() == 1:
        return None
    x, y = (ranks - ranks.mean() for ranks in (values.index.to_series().rank().to_numpy(), values.rank().to_numpy()))
    norm = math.sqrt((x @ x) * (y @ y))
    shuffled = np.random.default_rng(0).permuted(np.tile(y, (9999, 1)), axis=1) @ x / norm
    r, chance = x @ y / norm, np.quantile(abs(shuffled), 0.95, method="higher")
    if abs(r) <= chance + 1e-9:
        return "neither falls nor rises", r, chance
    return "rises" if r > 0 else "falls", r, chance


def trend_phrase(gaps: pd.Series) -> str:
    """How a gap changes with L, as the end of a sentence; empty if that is not known."""
    found = trend(gaps)
    words = {"rises": "grows", "falls": "shrinks", "neither falls nor rises": "neither grows nor shrinks"}
    return f", and {words[found[0]]} with L (rank correlation {fixed(found[1], 2)})" if found else ""


def baselines_of(table: pd.DataFrame, quantity: str, set_name: str = "test", without: str = "") -> str:
    """The baselines that come with every accuracy: the majority class and the one-line rule, on the same windows."""
    simple = {"the majority class": "majority", "the one-line rule": "rule"}
    others = ", ".join(f"{name} {percent(table[f'{set_name}_{column}'].mean())}" for name, column in simple.items()
                       if name != without)
    return f" ({others})" if quantity == "accuracy" else ""


def share_of_rises(run: Run, set_name: str) -> tuple[float, int]:
    """The share of ones among the labels of a set, and the number of labels."""
    zeros, ones = (sum(row) for row in run.metrics[set_name]["confusion"])
    return ones / (zeros + ones), zeros + ones

"""The sequence study from data to files, on the simulated epidemic; its published numbers, on the real counts."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression

import nn
from tasks.covid import train as covid

SHORT = {"cell": "gru", "L": 3, "csv": "simulated", "epochs": 3, "hidden": 4}


def prepare(config, log):
    return covid.prepare(config, covid.read(config, log), log)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on simulated data: its options, its metrics, and what it said."""
    config = covid.CovidOptions(**SHORT, out=tmp_path_factory.mktemp("covid") / "run")
    said = io.StringIO()
    return config, covid.run(config, Console(file=said, width=200)), said.getvalue()


def test_a_run_writes_all_that_it_promises(finished):
    config, metrics, _ = finished
    assert sorted(path.name for path in config.out.iterdir()) == [
        "accuracy.png", "config.json", "correlation.png", "correlation_excerpt.png", "history.csv", "loss.png",
        "metrics.json", "model.safetensors", "probabilities.csv", "why.png", "world_map.svg"]
    assert json.loads((config.out / "metrics.json").read_text()) == metrics
    history = pd.read_csv(config.out / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    assert history["test_accuracy"].iloc[-1] == pytest.approx(metrics["test"]["accuracy"])
    assert history["test_loss"].iloc[-1] == pytest.approx(metrics["test"]["log_loss"], rel=1e-5)
    for name in ("accuracy", "loss", "correlation", "correlation_excerpt"):
        assert (config.out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_simulated_data_says_so_wherever_it_shows(finished):
    config, metrics, said = finished
    assert metrics["data"]["simulated"] is True and "simulated" in metrics["data"]["source"]
    assert "simulated" in (config.out / "world_map.svg").read_text()
    assert "simulated" in said and "simulated" in (config.out / "config.json").read_text()


def test_the_saved_weights_give_the_saved_probabilities(finished):
    config, metrics, _ = finished
    model = covid.Classifier("gru", 4, 1, np.random.default_rng(99))
    model.load(config.out / "model.safetensors")
    assert metrics["parameters"] == sum(p.size for p in model.parameters())
    new_cases = covid.load_cases("simulated").new_cases
    saved = pd.read_csv(config.out / "probabilities.csv", keep_default_na=False)  # Namibia's code is "na"
    assert list(saved["country"]) == list(new_cases.columns)
    assert set(saved["last_day"]) == {"2020-04-12"} and "na" in set(saved["iso2"])
    x = covid.inputs(new_cases.to_numpy()[-3:].T)
    logits = model(nn.Tensor(x)).data
    np.testing.assert_allclose(saved["probability"], 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), rtol=1e-5)


def test_the_rule_and_the_majority_stand_beside_the_network(finished):
    config, metrics, _ = finished
    data = prepare(config, lambda line: None)
    for part, windows in (("train", data.train), ("test", data.test)):
        up = np.array([values[2] < values[1] for values in windows.values])
        assert metrics["baselines"]["rule"][part]["accuracy"] == pytest.approx((up == windows.label).mean())
        assert metrics["baselines"]["rule"][part]["log_loss"] is None
        assert metrics[part]["majority"] == pytest.approx(max(windows.label.mean(), 1 - windows.label.mean()))


@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")  # of scikit-learn 1.7, with a newer SciPy
def test_logistic_regression_is_trained_to_the_end(finished):
    config, metrics, _ = finished
    data = prepare(config, lambda line: None)
    oracle = LogisticRegression(C=np.inf, max_iter=5000).fit(covid.inputs(data.train.values)[:, :, 0], data.train.label)
    p = oracle.predict_proba(covid.inputs(data.test.values)[:, :, 0])[:, 1]
    found = metrics["baselines"]["logistic_regression"]["test"]
    expected = covid.classification(data.test.label, p)
    for name in ("accuracy", "balanced_accuracy", "roc_auc", "log_loss", "brier"):
        assert found[name] == pytest.approx(expected[name], abs=0.01), name


def test_microbatches_change_nothing_but_memory(monkeypatch):
    config = covid.CovidOptions(L=3, csv="simulated", hidden=4)
    windows = prepare(config, lambda line: None).train[:1500]
    results = []
    for size in (100, 10_000):
        monkeypatch.setattr(covid, "MICRO_BATCH", size)
        state = covid.build(config)
        list(covid.train(state, windows, epochs=3))
        results.append(covid.predict(state.model, covid.inputs(windows.values)))
    np.testing.assert_allclose(*results, atol=1e-5)


def test_the_data_are_part_of_what_a_run_is(tmp_path):
    """So that --resume does not go on with other data."""
    options = covid.CovidOptions(csv="simulated")
    counts = covid.read(options, lambda line: None)
    changed = counts.cumulative.copy()
    changed.iloc[-1, 0] += 1
    one, other = (covid.run_config(options, each) for each in (counts, dataclasses.replace(counts, cumulative=changed)))
    assert {name for name in one if one[name] != other[name]} == {"data_sha256"}


@pytest.mark.parametrize("N", [1, 2048, 2049, 13_604, 10**6])
def test_memory_does_not_grow_with_the_windows(N):
    count = covid.micro_batch_count(N)
    assert -(-N // count) <= covid.MICRO_BATCH and (count == 1 or count % covid.THREADS == 0)


def test_a_name_is_shown_and_never_obeyed(tmp_path, capsys):
    """A formula of a spreadsheet, markup of the terminal, of a web page and of matplotlib."""
    names = ['=HYPERLINK("http://x")', "+1", "@SUM(1)", "-2", "[red]Chad[/red]", "<b>Peru</b>", "$x^2$"]
    days = [f"2/{day}/20" for day in range(1, 11)]
    rows = pd.DataFrame([[name, *(np.arange(10) ** 2 + i)] for i, name in enumerate(names)])
    rows.to_csv("[bold]a.csv", index=False, header=["Country/Region", *days])
    config = covid.CovidOptions(csv="[bold]a.csv", L=3, threshold=0, epochs=1, hidden=2, out=Path("run"))
    covid.run(config, Console(width=200))
    said = capsys.readouterr().out
    assert said.count("[bold]a.csv") == 2 and "[red]Chad[/red]" in said
    with open("run/probabilities.csv", newline="") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    assert sorted(cells) == sorted([f"'{name}" for name in names[:4]] + names[4:])
    assert "<b>Peru</b>" not in Path("run/world_map.svg").read_text()


def test_the_training_curve_is_what_each_step_saw_before_it(monkeypatch):
    monkeypatch.setattr(covid, "MICRO_BATCH", 500)  # several micro-batches, whose numbers are added up
    data = prepare(covid.CovidOptions(L=3, csv="simulated", hidden=4), lambda line: None)
    state, before = covid.build(covid.CovidOptions(L=3, hidden=4)), []
    x, label = covid.inputs(data.train.values), data.train.label
    before.append(covid.predict(state.model, x))
    for _ in covid.train(state, data.train, 3, covid.evaluation(state.model, data.test)):
        before.append(covid.predict(state.model, x))  # after the step, and again with the record of its epoch
    for record, p in zip(state.history, before[::2], strict=False):
        given = np.where(label == 1, p, 1 - p)
        assert record["train_loss"] == pytest.approx(-np.log(given).mean(), rel=1e-5)
        assert record["train_accuracy"] == pytest.approx(((p > 0.5) == label).mean(), rel=1e-12)
    p = before[-1]
    assert state.history[-1]["train_accuracy"] != ((p > 0.5) == label).mean()


def test_a_probability_of_one_half_is_no_rise_in_the_curves():
    data = prepare(covid.CovidOptions(L=3, csv="simulated", hidden=4), lambda line: None)
    model = covid.build(covid.CovidOptions(L=3, hidden=4)).model
    for p in model.parameters():
        p.data[...] = 0
    found = covid.evaluation(model, data.test)({"loss": 0.5, "accuracy": 0.5})
    assert found["test_accuracy"] == (data.test.label == 0).mean()


def test_the_random_split_says_that_it_leaks():
    lines = []
    prepare(covid.CovidOptions(csv="simulated", split="random"), lines.append)
    assert any("leaks" in line for line in lines)


def test_a_threshold_that_keeps_nobody_is_refused():
    with pytest.raises(covid.BadInput, match="--threshold"):
        prepare(covid.CovidOptions(csv="simulated", threshold=0.9999), lambda line: None)


def test_the_same_seed_gives_the_same_bytes(finished):
    config, metrics, _ = finished
    again = covid.run(covid.CovidOptions(**SHORT, out=Path("again")), Console(file=io.StringIO()))
    assert {**again, "seconds_per_epoch": 0} == {**metrics, "seconds_per_epoch": 0}
    for name in ("model.safetensors", "probabilities.csv", "world_map.svg"):
        assert (Path("again") / name).read_bytes() == (config.out / name).read_bytes()


@pytest.mark.realdata
def test_published_facts_of_the_real_counts():
    data = prepare(covid.CovidOptions(L=5), lambda line: None)
    assert (len(data.correlations), len(data.kept), len(data.windows)) == (185, 179, 13_604)
    assert round(100 * data.windows.label.mean(), 1) == 21.9


@pytest.mark.realdata
def test_the_network_learns_what_is_there_to_learn():
    """At L = 7 with the time split, other methods reach a ROC AUC of 0.729 on the test days."""
    config = covid.CovidOptions(cell="lstm", L=7)
    data = prepare(config, lambda line: None)
    state = covid.build(config)
    list(covid.train(state, data.train, config.epochs))
    found = covid.classification(data.test.label, covid.predict(state.model, covid.inputs(data.test.values)))
    assert found["roc_auc"] > 0.71

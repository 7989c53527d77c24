"""What the figures of the page draw, and that their SVG can stand in one page with others."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from tasks.covid.figures import CELL_COLOUR, SET_COLOUR
from tasks.study.figures import POINTS, svg
from tasks.study.figures_covid import curves, curves_by_length, scores_over_length
from tasks.study.figures_vae import WEIGHT_COLOUR, elbo_by_weight, terms_by_weight
from tasks.study.results import weight_name
from tests.tasks.study import made_up

LENGTHS = (3, 5, 7, 9, 10, 15, 20, 30)


def run(cell="rnn", L=7, split="time", seed=0, epochs=20, source="made up", accuracy=None, auc=0.7, simple=0.0):
    """Training accuracy goes from 0.5 to 0.9 and test accuracy is 0.2 less, all a little higher for a higher seed."""
    train = np.linspace(0.5, 0.9, epochs) + 0.01 * seed

    def part(majority):
        return made_up.scores(accuracy or 0.6 + 0.01 * seed, auc, log_loss=0.65, majority=majority)

    baseline = made_up.baseline(0.65 + simple, 0.61 + simple)
    return made_up.sequence_run(
        cell, L, split, seed, train=part(0.79 + 0.01 * seed), test=part(0.57 + 0.01 * seed), rule=baseline,
        regression=baseline, source=source,
        history={"epoch": range(1, epochs + 1), "train_accuracy": train, "test_accuracy": train - 0.2,
                 "train_loss": 2 - train, "test_loss": 2.2 - train})


def image_run(kl=1.0, per_channel=False, end=100.0, term=10.0, constant=120.0, epochs=20):
    test = np.linspace(end + 50, end, epochs)
    return made_up.image_run(
        kl, per_channel, data={"source": "drawn (simulated)"},
        test={"negative_elbo": end, "reconstruction": end - term, "kl": term, "constant_image": constant},
        history={"epoch": range(1, epochs + 1), "train_negative_elbo": test - 3, "test_negative_elbo": test})


SEEDS = [run(seed=seed) for seed in range(3)]
WEIGHTS = [image_run(0.0, end=140, term=90), image_run(1.0), image_run(100.0, end=121, term=0.5),
           image_run("learned", end=105, term=30), image_run("anneal", end=99),
           image_run(per_channel=True, constant=130)]


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines}


def texts(root) -> list:
    return [element for element in root.iter() if element.tag.endswith("}text")]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# -- SVG ----------------------------------------------------------------------------------------------------------


def test_svg_is_an_element_whose_size_and_style_the_page_decides():
    text = svg(curves(SEEDS, "rnn", 7, "accuracy", "time"))
    root = ElementTree.fromstring(text)
    assert text.startswith("<svg ") and root.get("width") is None and root.get("height") is None
    assert root.get("viewBox").split()[:3] == ["0", "0", "360"]
    assert (root.get("role"), root.get("aria-label")) == ("img", "RNN, L = 7, time split, made up")
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "text" in tags and not tags & {"style", "metadata", "title", "script"}
    assert {"epoch", "RNN, L = 7, time split, made up", "60 %"} <= {element.text for element in texts(root)}
    assert all("'DejaVu Sans', sans-serif" in element.get("style") for element in texts(root))


def test_figures_share_no_id_and_refer_to_their_own():
    figures = [svg(curves_by_length(SEEDS, "rnn", quantity, "time")) for quantity in ("accuracy", "loss")]
    figures.append(svg(scores_over_length(SEEDS, "accuracy", "time")))
    found = [re.findall(r' id="(.*?)"', text) for text in figures]
    for text, ids in zip(figures, found, strict=True):
        referred = {name for pair in re.findall(r'url\(#(.*?)\)|href="#(.*?)"', text) for name in pair if name}
        assert referred == set(ids) and len(ids) == len(set(ids)) > 0
    assert len(set().union(*found)) == sum(map(len, found))


def test_svg_is_the_same_twice_and_leaves_the_settings_alone():
    before = dict(matplotlib.rcParams)
    first, second = (svg(terms_by_weight(WEIGHTS)) for _ in range(2))
    assert first == second and dict(matplotlib.rcParams) == before


def test_names_are_text():
    odd = "$x_1$ <script>alert(1)</script> & \"q\""
    root = ElementTree.fromstring(svg(curves([run(source=odd)], "rnn", 7, "loss", "time")))
    assert root.get("aria-label").endswith(odd)
    assert odd in " ".join(element.text for element in texts(root))  # in lines


def test_a_figure_of_the_whole_grid_is_small():
    grid = [run(L=L, seed=seed, epochs=300) for L in LENGTHS for seed in range(3)]
    for quantity in ("accuracy", "loss"):
        assert len(svg(curves_by_length(grid, "rnn", quantity, "time"))) < 65_000


# -- curves -------------------------------------------------------------------------------------------------------


def test_curves_are_means_in_a_band_from_least_to_most():
    others = [run("lstm"), run(L=9), run(split="random")]
    axes = curves(SEEDS + others, "rnn", 7, "accuracy", "time").axes[0]
    for part, colour in SET_COLOUR.items():
        line = lines(axes)[part]
        np.testing.assert_allclose(line.get_ydata(), SEEDS[1].history[f"{part}_accuracy"])
        assert line.get_color() == colour and list(line.get_xdata()) == list(range(1, 21))
    for band, part in zip(axes.collections, SET_COLOUR, strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        history = SEEDS[0].history[f"{part}_accuracy"]
        assert (heights.min(), heights.max()) == pytest.approx((history.min(), history.max() + 0.02))
    offsets = re.findall(r"stroke-dasharray[^\"]*stroke-dashoffset: ([\d.]+)", svg(axes.figure))
    assert len(set(offsets)) == 2  # so that two equal shares show as two lines
    shares = {part: lines(axes)[f"{part}: majority class"].get_ydata()[0] for part in SET_COLOUR}
    assert shares == pytest.approx({"train": 0.8, "test": 0.58})


def test_loss_has_no_majority_and_one_seed_no_band():
    axes = curves([run()], "rnn", 7, "loss", "time").axes[0]
    assert set(lines(axes)) == {"train", "test"} and not axes.collections
    assert axes.get_ylabel() == "cross-entropy (nats per window)"


def test_the_first_tenth_may_leave_the_axis_and_no_more():
    odd = run(epochs=20)
    odd.history.loc[:1, "train_loss"] = 50.0
    axes, = curves([odd], "rnn", 7, "loss", "time").axes
    assert axes.get_ylim()[1] < 2 and [text.get_text() for text in axes.texts] == ["the first epochs are outside"]
    flat = run(epochs=20)
    flat.history[["train_loss", "test_loss"]] = 0.6
    assert not curves([flat], "rnn", 7, "loss", "time").axes[0].texts
    odd.history.loc[2, "train_loss"] = 50.0
    assert curves([odd], "rnn", 7, "loss", "time").axes[0].get_ylim()[1] > 50


def test_the_axis_has_room_for_band_and_majority():
    low, high = curves([run(seed=0), run(seed=40)], "rnn", 7, "accuracy", "time").axes[0].get_ylim()
    assert 0.2 < low < 0.3 + 0.4 * 2 / 19 and 1.3 < high < 1.4
    flat = run(epochs=5)
    flat.history[["train_accuracy", "test_accuracy"]] = 0.58
    low, high = curves([flat], "rnn", 7, "accuracy", "time").axes[0].get_ylim()
    assert low < 0.58 and high > 0.8


def test_long_curves_are_thinned_with_both_ends_kept():
    epochs = lines(curves([run(epochs=1000)], "rnn", 7, "loss", "time").axes[0])["test"].get_xdata()
    assert len(epochs) == POINTS and (epochs[0], epochs[-1]) == (1, 1000)
    assert np.diff(epochs).max() <= 1 + np.diff(epochs).min()


def test_one_epoch_can_be_seen():
    line = lines(curves([run(epochs=1)], "rnn", 7, "loss", "time").axes[0])["test"]
    assert line.get_marker() == "o" and len(line.get_xdata()) == 1
    assert {one.get_marker() for one in elbo_by_weight([image_run(epochs=1)]).axes[0].lines[:2]} == {"o"}


def test_one_length_can_be_seen():
    found = lines(scores_over_length(SEEDS, "accuracy", "time").axes[0])
    assert (found["RNN"].get_marker(), found["one-line rule"].get_marker()) == ("o", "_")


def test_a_panel_for_each_length_on_the_same_axes():
    runs = [run(L=L, seed=seed) for L in (15, 3, 30) for seed in (0, 2)] + [run("gru", L=5), run(L=9, split="random")]
    runs[0].history["test_accuracy"] = 0.1  # L = 15, seed 0
    runs[1].history.loc[0, "test_accuracy"] = -9  # the first epoch may leave the axis
    figure = curves_by_length(runs, "rnn", "accuracy", "time")
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == ["L = 3", "L = 15", "L = 30"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1 and 0 < figure.axes[0].get_ylim()[0] < 0.1
    assert lines(panels["L = 15"])["test"].get_ydata()[-1] == pytest.approx((0.1 + 0.72) / 2)
    assert lines(panels["L = 3"])["test"].get_ydata()[-1] == pytest.approx(0.71)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "epoch", "epoch"]
    assert legend(figure) == ["train", "train: majority class", "test", "test: majority class", "test: one-line rule"]


# -- scores -------------------------------------------------------------------------------------------------------


def test_scores_are_means_with_bars_from_least_to_most():
    runs = [run(cell, L, seed=seed) for cell in ("gru", "rnn") for L in (3, 30) for seed in (0, 1, 2)]
    runs += [run("rnn", 3, "random", accuracy=0.99), run("rnn", 30, seed=3, accuracy=0.6)]
    figure = scores_over_length(runs, "accuracy", "time")
    axes = figure.axes[0]
    line, bars = lines(axes)["RNN"], axes.collections[0]
    np.testing.assert_allclose(line.get_ydata(), [0.61, (0.6 + 0.61 + 0.62 + 0.6) / 4])
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0.6, 0.62], [0.6, 0.62]])
    np.testing.assert_array_equal([bar[0, 0] for bar in bars.get_segments()], line.get_xdata())
    np.testing.assert_allclose(line.get_xdata(), [3, 30], rtol=0.04)
    assert line.get_color() == CELL_COLOUR["rnn"] == to_hex(bars.get_color()[0]).upper()
    assert lines(axes)["GRU"].get_color() == CELL_COLOUR["gru"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "30"]
    assert set(legend(figure)) == {"RNN", "GRU", "one-line rule", "logistic regression", "majority class"}
    assert axes.get_ylabel() == "test accuracy (% of windows)"


@pytest.mark.parametrize("quantity, simple", [
    ("accuracy", {"one-line rule": 0.65, "logistic regression": 0.65, "majority class": 0.58}),
    ("balanced_accuracy", {"one-line rule": 0.61, "always the same answer": 0.5}),
    ("roc_auc", {"one-line rule": 0.61, "logistic regression": 0.61, "always the same answer": 0.5}),
    ("log_loss", {"always 50 %": -np.log(0.5)}),
])
def test_what_is_simple_stands_beside(quantity, simple):
    runs = [run(seed=seed, simple=seed / 50 - 0.02) for seed in range(3)]  # the means over the seeds are drawn
    axes = scores_over_length(runs, quantity, "time").axes[0]
    found = {name: line.get_ydata()[0] for name, line in lines(axes).items() if name != "RNN"}
    assert found == pytest.approx(simple)


def test_bars_of_one_length_stand_apart():
    runs = [run(cell, L) for cell in CELL_COLOUR for L in (9, 10)]
    axes = scores_over_length(runs, "accuracy", "time").axes[0]
    places = [lines(axes)[cell.upper()].get_xdata() for cell in CELL_COLOUR]
    assert len({place[0] for place in places}) == 3
    assert max(place[0] for place in places) < min(place[1] for place in places)  # and stay with their own L


def test_a_score_that_is_missing_is_left_out():
    axes = scores_over_length([run(auc=None), run(L=9)], "roc_auc", "time").axes[0]
    np.testing.assert_allclose(lines(axes)["RNN"].get_ydata(), [np.nan, 0.7])
    svg(axes.figure)


# -- images -------------------------------------------------------------------------------------------------------


def test_every_weight_of_the_study_has_a_name_and_a_colour_of_its_own():
    names = [weight_name(one.config) for one in WEIGHTS]
    assert names == ["weight 0", "weight 1", "weight 100", "learned", "0 to 1", "weight 1, each channel by itself"]
    assert len({WEIGHT_COLOUR[name] for name in names}) == 6


def test_learning_curves_of_all_weights():
    figure = elbo_by_weight(WEIGHTS)
    axes = figure.axes[0]
    for one in WEIGHTS:
        name = weight_name(one.config)
        own = [line for line in axes.lines if to_hex(line.get_color()) == WEIGHT_COLOUR[name].lower()]
        assert [line.get_linestyle() for line in own] == ["-", "--"] and own[0].get_label() == name
        np.testing.assert_allclose(own[0].get_ydata(), one.history["test_negative_elbo"])
        np.testing.assert_allclose(own[1].get_ydata(), one.history["train_negative_elbo"])
    assert lines(axes)["best constant image"].get_ydata()[0] == 120  # not the grey one
    assert legend(figure) == [*WEIGHT_COLOUR, "best constant image", "dashed: training images"]
    low, high = axes.get_ylim()
    assert low < 96 and 143 < high < 192 and "(simulated)" in figure.get_suptitle()


def test_the_two_terms_and_the_line_of_the_best_sum():
    figure = terms_by_weight(WEIGHTS)
    axes = figure.axes[0]
    for one in WEIGHTS:
        point = lines(axes)[weight_name(one.config)]
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (
            one.metrics["test"]["kl"], one.metrics["test"]["reconstruction"])
        assert point.get_color() == WEIGHT_COLOUR[weight_name(one.config)]
    best = lines(axes)["same sum as the best"]
    assert best.get_xy1() == (0, 99) and best.get_slope() == -1
    assert axes.get_ylim()[0] > 40 and axes.get_xlim()[1] > 90
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("KL (nats per image)", "reconstruction (nats per image)")

from __future__ import annotations

import io
import threading

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tasks.covid.figures import (
    CELL_COLOUR,
    SET_COLOUR,
    accuracy_by_epoch,
    correlation_excerpt,
    correlation_map,
    looks_and_knows,
    loss_by_epoch,
)

MAJORITY = {"train": 0.811, "test": 0.57}


@pytest.fixture
def history() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = ["train_loss", "test_loss", "train_accuracy", "test_accuracy"]
    table = pd.DataFrame(rng.uniform(0.4, 0.9, (20, 4)), columns=columns)
    table.insert(0, "epoch", range(1, 21))
    return table


@pytest.fixture
def correlation() -> pd.DataFrame:
    """Two groups that share a movement, more and less closely, and two countries apart from it; shuffled."""
    rng = np.random.default_rng(1)
    share = np.repeat([0.9, 0.6, 0.0], [4, 4, 2])
    series = rng.normal(size=(500, 1)) * share + rng.normal(size=(500, 10)) * (1 - share)
    names = ["near"] * 4 + ["middle"] * 4 + ["apart"] * 2
    table = pd.DataFrame(series, columns=[f"{name} {i}" for i, name in enumerate(names)])
    return table[rng.permutation(table.columns)].corr()


def lines(figure: Figure) -> dict[str, matplotlib.lines.Line2D]:
    return {line.get_label(): line for line in figure.axes[0].lines}


def drawn(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file)


@pytest.mark.parametrize("quantity", ["accuracy", "loss"])
def test_curves_are_the_history(history, quantity):
    figure = (accuracy_by_epoch(history, title="t", majority=MAJORITY, rule=0.65) if quantity == "accuracy"
              else loss_by_epoch(history, title="t"))
    for part in ("train", "test"):
        line = lines(figure)[part]
        np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), history[f"{part}_{quantity}"])
        assert line.get_color() == SET_COLOUR[part]
    assert figure.axes[0].get_xlabel() == "epoch"


def test_majority_lines_stand_at_their_shares_in_the_colour_of_their_curve(history):
    figure = accuracy_by_epoch(history, title="t", majority=MAJORITY, rule=0.65)
    for part, label in (("train", "train: majority class, 81.1 %"), ("test", "test: majority class, 57.0 %")):
        line = lines(figure)[label]
        np.testing.assert_array_equal(line.get_ydata(), [MAJORITY[part]] * 2)
        assert line.get_color() == lines(figure)[part].get_color()
        assert line.is_dashed() and not lines(figure)[part].is_dashed()


def test_the_one_line_rule_stands_beside_them(history):
    figure = accuracy_by_epoch(history, title="t", majority=MAJORITY, rule=0.65)
    line = lines(figure)["test: up after a step down, 65.0 %"]
    np.testing.assert_array_equal(line.get_ydata(), [0.65] * 2)


def test_both_majority_lines_are_seen_when_the_shares_are_equal(history):
    history[["train_accuracy", "test_accuracy"]] = 0.5
    picture = np.asarray(drawn(accuracy_by_epoch(history, title="t", majority={"train": 0.8, "test": 0.8}, rule=0.6)))
    share_of_dashes = {}
    for part, colour in SET_COLOUR.items():
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        same = (np.abs(picture[:, :, :3].astype(int) - rgb) < 40).all(axis=2)
        share_of_dashes[part] = same[: len(same) // 3].sum(axis=1).max() / picture.shape[1]
    assert min(share_of_dashes.values()) > 0.3


def test_legend_names_every_line_and_covers_no_data(history):
    figure = accuracy_by_epoch(history, title="t", majority=MAJORITY, rule=0.65)
    drawn(figure)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == set(lines(figure))
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_tightbbox())


def test_axes_say_their_units(history):
    accuracy = accuracy_by_epoch(history, title="t", majority=MAJORITY, rule=0.65)
    loss = loss_by_epoch(history, title="t")
    assert accuracy.axes[0].get_ylabel() == "accuracy (% of windows)"
    assert loss.axes[0].get_ylabel() == "cross-entropy (nats per window)"
    axis = accuracy.axes[0].yaxis
    for height, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True):
        number, unit = label.get_text().split(" ")
        assert (float(number), unit) == (pytest.approx(100 * height), "%")


def test_a_history_of_one_epoch_can_be_seen(history):
    figure = loss_by_epoch(history[:1], title="t")
    assert {line.get_marker() for line in lines(figure).values()} == {"o"}
    left, right = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if left <= tick <= right] == [1]


# what a network looks at, and what it knows


def measured(auc=(0.5, None, 0.7)):
    bins = [{"forecast": 0.2, "share": 0.1, "low": 0.05, "high": 0.3},
            {"forecast": 0.8, "share": 0.6, "low": 0, "high": 1}]
    return {"lookback": {"auc": list(auc)}, "baselines": {"rule": {"test": {"roc_auc": 0.64}}},
            "reliability": {"bins": bins, "share": 0.42}}


def test_what_it_looks_at_and_knows_is_what_was_measured():
    above, below = looks_and_knows(measured(), title="t").axes
    by_name = {line.get_label(): line for line in above.lines}
    np.testing.assert_array_equal(by_name["network"].get_xydata(), [[1, 0.5], [2, np.nan], [3, 0.7]])
    assert by_name["one-line rule, of two days"].get_ydata()[0] == 0.64 and above.get_xticks().tolist() == [1, 2, 3]
    by_name = {line.get_label(): line for line in below.lines}
    assert by_name["network"].get_xydata().tolist() == [[0.2, 0.1], [0.8, 0.6]]
    assert by_name["share of all test windows, 42 %"].get_ydata()[0] == 0.42
    assert by_name["as forecast"].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [tuple(bar[:, 1]) for bar in below.collections[0].get_segments()] == [(0.05, 0.3), (0, 1)]


@pytest.mark.parametrize("L", [1, 200])
def test_few_days_and_many_have_whole_days_as_ticks(L):
    ticks = looks_and_knows(measured([0.6] * L), title="t").axes[0].get_xticks()
    assert ticks[0] == 1 and ticks[-1] == L and len(ticks) <= 8 and (ticks == ticks.round()).all()


# correlations


@pytest.mark.parametrize("seed", range(6))  # the sign of the eigenvector that numpy finds changes among them
def test_the_map_shows_the_whole_matrix_with_like_beside_like(correlation, seed):
    names = np.random.default_rng(seed).permutation(correlation.index)
    correlation = correlation.loc[names, names]
    figure = correlation_map(correlation, title="t")
    shown = figure.axes[0].images[0].get_array()
    ranks = [float(np.flatnonzero((np.sort(shown) == np.sort(row)).all(axis=1)).item())
             for row in correlation.to_numpy()]
    order = correlation.index[np.argsort(ranks)]
    np.testing.assert_array_equal(shown, correlation.loc[order, order])
    assert [name.split()[0] for name in order] == ["near"] * 4 + ["middle"] * 4 + ["apart"] * 2
    assert figure.axes[0].get_xlabel() == "country (rank along the first principal component)"


def test_heat_maps_share_one_scale_centred_at_zero(correlation):
    for figure in (correlation_map(correlation, title="t"),
                   correlation_excerpt(0.1 * correlation, title="t", countries=list(correlation)[:3])):
        image = figure.axes[0].images[0]
        assert image.get_clim() == (-1, 1)
        assert min(image.to_rgba(0.0)[:3]) > 0.95
        assert figure.axes[1].get_ylabel() == "Pearson correlation of daily new cases"


def test_the_excerpt_writes_each_number_in_its_cell(correlation):
    countries = [name for name in correlation if not name.startswith("middle")]
    correlation.loc[countries[0], countries[1]] = correlation.loc[countries[1], countries[0]] = -0.001
    correlation.loc[countries[0], countries[2]] = correlation.loc[countries[2], countries[0]] = -0.456
    figure = correlation_excerpt(correlation, title="t", countries=countries)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), correlation.loc[countries, countries])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(written) == len(countries) ** 2
    for (column, row), text in written.items():
        value = correlation.loc[countries[row], countries[column]]
        assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.005)
    assert written[1, 0] == "0.00" and written[2, 0] == "−0.46"
    assert [label.get_text() for label in axes.get_xticklabels()] == countries
    assert [label.get_text() for label in axes.get_yticklabels()] == countries


def test_numbers_stand_out_from_their_cells(correlation):
    def luminance(colour):  # relative luminance of sRGB, W3C, WCAG 2.1
        c = np.array(matplotlib.colors.to_rgb(colour))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    values = np.linspace(-1, 1, 100).reshape(10, 10)
    table = pd.DataFrame(values, index=correlation.index, columns=correlation.index)
    axes = correlation_excerpt(table, title="t", countries=list(table)).axes[0]
    for text in axes.texts:
        column, row = text.get_position()
        cell = axes.images[0].to_rgba(values[row, column])
        low, high = sorted([luminance(text.get_color()), luminance(cell)])
        assert (high + 0.05) / (low + 0.05) > 4.5  # what WCAG 2.1 asks for (1.4.3)


def test_an_unknown_country_is_refused(correlation):
    with pytest.raises(KeyError, match="Atlantis"):
        correlation_excerpt(correlation, title="t", countries=["near 0", "Atlantis"])


def test_names_are_shown_as_they_are(correlation):
    odd = ["$x$", "$", "<script>alert(1)</script>", "_a_{b}^2", r"\frac{1}"]
    correlation.index = correlation.columns = odd + list(correlation)[5:]
    figure = correlation_excerpt(correlation, title="$x_1$ and $", countries=odd)
    drawn(figure)  # mathematics that does not parse would raise here
    labels = figure.axes[0].get_xticklabels() + figure.axes[0].get_yticklabels()
    texts = [*labels, figure._suptitle]
    assert [text.get_text() for text in texts] == odd + odd + ["$x_1$ and $"]
    assert not any(text.get_parse_math() for text in texts)


def test_a_long_title_stays_inside_the_figure(history):
    figure = loss_by_epoch(history, title="LSTM, L = 5, simulated epidemic (seed 0), split by country: " * 3)
    drawn(figure)
    title = figure._suptitle.get_window_extent()
    assert title.x1 <= figure.bbox.x1 and title.y1 <= figure.bbox.y1
    assert not title.overlaps(figure.axes[0].get_window_extent())


def test_saved_at_150_dots_an_inch(history):
    picture = drawn(loss_by_epoch(history, title="t"))
    assert picture.format == "PNG"
    assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_colours_differ():
    assert set(CELL_COLOUR) == {"rnn", "lstm", "gru"}
    assert len({*CELL_COLOUR.values(), *SET_COLOUR.values()}) == 5


def test_figures_are_the_same_in_threads_and_leave_the_settings_alone(history, correlation):
    settings = dict(matplotlib.rcParams)
    expected = np.asarray(drawn(correlation_map(correlation, title="t")))
    pictures = {}

    def draw(i):
        pictures[i] = np.asarray(drawn(correlation_map(correlation, title="t")))

    threads = [threading.Thread(target=draw, args=[i]) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pictures) == 3
    for picture in pictures.values():
        np.testing.assert_array_equal(picture, expected)
    assert dict(matplotlib.rcParams) == settings

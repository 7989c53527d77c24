"""The figures of the image study: every pixel of the images in the file, every number of the history in the curves."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.transforms import Bbox
from PIL import Image

from tasks.common.style import SET_COLOUR, png
from tasks.vae.figures import GAP, Grid, elbo_by_epoch, image_grid, tile


def drawn(figure):
    """The figure as its file has it: (height, width, 3) uint8, the top row first."""
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def extent(figure):
    """Where the grid stands in the figure, in pixels from the bottom left."""
    image, = figure.images
    height, width, _ = image.get_array().shape
    return Bbox.from_bounds(image.ox, image.oy, width, height)


def blocks(figure, picture, R, K, size):
    """The part of the picture that is the grid, and the place of each image in it: slices [r, k]; and the factor."""
    box, height = extent(figure), len(picture)
    left, right, top, bottom = (round(edge) for edge in (box.x0, box.x1, height - box.y1, height - box.y0))
    factor, rest = divmod(right - left, K * (size + GAP) - GAP)
    assert rest == 0 and factor >= 1  # a whole factor
    assert bottom - top == factor * (R * (size + GAP) - GAP)
    step, side = factor * (size + GAP), factor * size
    places = {(r, k): (slice(r * step, r * step + side), slice(k * step, k * step + side))
              for r in range(R) for k in range(K)}
    return picture[top:bottom, left:right], places, factor


@pytest.mark.parametrize("R, K, size, channels, labels", [
    (5, 10, 32, 3, False), (4, 10, 32, 3, True), (6, 10, 32, 1, True), (8, 9, 28, 1, True), (2, 3, 8, 3, True),
    (1, 1, 5, 1, False), (3, 9, 13, 3, True), (2, 10, 64, 3, True), (2, 9, 150, 1, False), (7, 10, 33, 3, True),
])
def test_the_file_holds_the_very_pixels_of_the_images(rng, R, K, size, channels, labels):
    images = rng.integers(0, 250, (R, K, size, size, channels), np.uint8)  # darker than the gaps
    rows, columns = ([f"row {r}" for r in range(R)], [f"{k}" for k in range(K)]) if labels else (None, None)
    figure = image_grid(Grid(images, rows, columns), title="t")
    picture = drawn(figure)
    grid, places, factor = blocks(figure, picture, R, K, size)
    gaps = np.ones(grid.shape[:2], bool)
    for (r, k), place in places.items():
        enlarged = images[r, k].repeat(factor, 0).repeat(factor, 1)
        np.testing.assert_array_equal(grid[place], np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)))
        gaps[place] = False
    assert (grid[gaps] == 255).all()
    # Around the grid there is nothing but words: as many dark pixels outside of it as before it was drawn.
    figure.images[0].set_visible(False)
    words = drawn(figure)
    assert (words < 250).any(axis=2).sum() == (picture < 250).any(axis=2).sum() - (~gaps).sum()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tile_is_the_images_with_white_gaps_and_nothing_around(rng, channels):
    images = rng.integers(0, 250, (2, 3, 5, 5, channels), np.uint8)
    picture = tile(images)
    assert picture.shape == (2 * 5 + GAP, 3 * 5 + 2 * GAP, 3) and picture.dtype == np.uint8
    for r in range(2):
        for k in range(3):
            place = picture[r * (5 + GAP):, k * (5 + GAP):][:5, :5]
            np.testing.assert_array_equal(place, np.broadcast_to(images[r, k], (5, 5, 3)))
            place[:] = 255
    assert (picture == 255).all()


@pytest.mark.parametrize("size, K", [(8, 10), (28, 10), (32, 9), (64, 10), (100, 1)])
def test_the_grid_is_about_as_wide_as_asked_for(size, K):
    figure = image_grid(Grid(np.zeros((1, K, size, size, 1), np.uint8)), title="t", width=1000)
    assert 667 <= extent(figure).width <= 1334  # no other whole factor comes nearer than 3 : 2


def test_images_larger_than_the_figure_are_not_made_smaller():
    figure = image_grid(Grid(np.zeros((1, 5, 512, 512, 1), np.uint8)), title="t")
    assert extent(figure).width == pytest.approx(5 * 512 + 4 * GAP)


def test_labels_stand_beside_their_images():
    rows, columns = ["test image", "z12, variance 1.23"], ["test image", "50 %", "−3"]
    figure = image_grid(Grid(np.zeros((2, 3, 32, 32, 3), np.uint8), rows, columns), title="a title")
    picture = drawn(figure)
    grid, places, _ = blocks(figure, picture, 2, 3, 32)
    grid_box = extent(figure)
    extents = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    assert [words for words, _ in extents] == ["a title", *rows, *columns]
    for r, (_, box) in enumerate(extents[1:3]):
        vertical = places[r, 0][0]
        assert (box.y0 + box.y1) / 2 == pytest.approx(grid_box.y1 - (vertical.start + vertical.stop) / 2, abs=2)
        assert box.x1 < grid_box.x0
    for k, (_, box) in enumerate(extents[3:]):
        horizontal = places[0, k][1]
        assert (box.x0 + box.x1) / 2 == pytest.approx(grid_box.x0 + (horizontal.start + horizontal.stop) / 2, abs=2)
        assert box.y0 > grid_box.y1
    for words, box in extents:
        assert 0 <= box.x0 and box.x1 <= picture.shape[1] and box.y1 <= picture.shape[0], words
        assert sum(box.overlaps(other) for _, other in extents) == 1, words  # with itself


@pytest.mark.parametrize("title", ["$x_1$ and $", r"\frac{1}", "$"])
def test_names_are_shown_as_they_are(title):
    history = pd.DataFrame(np.ones((2, 7)), columns=["epoch", *NUMBERS])
    grid = image_grid(Grid(np.zeros((1, 1, 8, 8, 1), np.uint8), [title], [title]), title=title)
    curve = elbo_by_epoch(history, title=title, constant=1)
    texts = [*grid.texts, curve._suptitle]
    assert [text.get_text() for text in texts] == [title] * 4
    assert not any(text.get_parse_math() for text in texts)
    for figure in (grid, curve):
        drawn(figure)  # mathematics that does not parse would raise here


@pytest.mark.parametrize("name", ["pictures of " * 14, "x" * 150])
def test_a_long_title_stays_inside_the_figure(history, name):
    title = f"From one test image to another: {name}".strip()
    for K, words in ((10, None), (10, ["column"] * 10), (1, ["column"])):
        figure = image_grid(Grid(np.zeros((1, K, 28, 28, 1), np.uint8), columns=words), title=title)
        picture = drawn(figure)
        blocks(figure, picture, 1, K, 28)
        box, *others = [text.get_window_extent() for text in figure.texts]
        assert box.x1 <= picture.shape[1] and box.y1 <= picture.shape[0]
        assert not any(box.overlaps(other) for other in (*others, extent(figure)))
    figure = elbo_by_epoch(history, title=title, constant=1)
    drawn(figure)
    box = figure._suptitle.get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    shown = "".join(figure._suptitle.get_text().split())
    assert shown == "".join(title.split())  # all of it


NUMBERS = [f"{part}_{name}" for part in ("train", "test") for name in ("negative_elbo", "reconstruction", "kl")]


@pytest.fixture
def history(rng):
    table = pd.DataFrame(rng.uniform(100, 200, (6, 6)), columns=NUMBERS)
    table.insert(0, "epoch", range(1, 7))
    return table


def test_the_curves_are_the_history(history):
    figure = elbo_by_epoch(history, title="t", constant=180.5)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["negative ELBO", "reconstruction", "KL"]
    assert figure.axes[0].get_ylabel() == "nats per image"
    for axes, name in zip(figure.axes, ("negative_elbo", "reconstruction", "kl"), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for part in ("train", "test"):
            np.testing.assert_array_equal(lines[part].get_xdata(), history["epoch"])
            np.testing.assert_array_equal(lines[part].get_ydata(), history[f"{part}_{name}"])
            assert lines[part].get_color() == SET_COLOUR[part]
        baseline = lines.keys() - {"train", "test"}
        assert baseline == ({"best constant image (test)"} if name == "reconstruction" else set())
        for label in baseline:
            np.testing.assert_array_equal(lines[label].get_ydata(), [180.5, 180.5])
            assert lines[label].is_dashed()
        assert {text.get_text() for text in axes.get_legend().get_texts()} == set(lines)
        assert axes.get_xlabel() == "epoch"


def test_a_history_of_one_epoch_can_be_seen(history):
    for axes in elbo_by_epoch(history[:1], title="t", constant=150).axes:
        assert {line.get_marker() for line in axes.lines if line.get_label() in SET_COLOUR} == {"o"}
        left, right = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if left <= tick <= right] == [1]

"""Factors are found where they are in the code, by a line or by neighbours, and not where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from data.drawn_faces import FACTORS, draw_factors
from tasks.vae import factors as module
from tasks.vae.factors import pixels_moved, recovered, targets


@pytest.fixture(scope="module")
def found():
    """R^2 of all factors from codes that hold skin as it is, the smile only in its square, and a hue as a point."""
    factors = draw_factors(1500, seed=1)
    smile = (factors["smile"] - 0.25).to_numpy()
    codes = np.column_stack([factors["skin"], np.cos(3 * np.pi * smile), targets("eye_hue", factors["eye_hue"])])
    split = {"train": slice(1000), "test": slice(1000, None)}
    return recovered({name: codes[rows] for name, rows in split.items()},
                     {name: factors[rows] for name, rows in split.items()})


def test_what_is_in_the_code_is_found_by_a_line_what_is_bent_by_neighbours_alone(found):
    assert set(found["linear"]) == set(found["neighbours"]) == set(FACTORS)
    assert found["linear"]["skin"] == pytest.approx(1) and found["linear"]["eye_hue"] == pytest.approx(1)
    assert found["neighbours"]["skin"] > 0.8 and found["neighbours"]["eye_hue"] > 0.8
    assert abs(found["linear"]["smile"]) < 0.05


def test_what_is_not_in_the_code_is_not_found(found):
    for name in set(FACTORS) - {"skin", "smile", "eye_hue"}:
        assert found["linear"][name] < 0.05 and found["neighbours"][name] < 0.05, name


def test_what_a_neighbour_sees_and_a_line_does_not():
    factors = draw_factors(1500, seed=2)
    radius, angle = 2 + factors["turn"].to_numpy(), 3 * np.pi * factors["turn"].to_numpy()
    codes = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])  # a spiral
    split = {"train": slice(1000), "test": slice(1000, None)}
    r2 = recovered({name: codes[rows] for name, rows in split.items()},
                   {name: factors[rows] for name, rows in split.items()})
    assert r2["linear"]["turn"] < 0.5 and r2["neighbours"]["turn"] > 0.95


def test_a_choice_counts_by_its_names_and_a_hue_as_a_point():
    np.testing.assert_array_equal(targets("fringe", np.array([0, 3])), [[1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(targets("eye_hue", np.array([0, 0.25, 1])), [[1, 0], [0, 1], [1, 0]], atol=1e-12)
    assert targets("smile", np.array([0.5])).shape == (1, 1)


def test_a_collapsed_code_holds_nothing_however_exactly_its_means_follow_a_factor():
    factors = draw_factors(200, seed=3)
    split = {"train": factors[:100], "test": factors[100:]}
    for scale, least, most in ((0.01, 0, 0), (1, 0.99, 1)):
        means = {name: scale * rows[["skin", "smile"]].to_numpy() for name, rows in split.items()}
        found = recovered(means, split)
        assert least <= found["linear"]["skin"] <= most + 1e-9 and (found["neighbours"]["skin"] > 0.5) == (scale == 1)


def test_how_many_pixels_a_factor_moves(monkeypatch):
    """Pictures of a few squares: a factor that is not drawn moves none, and a faint one moves none that is seen."""
    def draw(row):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[:4] = round(255 * row["skin"])  # half of the picture
        picture[7, 7, 1] = round(8 * row["blush"])  # one pixel, and never by more than SEEN
        return picture

    monkeypatch.setattr(module, "draw_face", draw)
    skin = draw_factors(8)["skin"].to_numpy()
    share = np.mean(np.abs(np.rint(255 * skin[:4]) - np.rint(255 * skin[4:])) > module.SEEN)
    assert 0 < share < 1
    for size in (8, 4):
        moved = pixels_moved.__wrapped__(size, faces=4)
        assert moved["skin"] == share * size**2 / 2 and moved["blush"] == 0 and moved["smile"] == 0


def test_a_hue_of_the_background_moves_more_pixels_than_a_blush():
    moved = pixels_moved(16, faces=2)
    assert set(moved) == set(FACTORS) and 256 >= moved["background_hue"] > 5 * moved["blush"]

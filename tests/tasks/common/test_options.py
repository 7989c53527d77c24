"""Ranges of options, and the name of a folder that follows from them."""

from __future__ import annotations

import pytest

from data import BadInput
from tasks.common.options import check_ranges, default_folder, identity
from tasks.covid.train import CovidOptions
from tasks.vae.train import VaeOptions


def test_the_folders_name_holds_what_is_not_at_its_default():
    config = CovidOptions(cell="gru", L=7, seed=3, csv="/some where/käse 1.csv", split="random", resume=True)
    name = default_folder(config, "covid-gru-L7", "cell", "L")
    assert str(name) == "runs/covid-gru-L7-csv-käse_1-split-random-seed-3"
    assert "resume" not in identity(config) and identity(config)["seed"] == 3


@pytest.mark.parametrize("options, says", [
    (CovidOptions(lr=float("nan")), "--lr: nan is outside 1e-12..10"),
    (CovidOptions(lr=-1.0), "--lr: -1.0 is outside"),
    (CovidOptions(L=0), "--L: 0 is outside 1..1000"),
    (CovidOptions(threshold=2.0), "--threshold: 2.0 is outside -1..0.9999"),
    (VaeOptions(kl=-0.5), "--kl: -0.5 is outside 0..1000000"),
    (VaeOptions(epochs=0), "--epochs: 0 is outside"),
    (CovidOptions(seed=2**32), "--seed: 4294967296 is outside 0..4294967295"),
])
def test_an_option_out_of_its_range_is_refused_by_name(options, says):
    with pytest.raises(BadInput, match=says):
        check_ranges(options)
    check_ranges(type(options)())


@pytest.mark.parametrize("options", [CovidOptions(L=1), CovidOptions(L=1000), VaeOptions(kl="learned"),
                                     VaeOptions(kl=0), VaeOptions(epochs=None), VaeOptions(epochs=1)])
def test_the_bounds_of_a_range_and_words_in_place_of_numbers_are_allowed(options):
    check_ranges(options)

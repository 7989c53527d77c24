"""Sentences about the images, held to made-up runs whose answer is known, in both directions."""

from __future__ import annotations

import re

import pytest

from tasks.study import discuss_vae as said
from tasks.study.results import Study
from tests.tasks.study import made_up


def run(kl=1.0, per_channel=False, *, reconstruction=90.0, term=10.0, active=5, constant=120.0, gap=2.0, closer=5.0,
        channels=3, simulated=False, history=(130.0, 110.0, 100.0)):
    """A run of which as much is made up as the discussion looks at: nats an image, of the test images."""
    def part(gap):
        return {"negative_elbo": reconstruction + term - gap, "reconstruction": reconstruction - gap, "kl": term,
                "active_units": active, "constant_image": constant}

    return made_up.image_run(
        kl, per_channel, train=part(gap), test=part(0) | {"importance_weighted": reconstruction + term - closer},
        history={"epoch": range(1, len(history) + 1), "test_negative_elbo": history},
        data={"simulated": simulated, "train": 700, "test": 300, "channels": channels})


def runs(*, zero=None, one=None, hundred=None, learned=None, anneal=None):
    given = {"weight 0": (0.0, zero), "weight 1": (1.0, one), "weight 100": (100.0, hundred),
             "learned": ("learned", learned), "0 to 1": ("anneal", anneal)}
    return {name: run(kl, **values) for name, (kl, values) in given.items() if values is not None}


def paragraphs(*of_runs):
    return said.discussion(Study([], list(of_runs), {}, None, {}))


ALL = [run(0.0), run(1.0), run(100.0), run("learned"), run("anneal"), run(per_channel=True)]


def test_nothing_run_nothing_said():
    assert paragraphs() == []


@pytest.mark.parametrize("some", [[one] for one in ALL] + [ALL, ALL[:2], ALL[::2]])
def test_what_is_missing_is_left_out(some):
    told = paragraphs(*some)
    assert len(told) == 11 if some is ALL else 1 <= len(told) < 11
    for paragraph in told:
        assert re.fullmatch(r"[A-Z].*\.", paragraph) and "None" not in paragraph and "nan" not in paragraph
        assert re.fullmatch(r"[A-Z].*\.", paragraph.claim)
        assert f"{paragraph.claim} {paragraph.rest}".strip() == paragraph


def test_the_images_are_counted_and_said_to_be_simulated():
    assert "1,000 images (made up), 700 for training and 300 for test" in paragraphs(run())[0]
    assert "simulated" in paragraphs(run(simulated=True))[0] and "simulated" not in paragraphs(run())[0]


@pytest.mark.parametrize("one, anneal, lowest, highest, aim", [
    (80.0, 90.0, "weight 1", "weight 0", "exactly this measure."),
    (90.0, 80.0, "the weight that rises from 0 to 1", "weight 0", "ends as weight 1"),
    (101.0, 102.0, "weight 0", "the weight that rises from 0 to 1", "on the test images it is not"),
])
def test_the_lowest_elbo_is_named(one, anneal, lowest, highest, aim):
    some = runs(zero={"reconstruction": 100.0}, one={"reconstruction": one}, anneal={"reconstruction": anneal})
    sentence = said.best_weight(some)
    least, second, most = sorted((100.0, one, anneal))
    assert f"is that of {lowest}, {least + 10:.1f} nats" in sentence and aim in sentence
    assert f"has {second - least:.1f} nats more" in sentence and f"{highest} most, {most + 10:.1f} nats" in sentence
    del some["weight 1"]
    assert "minimises" not in said.best_weight(some)


@pytest.mark.parametrize("term, words", [(50.0, "narrower or further"), (5.0, "have not moved further")])
def test_without_its_kl_term(term, words):
    sentence = said.without_kl(runs(zero={"term": term, "reconstruction": 85.0}, one={}))
    assert words in sentence and f"the KL term is {term:.1f} nats; with weight 1 it is 10.0 nats" in sentence
    assert "5.0 nats lower" in sentence
    assert "5.0 nats higher" in said.without_kl(runs(zero={"reconstruction": 95.0}, one={}))


@pytest.mark.parametrize("active, reconstruction, collapsed, where", [
    (0, 121.0, True, "1.0 nats above"), (0, 119.5, True, "0.5 nats below"), (0, 118.5, False, "1.5 nats below"),
    (1, 121.0, False, "1.0 nats above"),
])
def test_collapse_is_no_latent_and_no_gain(active, reconstruction, collapsed, where):
    sentence = said.collapse(runs(hundred={"active": active, "reconstruction": reconstruction}))
    assert ("has collapsed" in sentence) == collapsed != ("still used" in sentence)
    assert where in sentence and f"{active} of 20 latents" in sentence


@pytest.mark.parametrize("term, where", [(30.0, "between those"), (5.0, "below those"), (60.0, "above those")])
def test_the_learned_weight(term, where):
    some = runs(zero={"term": 50.0}, one={"term": 10.0}, learned={"term": term})
    sentence = said.learned(some)
    assert f"{term:.1f} nats, {where} of weight 0 (50.0 nats) and weight 1 (10.0 nats)" in sentence
    assert "The learned weight is 0.0100" in sentence and "25.5 of 255" in sentence
    assert "cost 100.0 nats more" in sentence
    assert "between" not in said.learned({"learned": some["learned"]})


@pytest.mark.parametrize("reconstruction, word", [(88.0, "2.0 nats lower"), (92.0, "2.0 nats higher")])
def test_annealing(reconstruction, word):
    sentence = said.annealed(runs(one={}, anneal={"reconstruction": reconstruction, "active": 7}))
    assert word in sentence and "with 7 latents in use where that has 5" in sentence


@pytest.mark.parametrize("active, words", [
    ((20, 15, 0), "The larger the weight, the fewer latents are"),
    ((20, 20, 0), "Up to ties, a larger weight leaves fewer latents"),  # a tie is not fewer
    *((active, "A larger weight does not leave fewer latents") for active in ((20, 0, 15), (15, 15, 15), (5, 6, 0)))])
def test_latents_in_use(active, words):
    zero, one, hundred = ({"active": n} for n in active)
    sentence = said.latents_in_use(dict(reversed(runs(zero=zero, one=one, hundred=hundred, anneal={}).items())))
    assert sentence.startswith(words)
    assert "{} with weight 0, {} with weight 1, {} with weight 100".format(*active) in sentence
    assert "Of 20, 5 with weight 0, 5 with weight 1." in said.latents_in_use(runs(zero={}, one={}, learned={}))
    assert said.latents_in_use(runs(one={}, learned={}, anneal={})) is None


def test_images_that_are_new_cost_more_or_not():
    sentence = said.new_images(runs(zero={"gap": 10.0}, one={"gap": 1.0}, hundred={"gap": 4.0}))
    assert "most with weight 0, by 10.0 nats or 11.1 %" in sentence and "least with weight 1, by 1.0 nats" in sentence
    assert "least with weight 1" in said.new_images(runs(zero={"gap": 10.0}, one={"gap": 1.0}))
    assert said.new_images(runs(one={"gap": 0.5})).endswith("most with weight 1, by 0.5 nats or 0.5 %.")
    assert "With every weight" in said.new_images(runs(zero={"gap": -1.0}, one={"gap": 0.0}))


@pytest.mark.parametrize("history, words", [
    ((9.0, 8.0, 7.0), "epoch 3 of 3. More epochs"), ((9.0, 7.0, 8.5), "epoch 2 of 3. It has risen by 1.5 nats"),
])
def test_when_the_test_elbo_was_lowest(history, words):
    assert words in said.when_lowest(runs(one={"history": history}))


@pytest.mark.parametrize("reconstruction, word", [
    (97.0, "107.0 nats, 7.0 nats higher"), (83.0, "93.0 nats, 7.0 nats lower"),
])
def test_each_channel_by_itself(reconstruction, word):
    told = paragraphs(run(1.0), run(0.0), run(per_channel=True, reconstruction=reconstruction))
    (sentence,) = [paragraph for paragraph in told if "each channel" in paragraph]
    assert word in sentence and "three codes" in sentence
    assert not any("lowest negative ELBO" in p and "channel" in p for p in told)  # it is no weight of its own


def test_grey_images_have_one_channel():
    told = paragraphs(run(channels=1), run(per_channel=True, channels=1))
    assert any("same model" in paragraph for paragraph in told) and not any("three" in paragraph for paragraph in told)


def test_a_closer_bound_may_change_the_order():
    assert "the same order" in said.closer_bound(runs(zero={"term": 20.0}, one={}))
    sentence = said.closer_bound(runs(zero={"term": 20.0, "closer": 18.0}, one={}))
    assert "It has weight 0, weight 1, from" in sentence and "5.0 nats to 18.0 nats below" in sentence

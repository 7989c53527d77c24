"""The sweep as a table, where its code collapses, and what its figures and sentences say of made-up runs."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.study import discuss_vae, figures_vae, sweep
from tasks.study.figures import svg
from tasks.study.results import Study
from tasks.vae.collapse import predict
from tasks.vae.factors import pixels_moved
from tests.tasks.study import made_up

SPECTRUM = [60.0, 20.0, 5.0]


def run(kl, seed=0, *, per_channel=False, term=None, reconstruction=None, axes=None, accuracy=0.9, distance=0.1,
        factor=0.8, source="made up"):
    """A run that obeys the law, save where the test says otherwise."""
    law = None if isinstance(kl, str) or kl == 0 else predict(SPECTRUM, kl)
    predicted = law and {"used": law.used, "kl": law.kl, "reconstruction": 100 - law.gain}
    term = term if term is not None else law.kl if law else 30.0
    reconstruction = reconstruction if reconstruction is not None else 100 - law.gain if law else 20.0
    used = axes if axes is not None else law.used if law else 3
    found = made_up.image_run(
        kl, per_channel, history={"epoch": [1, 2], "test_kl_0": [0.1, term], "test_kl_1": [0.2, 0.0]},
        test={"negative_elbo": term + reconstruction, "kl": term, "reconstruction": reconstruction,
              "constant_image": 100.0, "active_axes": used, "active_units": used + 1}, data={"source": source})
    found.config["seed"] = seed
    found.metrics["collapse"] = {"eigenvalues": SPECTRUM, "mean_reduction": 153.6, "predicted": predicted}
    found.metrics["two_sample"] = {"accuracy": accuracy, "accuracy_real": 0.5, "distance": distance,
                                   "distance_real": 0.1}
    r2 = {"skin": factor, "smile": 0.05}
    found.metrics["factors"] = {"linear": r2, "neighbours": r2}
    return found


def study(*swept, vae=()):
    return Study([], [run("anneal", term=9.0), run("learned", term=12.0), run(1.0, per_channel=True), *vae], {}, None,
                 {}, list(swept))


LAWFUL = [run(kl) for kl in (0.3, 1, 10, 50, 70, 300)] + [run(0.0), run(1, seed=1)]


def test_the_table_has_the_fixed_weights_in_order():
    found = sweep.table(study(*LAWFUL))
    assert found["weight"].tolist() == [0, 0.3, 1, 1, 10, 50, 70, 300] and found["seed"].tolist()[2:4] == [0, 1]
    row = found[found["weight"] == 10].iloc[0]
    assert row["kl"] == row["predicted_kl"] == pytest.approx((np.log(6) + np.log(2)) / 2)
    assert row["predicted_used"] == 2 and row["accuracy"] == 0.9
    assert np.isnan(found.loc[0, "predicted_kl"]) and sweep.table(study()).empty and sweep.collapse(study()) is None
    assert sweep.swept(study(run(0.0))) == []


def test_where_the_code_collapses():
    # at 50 the law leaves ½ log(60 / 50) = 0.09 nats, less than what counts as a code
    assert sweep.collapse(study(*LAWFUL)) == (60, 10, 50, 153.6)
    assert sweep.collapse(study(run(1), run(1, seed=1, term=0.0))) == (60, None, None, 153.6)  # one seed, not both
    odd = study(run(1, term=0.0), run(10), run(300))
    assert sweep.collapse(odd).above == 300  # empty in between does not count


def test_whether_the_law_holds_is_decided_by_the_numbers():
    held = discuss_vae.why(study(*LAWFUL))["collapse"]
    assert held.claim == "The weight at which the code collapses can be computed before training: 60."
    assert "holds something with weight 10 and it holds less than 0.1 nats from weight 50 on" in held
    assert "0.0 % off in the median" in held and "153.6, which is beyond the collapse" in held
    early = discuss_vae.why(study(*LAWFUL[:2], run(10, term=0.0, reconstruction=100)))["collapse"]
    assert early.claim.startswith("Training lets the code collapse earlier than it has to")
    law = predict(SPECTRUM, 10)
    missed = f"{law.gain - 10 * law.kl:.1f}"
    assert f"is {missed} nats to {missed} nats above" in early and "1 of 3 runs" in early
    assert "stuck" not in discuss_vae.why(study(run(10, term=0.0, reconstruction=0)))["collapse"]
    late = discuss_vae.why(study(*LAWFUL, run(100, term=2.0)))["collapse"]
    assert late.claim.startswith("The code does not always collapse where it is predicted")


def test_which_count_of_latents_is_nearer():
    assert "are nearer" in discuss_vae.why(study(*LAWFUL))["latents"].claim
    assert "no nearer" in discuss_vae.why(study(run(1, axes=1)))["latents"].claim


def test_factors_found_and_lost():
    said = discuss_vae.why(study(*LAWFUL))["factors"]
    assert said.claim == "With weight 1 the code holds 1 of 2 factors well and has lost 1."
    assert "at least 0.5: skin." in said and "less than 0.1: smile." in said
    assert "0 of 2" in discuss_vae.why(study(run(1, factor=0.3)))["factors"].claim


@pytest.mark.parametrize("skin, smile, because", [(150, 3, "what moves few pixels saves few nats"),
                                                  (3, 150, "the number of pixels alone does not decide")])
def test_whether_what_is_lost_moves_fewer_pixels_is_decided_by_the_numbers(skin, smile, because, monkeypatch):
    monkeypatch.setattr(discuss_vae, "pixels_moved", lambda size: {"skin": skin, "smile": smile, "tilt": 9})
    said = discuss_vae.why(study(*LAWFUL))["factors"]
    assert f"held moves {skin} pixels of a face in the median, and one that is lost {smile}: {because}" in said


@pytest.mark.parametrize("accuracy, distance, claim, copies", [
    (0.9, 0.1, "of every weight from test images; least often with weight 1, 90.0 %", "at least 100.0 % as far"),
    (0.6, 0.02, "Samples with weight 1 are hardest to tell from test images: 60.0 %", "only 20.0 % as far"),
])
def test_samples(accuracy, distance, claim, copies):
    said = discuss_vae.why(study(run(1, accuracy=accuracy, distance=distance), run(10, accuracy=0.95)))["quality"]
    assert claim in said.claim and copies in said and "in 50.0 % of cases" in said


def test_the_figures_show_every_run_and_the_law():
    found = study(*LAWFUL)
    kl, reconstruction = figures_vae.terms_over_weight(found).axes
    for axes, term in ((kl, "kl"), (reconstruction, "reconstruction")):
        lines = {line.get_label(): line for line in axes.lines}
        np.testing.assert_allclose(lines["measured, test images"].get_ydata(), sweep.table(found)[term])
        assert lines["measured, test images"].get_xdata()[0] < 0.3  # weight 0 has a place
        line = lines["predicted before training"]
        assert line.get_ydata()[-1] == pytest.approx({"kl": 0, "reconstruction": 100}[term])
        assert {float(mark.get_xdata()[0]) for mark in axes.lines[2:]} == {1, 100, 60, 153.6}
    count = {line.get_label(): line.get_ydata() for line in figures_vae.latents_in_use(found).axes[0].lines}
    assert count["predicted: eigenvalues above the weight"][[0, -1]].tolist() == [3, 0]
    panels = figures_vae.kl_over_training(found).axes
    assert [axes.get_title(loc="left").split(":")[0] for axes in panels] == ["weight 1", "0 to 1", "weight 50"]
    assert all(len(axes.lines) == 2 for axes in panels)
    factors = figures_vae.factor_map(found).axes[0]
    shown = factors.images[0].get_array()
    assert factors.get_yticklabels()[0].get_text() == f"skin, {pixels_moved(4)['skin']:.0f} px"
    assert shown.shape == (2, 7) and shown[0, 0] == 0.8
    labels = [line.get_label() for line in figures_vae.rate_distortion(found).axes[0].lines]
    assert {"0 to 1", "learned", "mean image, rate 0"} <= set(labels)
    assert figures_vae.sample_quality(found).axes[0].lines[0].get_ydata().tolist() == [90.0] * 8


def test_names_of_data_are_text():
    odd = "$x_1$ <b>"
    found = study(*[run(kl, source=odd) for kl in (0.0, 1, 10)])
    assert "$x_1$ &lt;b&gt;" in svg(figures_vae.latents_in_use(found))


def test_without_factors_or_samples_nothing_is_said_of_them():
    bare = run(1)
    del bare.metrics["factors"], bare.metrics["two_sample"], bare.history["test_kl_0"]
    found = Study([], [], {}, None, {}, [bare])
    said = discuss_vae.why(found)
    assert said["factors"] is None and said["quality"] is None
    assert figures_vae.factor_map(found) is None and figures_vae.sample_quality(found) is None
    assert figures_vae.kl_over_training(found) is None and discuss_vae.why(Study([], [], {}, None, {})) == {}


@pytest.mark.parametrize("kl", [3, 100])
def test_one_weight_alone_can_be_drawn(kl):
    found = study(run(kl))
    for name in ("terms_over_weight", "latents_in_use", "rate_distortion", "kl_over_training", "factor_map",
                 "sample_quality"):
        svg(getattr(figures_vae, name)(found) or figures_vae.latents_in_use(found))  # warnings are errors
    bare = Study([], [], {}, None, {}, [run(kl)])
    svg(figures_vae.rate_distortion(bare))
    svg(figures_vae.rate_distortion(study(run(kl, reconstruction=5000.0))))  # trained for too short a time
    assert discuss_vae.why(found)["collapse"].claim.endswith("60.")

"""What the image study measures and leaves behind, against brute force, integrals, and a model that can be read off."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

import nn
from tasks.vae import results as vae_results
from tasks.vae import train as vae
from tasks.vae.collapse import eigenvalues, predict
from tasks.vae.figures import kl_by_latent

SHORT = {"images": "drawn", "size": 8, "hidden": 8, "latent": 3, "batch": 16, "epochs": 3, "kl": "learned"}
PICTURES = ["collapse.png", "interpolation.png", "learning_curve.png", "posterior_samples.png", "prior_samples.png",
            "reconstructions.png", "traversal.png"]


def patterns(n, channels=1):
    """Images 8 x 8, the left, right, upper or lower half bright, with noise: two bits each that a code can carry."""
    rng = np.random.default_rng(0)
    half = np.zeros((4, 8, 8))
    half[0, :, :4] = half[1, :, 4:] = half[2, :4] = half[3, 4:] = 1
    pixels = 40 + 170 * half[rng.integers(4, size=(n, channels))] + rng.normal(0, 8, (n, channels, 8, 8))
    pixels = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8).transpose(0, 2, 3, 1)
    return vae.Data(pixels[: n * 7 // 10], pixels[n * 7 // 10:], "made-up patterns", True)


def trained(data, **options):
    """Model, layout, configuration and history."""
    config = vae.VaeOptions(**{"hidden": 32, "latent": 4, "batch": 20, "epochs": 40, "lr": 0.005, **options})
    layout = vae.Layout(8, data.train.shape[3], config.per_channel)
    state = vae.build(config, layout)
    records = filter(None, vae.train(state, config, data, layout))
    return state.model, layout, config, pd.DataFrame(list(records))


@pytest.fixture(scope="module")
def by_weight():
    """Models of the same 400 images, trained with several weights: {weight: (measurements, history)}."""
    data = patterns(400)
    results = {}
    for kl in (0.0, 1.0, 100.0, "learned"):
        model, layout, config, history = trained(data, kl=kl)
        results[kl] = vae_results.measure(model, layout, data, config, history), history
    return results


def bce(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


# -- what is measured ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["train", "test"])
def test_weight_100_collapses_and_weight_1_does_not(by_weight, part):
    collapsed, alive = by_weight[100.0][0][part], by_weight[1.0][0][part]
    constant = collapsed["constant_image"]
    assert alive["constant_image"] == constant
    assert collapsed["active_units"] == 0 and collapsed["kl"] < 0.01
    assert abs(collapsed["reconstruction"] - constant) < 0.2
    assert alive["active_units"] >= 1 and alive["kl"] > 1
    assert alive["reconstruction"] < constant - 5 and alive["negative_elbo"] < collapsed["negative_elbo"] - 3


def test_a_smaller_weight_reconstructs_better_and_pays_in_kl(by_weight):
    test = {kl: metrics["test"] for kl, (metrics, _) in by_weight.items()}
    assert test[0.0]["kl"] > test[1.0]["kl"] > test[100.0]["kl"]
    assert test[0.0]["reconstruction"] < test[1.0]["reconstruction"] < test[100.0]["reconstruction"]
    assert test["learned"]["active_units"] >= 1 and test["learned"]["reconstruction"] < test[1.0]["reconstruction"]


def test_the_measurements_are_of_the_last_epoch(by_weight):
    for kl, (metrics, history) in by_weight.items():
        assert metrics["kl"] == kl and ("learned" in metrics) == (kl == "learned")
        for part in ("train", "test"):
            for name in ("negative_elbo", "reconstruction", "kl"):
                near = 1e-12 if part == "test" else 0.2  # that of the training set is of the steps before
                assert metrics[part][name] == pytest.approx(history[f"{part}_{name}"].iloc[-1], rel=near)
            bits = metrics[part]["negative_elbo"] / math.log(2) / 64
            assert metrics[part]["bits_per_dimension"] == pytest.approx(bits, rel=1e-12)
        assert metrics["seconds_per_epoch"] == history["seconds"].median()
        assert metrics["data"] == {"source": "made-up patterns", "simulated": True, "train": 280, "test": 120,
                                   "size": 8, "channels": 1}
        assert metrics["parameters"] == (64 + 1) * 32 + 2 * (32 + 1) * 4 + (4 + 1) * 32 + (32 + 1) * 64


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_best_constant_image_by_brute_force(per_channel):
    data = patterns(60, channels=3)
    model, layout, config, history = trained(data, epochs=1, per_channel=per_channel)
    found = vae_results.measure(model, layout, data, config, history)
    mean = data.train.mean(axis=0) / 255
    if per_channel:  # a model that does not know the channel can only say the same of each
        mean = np.repeat(mean.mean(axis=-1, keepdims=True), 3, axis=-1)
    for part, pixels in (("train", data.train), ("test", data.test)):
        each = [bce(image / 255, mean).sum() for image in pixels]
        assert found[part]["constant_image"] == pytest.approx(np.mean(each), rel=1e-9)
        bits = vae.terms(model, layout, pixels)["negative_elbo"] / math.log(2) / (3 * 64)
        assert found[part]["bits_per_dimension"] == pytest.approx(bits, rel=1e-12)
    for other in (mean * 0.99, mean * 1.01, mean + 0.01):  # no other constant image is better where it was made
        assert np.mean([bce(image / 255, other).sum() for image in data.train]) > found["train"]["constant_image"]


def test_a_pixel_that_is_always_black_costs_a_constant_image_nothing(by_weight):
    data = patterns(40)
    data.train[:, 0], data.test[:, 0] = 0, 0  # and no logarithm of 0 is taken
    data.train[:, 1], data.test[:, 1] = 255, 255
    model, layout, config, history = trained(data, epochs=1)
    whole = vae_results.measure(model, layout, data, config, history)["train"]["constant_image"]
    rest = data.train[:, 2:] / 255
    assert whole == pytest.approx(bce(rest, rest.mean(axis=0)).sum() / len(rest), abs=1e-3)


def transparent(width, log_var=0.0):
    """A VAE that can be read off: the posterior's mean is 4 x - 2, its log-variance as given, and the logits are z."""
    model = vae.VAE(width, 2 * width, width, np.random.default_rng(0))
    for p in model.parameters():
        p.data[...] = 0
    i = np.arange(width)
    model.encoder.weight.data[i, i] = 1
    model.mean.weight.data[i, i], model.mean.bias.data[...] = 4, -2
    model.log_var.bias.data[...] = log_var
    model.decoder.weight.data[i, i], model.decoder.weight.data[width + i, i] = 1, -1  # relu(z) - relu(-z) = z
    model.output.weight.data[i, i], model.output.weight.data[i, width + i] = 1, -1
    return model


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_unit_is_active_if_its_mean_varies_by_more_than_a_hundredth(rng, per_channel):
    layout = vae.Layout(4, 3, per_channel)
    grey = np.full((800, 4, 4, 3), 128, np.uint8)
    data = vae.Data(grey, grey.copy(), "", True)
    # A code is 4 x - 2, so that its variance is 0.01 where the standard deviation of the pixel is 255 / 40 = 6.4.
    data.train[:, 0, 0, :] += rng.choice([0, 12], (800, 1)).astype(np.uint8)  # half of it: 6
    data.train[:, 1, 2, :] += rng.choice([0, 14], (800, 1)).astype(np.uint8)  # 7
    data.train[:, 3, 3, :] += rng.choice([0, 90], (800, 1)).astype(np.uint8)
    history = pd.DataFrame([{f"{part}_{name}": 1.0 for part in ("train", "test")
                             for name in ("negative_elbo", "reconstruction", "kl")} | {"seconds": 1.0}])
    metrics = vae_results.measure(transparent(layout.width), layout, data, vae.VaeOptions(), history)
    assert metrics["train"]["active_units"] == (2 if per_channel else 6)  # by channel three rows share a latent
    assert metrics["test"]["active_units"] == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_the_importance_weighted_bound_is_the_integral_where_that_can_be_taken(channels):
    data = patterns(100, channels)
    model, layout, _, _ = trained(data, latent=1, per_channel=channels == 3, epochs=15)
    pixels = data.test[:4]
    x = layout.to_rows(pixels).astype(float)  # (4 rows, 64)
    z, dz = np.linspace(-10, 10, 20_001, retstep=True)
    with nn.no_grad():
        p = model.decode(nn.Tensor(z[:, None])).data
    log_joint = -np.stack([bce(row, p).sum(axis=1) for row in x]) - 0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    most = log_joint.max(axis=1, keepdims=True)
    log_p = most[:, 0] + np.log(np.exp(log_joint - most).sum(axis=1) * dz)
    exact = -log_p.reshape(4, -1).sum(axis=1).mean()
    elbo = vae.terms(model, layout, np.tile(pixels, (500, 1, 1, 1)))["negative_elbo"]
    found = vae_results.importance_weighted(model, layout, pixels, samples=5000)
    assert found == pytest.approx(exact, abs=0.02 * layout.rows)
    assert vae_results.importance_weighted(model, layout, pixels) > exact - 0.3 * layout.rows  # but for noise
    assert elbo > exact + 0.05  # so that the bound had something to gain


def test_the_importance_weighted_bound_is_closer_than_the_elbo():
    data = patterns(100)
    model, layout, _, _ = trained(data)
    pixels = np.repeat(data.test, 20, axis=0)  # with one sample it is the negative ELBO itself, and noisy
    elbo = vae_results.importance_weighted(model, layout, pixels, samples=1)
    assert vae_results.importance_weighted(model, layout, data.test) < elbo - 0.05
    assert elbo == pytest.approx(vae.terms(model, layout, pixels)["negative_elbo"], abs=0.1)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_learned_weight_is_that_of_a_gaussian_decoder(rng, per_channel):
    layout = vae.Layout(4, 3, per_channel)
    errors = {part: rng.normal(0, scale, (50, 4 * 4 * 3)) for part, scale in (("train", 0.2), ("test", 0.3))}
    found = vae_results.calibrated({part: (values**2).mean() for part, values in errors.items()},
                                   {"train": 20, "test": 30}, layout)
    sigma = np.sqrt((errors["train"]**2).mean())
    assert found["sigma"] == pytest.approx(sigma) and found["kl_weight"] == pytest.approx(sigma**2)
    for part, kl in (("train", 20), ("test", 30)):
        density = np.exp(-0.5 * (errors[part] / sigma)**2) / (sigma * math.sqrt(2 * math.pi))
        assert found[part] == pytest.approx(-np.log(density).sum(axis=1).mean() + kl)


# -- what is shown ------------------------------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, float)))


both_layouts = pytest.mark.parametrize("layout", [vae.Layout(4, 3, False), vae.Layout(4, 3, True),
                                                  vae.Layout(4, 1, False)], ids=["colour", "by channel", "grey"])


def noise(layout, n=60):
    return np.random.default_rng(3).integers(0, 256, (n, layout.size, layout.size, layout.channels), np.uint8)


def decoded(pixels):
    """What the transparent model makes of the mean of an image's posterior."""
    return np.rint(255 * sigmoid(4 * (pixels / 255) - 2))


@both_layouts
def test_reconstructions_stand_below_test_images(layout):
    pixels = noise(layout)
    images, rows, columns = vae_results.reconstructions(transparent(layout.width), layout, pixels)
    originals = np.concatenate(images[::2])
    assert images.shape[:2] == (4, 10) and {o.tobytes() for o in originals} <= {p.tobytes() for p in pixels}
    assert len({o.tobytes() for o in originals}) == 20
    np.testing.assert_allclose(np.concatenate(images[1::2]), decoded(originals), atol=1)
    assert rows == ["test image", "reconstruction"] * 2 and columns is None


def test_few_images_are_shown_twice_and_the_same_ones_for_every_model():
    layout = vae.Layout(4, 1, False)
    pixels = noise(layout, 3)
    shown = [vae_results.reconstructions(transparent(16, log_var), layout, pixels).images for log_var in (0, 2)]
    np.testing.assert_array_equal(*[images[::2] for images in shown])
    assert len({image.tobytes() for row in shown[0][::2] for image in row}) == 3


@both_layouts
def test_samples_from_the_prior_are_decoded_standard_normals(layout):
    images = vae_results.prior_samples(transparent(layout.width), layout).images
    assert images.shape == (5, 10, 4, 4, layout.channels)
    p = np.sort(images.ravel()) / 255
    normal = np.sort(sigmoid(np.random.default_rng(9).standard_normal(100_000)))
    expected = normal[((np.arange(len(p)) + 0.5) / len(p) * len(normal)).astype(int)]
    assert np.abs(p - expected).max() < 1.6 * 0.7 / math.sqrt(len(p)) + 2 / 255  # Kolmogorov, density at most 1.6


@both_layouts
def test_samples_from_the_posterior_stand_below_their_images(layout):
    pixels = noise(layout)
    model = transparent(layout.width, math.log(0.04))
    images, rows, _ = vae_results.posterior_samples(model, layout, pixels)
    assert images.shape[:2] == (6, 10) and rows == ["test image", "sample", "sample"] * 2
    originals, samples = np.stack([images[0], images[3]]), np.stack([images[[1, 2]], images[[4, 5]]])
    assert {o.tobytes() for o in np.concatenate(originals)} <= {p.tobytes() for p in pixels}
    p = np.clip(samples / 255, 1e-3, 1 - 1e-3)
    standard = (np.log(p / (1 - p)) - (4 * (originals / 255) - 2)[:, None]) / 0.2
    assert abs(standard.mean()) < 5 / math.sqrt(standard.size)
    assert standard.std() == pytest.approx(1, abs=5 / math.sqrt(2 * standard.size) + 0.02)  # pixels are rounded
    assert abs((standard[:, 0] * standard[:, 1]).mean()) < 5 / math.sqrt(standard.size / 2)  # not one sample twice


@both_layouts
def test_interpolation_is_a_straight_line_between_two_test_images(layout):
    pixels = noise(layout)
    images, _, columns = vae_results.interpolation(transparent(layout.width), layout, pixels)
    assert images.shape[:2] == (6, 10)
    assert columns == ["test image", "0 %", "14 %", "29 %", "43 %", "57 %", "71 %", "86 %", "100 %", "test image"]
    assert len({image.tobytes() for image in np.concatenate([images[:, 0], images[:, -1]])}) == 12
    for row in images:
        a, b = row[0] / 255, row[-1] / 255
        line = [255 * sigmoid(4 * ((1 - s) * a + s * b) - 2) for s in np.arange(8) / 7]
        np.testing.assert_allclose(row[1:-1], line, atol=0.51)


@both_layouts
def test_a_traversal_moves_one_latent_and_leaves_the_others(layout):
    pixels = np.full((40, 4, 4, layout.channels), 100, np.uint8)
    vary = [(2, 1), (0, 3), (3, 3)]  # from the one that varies most
    for (y, x), by in zip(vary, (100, 60, 20), strict=True):
        pixels[::2, y, x, 0] += np.uint8(by)
    images, rows, columns = vae_results.traversal(transparent(layout.width), layout, pixels)
    assert images.shape[:2] == (8, 9)
    assert columns == ["-3", "-2.25", "-1.5", "-0.75", "0", "0.75", "1.5", "2.25", "3"]
    for r, (y, x) in enumerate(vary):
        expected = np.full((9, 4, 4, layout.channels), 127.5)
        moves = slice(None) if layout.per_channel else 0  # by channel the three rows share a latent
        expected[:, y, x, moves] = 255 * sigmoid(np.linspace(-3, 3, 9)).reshape(9, *[1] * layout.per_channel)
        np.testing.assert_allclose(images[r], expected, atol=0.51)
        mean = 4 * layout.to_rows(pixels) - 2
        latent = (4 * y + x) * (1 if layout.per_channel else layout.channels)
        assert rows[r] == f"z{latent}, variance {mean[:, latent].var():.2f}"


def test_a_model_of_few_latents_has_a_short_traversal():
    model, layout = vae.VAE(16, 5, 2, np.random.default_rng(0)), vae.Layout(4, 1, False)
    images, rows, _ = vae_results.traversal(model, layout, noise(layout))
    assert images.shape == (2, 9, 4, 4, 1) and len(rows) == 2


# -- what is written ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on noise that stands for the drawn faces: its options, metrics and figures, and what it said."""
    figures, said, png = [], io.StringIO(), vae_results.png
    drawn = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), np.uint8)
    config = vae.VaeOptions(**SHORT, out=tmp_path_factory.mktemp("vae") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NN_DATA", raising=False)
        patch.setattr(vae, "load_drawn_faces", lambda log: (drawn, None))
        patch.setattr(vae_results, "png", lambda figure: figures.append(figure) or png(figure))
        metrics = vae.run(config, Console(file=said, width=200))
        again = vae.run(vae.VaeOptions(**SHORT, out=config.out.with_name("again")), Console(file=io.StringIO()))
    return config, metrics, figures[:len(PICTURES)], said.getvalue(), again


def test_a_run_writes_all_that_it_promises(finished):
    config, metrics, *_ = finished
    assert sorted(path.name for path in config.out.iterdir()) == sorted([
        *PICTURES, "config.json", "faces.html", "history.csv", "metrics.json", "model.safetensors"])
    for name in PICTURES:
        with Image.open(config.out / name) as picture:
            assert picture.format == "PNG" and min(picture.size) > 200
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10  # something is on it
    assert json.loads((config.out / "metrics.json").read_text()) == metrics
    history = pd.read_csv(config.out / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    for name in ("negative_elbo", "reconstruction", "kl"):
        assert history[f"test_{name}"].iloc[-1] == pytest.approx(metrics["test"][name], rel=1e-12)


def test_the_saved_weights_are_those_that_were_measured(finished):
    config, metrics, *_ = finished
    drawn = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "load_drawn_faces", lambda log: (drawn, None))
        data = vae.prepare(config, lambda line: None)
    model, layout = vae.VAE(8 * 8 * 3, 8, 3, np.random.default_rng(99)), vae.Layout(8, 3, False)
    model.load(config.out / "model.safetensors")
    for name, value in vae.terms(model, layout, data.test).items():
        assert metrics["test"][name] == pytest.approx(value, rel=1e-6)


def test_drawn_faces_say_so_wherever_they_show(finished):
    config, metrics, figures, said, _ = finished
    assert metrics["data"]["simulated"] is True
    titles = [figure._suptitle.get_text() if figure._suptitle else figure.texts[0].get_text() for figure in figures]
    assert len(titles) == len(PICTURES) and len(set(titles)) == len(titles)
    for words in (*titles, metrics["data"]["source"], said, (config.out / "config.json").read_text()):
        assert "simulated" in words


def test_what_is_printed_are_the_metrics(finished):
    _, metrics, _, said, _ = finished
    for part in ("train", "test"):
        line, = [line.split() for line in said.splitlines() if line.split()[:1] == [part]]
        m = metrics[part]
        assert line[1:] == [f"{m['negative_elbo']:.1f}", f"{m['reconstruction']:.1f}", f"{m['kl']:.1f}",
                            f"{m['bits_per_dimension']:.3f}", f"{m['active_units']}", f"{m['constant_image']:.1f}"]
    assert f"at most {metrics['test']['importance_weighted']:.1f} nats" in said
    assert f"amounts to {metrics['learned']['kl_weight']:.4f}" in said


def test_the_same_seed_gives_the_same_bytes(finished):
    config, metrics, _, _, again = finished
    assert {**again, "seconds_per_epoch": 0} == {**metrics, "seconds_per_epoch": 0}
    for name in ("model.safetensors", "config.json", *PICTURES):
        assert (config.out.with_name("again") / name).read_bytes() == (config.out / name).read_bytes()


@pytest.mark.parametrize("kl, words", [(100.0, "KL weight 100,"), (0.5, "KL weight 0.5,"), ("anneal", "from 0 to 1"),
                                       ("learned", "KL weight learned")])
def test_a_title_says_the_weight_and_fits(monkeypatch, kl, words):
    data = patterns(20, channels=3)
    figures, png = [], vae_results.png
    monkeypatch.setattr(vae_results, "png", lambda figure: figures.append(figure) or png(figure))
    config = vae.VaeOptions(kl=kl, per_channel=True, latent=2, hidden=4, out=Path("run"))
    layout, model = vae.Layout(8, 3, True), vae.VAE(64, 4, 2, np.random.default_rng(0))
    history = pd.DataFrame([{"epoch": 1, "seconds": 1.0, **{f"{part}_{name}": 1.0 for part in ("train", "test") for
                             name in vae.TERMS}}])
    data = vae.Data(data.train, data.test, "drawn faces (simulated)", True)
    metrics = vae_results.measure(model, layout, data, config, history)
    vae_results.write_results(vae_results.RunFolder(config.out, {}), config, data, layout, model, history, metrics)
    assert len(figures) == len(PICTURES)
    for figure in figures:
        title = figure._suptitle or figure.texts[0]
        assert words in title.get_text() and "each channel by itself" in title.get_text()
        assert title.get_window_extent().x1 <= figure.bbox.x1, title.get_text()


def test_the_images_shown_are_the_same_few_drawn_from_all():
    chosen = vae_results.choose(np.arange(1000), 20)
    assert len(set(chosen)) == 20 and chosen.max() > 500  # not the first of the set, which may be of one kind
    np.testing.assert_array_equal(vae_results.choose(np.arange(1000), 20), chosen)
    assert set(vae_results.choose(np.arange(3), 20)) == {0, 1, 2}


# -- the law of collapse ------------------------------------------------------------------------------------------


def test_the_law_stands_beside_what_was_measured(by_weight):
    for kl, (metrics, history) in by_weight.items():
        law = metrics["collapse"]
        spectrum = eigenvalues(vae.Layout(8, 1, False), patterns(400).train, 4)
        np.testing.assert_allclose(law["eigenvalues"], spectrum)
        assert law["mean_reduction"] == 64 / 4
        assert (law["predicted"] is None) == (kl in (0.0, "learned"))
        for part in ("train", "test"):
            assert sum(metrics[part]["latent_kl"]) == pytest.approx(metrics[part]["kl"], rel=1e-5)
        latents = history.filter(regex=r"test_kl_\d").iloc[-1]  # of 120 test images, fewer than FEW
        np.testing.assert_allclose(latents, metrics["test"]["latent_kl"], rtol=1e-5)
    one, hundred = by_weight[1.0][0], by_weight[100.0][0]
    predicted = predict(spectrum, 1.0)
    assert one["collapse"]["predicted"] == {"used": predicted.used, "kl": predicted.kl, "reconstruction": pytest.approx(
        one["test"]["constant_image"] - predicted.gain)}
    assert hundred["collapse"]["predicted"]["used"] == hundred["test"]["active_axes"] == 0 < one["test"]["active_axes"]


def test_the_figure_of_the_latents_has_the_prediction_beside_the_measurement(by_weight):
    for kl in (1.0, "learned"):
        metrics = by_weight[kl][0]
        axes, = kl_by_latent(metrics, title="t").axes
        heights = [bar.get_height() for bar in axes.patches]
        assert heights == sorted(metrics["test"]["latent_kl"], reverse=True)
        assert len(axes.lines) == (kl == 1.0)
    assert kl_by_latent(by_weight[1.0][0], title="t").axes[0].lines[0].get_ydata().sum() == pytest.approx(
        by_weight[1.0][0]["collapse"]["predicted"]["kl"])


def test_latents_that_move_together_are_one_axis(rng):
    layout = vae.Layout(2, 1, False)
    pixels = np.repeat(rng.choice([0, 255], (300, 1)), 4, axis=1).reshape(300, 2, 2, 1).astype(np.uint8)
    data = vae.Data(pixels, pixels.copy(), "", True)
    history = pd.DataFrame([{"seconds": 1.0}])
    test = vae_results.measure(transparent(4), layout, data, vae.VaeOptions(), history)["test"]
    assert (test["active_units"], test["active_axes"]) == (4, 1)

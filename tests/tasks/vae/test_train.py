"""The image study up to its last epoch: images, model, loss and training, held against formulas and integrals."""

import io
import itertools
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

import nn
from data import BadInput, faces
from tasks.common.stops import Interrupted
from tasks.vae import train as vae
from tasks.vae.model import squared_error

RUN = Path(__file__).parents[3] / "run.py"
SHORT = {"images": "pictures", "size": 8, "hidden": 8, "latent": 3, "batch": 8, "epochs": 4}


@pytest.fixture
def pictures(monkeypatch, rng):
    """A folder of twenty small colour pictures, one of them in a folder inside; and a cache of the test's own."""
    monkeypatch.setattr(faces, "CACHE", Path("cache").absolute())
    monkeypatch.delenv("NN_DATA", raising=False)
    Path("pictures", "inside").mkdir(parents=True)
    for i in range(20):
        name = f"{i}.png" if i else "inside/0.png"
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(Path("pictures", name))


def model_of(width, hidden=7, latent=3, dtype=np.float64):
    """A VAE with weights large enough that nothing is near zero."""
    model = vae.VAE(width, hidden, latent, np.random.default_rng(1))
    for p in model.parameters():
        p.data = (1.5 * p.data).astype(dtype)
    return model


def posterior_is(model, mean, log_var):
    """Make the posterior N(mean, exp(log_var)) for every x; mean and log_var (Z,)."""
    for layer, value in ((model.mean, mean), (model.log_var, log_var)):
        layer.weight.data[...] = 0
        layer.bias.data[...] = value


# -- the images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("per_channel", [False, True])
def test_rows_and_images_are_inverse(rng, channels, per_channel):
    layout = vae.Layout(5, channels, per_channel)
    pixels = rng.integers(0, 256, (7, 5, 5, channels), np.uint8)
    x = layout.to_rows(pixels)
    assert x.shape == (7 * layout.rows, layout.width) and x.dtype == np.float32
    assert (layout.rows, layout.width) == ((channels, 25) if per_channel else (1, 25 * channels))
    assert layout.to_images(x).dtype == np.float32
    np.testing.assert_array_equal(np.rint(255 * layout.to_images(x)), pixels)
    np.testing.assert_array_equal(layout.to_rows(np.rint(255 * layout.to_images(x)).astype(np.uint8)), x)


def test_by_channel_a_row_is_one_colour_of_one_image(rng):
    pixels = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    x = vae.Layout(4, 3, True).to_rows(pixels)
    for image in range(2):
        for channel in range(3):
            np.testing.assert_allclose(255 * x[3 * image + channel], pixels[image, :, :, channel].ravel(), rtol=1e-6)


def test_a_folder_of_pictures_is_split(pictures):
    lines = []
    data = vae.prepare(vae.VaeOptions(**SHORT), lines.append)
    assert data.train.shape == (14, 8, 8, 3) and data.test.shape == (6, 8, 8, 3) and data.train.dtype == np.uint8
    assert (data.source, data.simulated) == ("pictures", False)
    assert any("few" in line for line in lines)
    read = faces.read_images("pictures", 8, log=lines.append).pixels
    both = np.concatenate([data.train, data.test])
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in read)
    other = vae.prepare(vae.VaeOptions(**SHORT, seed=1), lines.append)
    assert not np.array_equal(other.test, data.test)


def test_mnist_keeps_its_own_split(rng, monkeypatch):
    sets = [rng.integers(0, 256, (n, 28, 28, 1), np.uint8) for n in (6, 1)]
    monkeypatch.setattr(vae, "read_mnist", lambda log: tuple(faces.Images(pixels, "MNIST") for pixels in sets))
    data = vae.prepare(vae.VaeOptions(images="mnist"), lambda line: None)
    np.testing.assert_array_equal(data.train, sets[0])
    np.testing.assert_array_equal(data.test, sets[1])
    assert (data.source, data.simulated) == ("MNIST", False)


@pytest.mark.parametrize("images", ["auto", "drawn"])
@pytest.mark.parametrize("size", [16, 64])
def test_drawn_faces_are_shrunk_and_said_to_be_drawn(rng, monkeypatch, images, size):
    drawn = rng.integers(0, 256, (10, 64, 64, 3), np.uint8)
    monkeypatch.setattr(vae, "load_drawn_faces", lambda log: (drawn, None))
    data = vae.prepare(vae.VaeOptions(images=images, size=size), lambda line: None)
    assert data.simulated and "simulated" in data.source
    block = 64 // size
    means = drawn.reshape(10, size, block, size, block, 3).mean(axis=(2, 4))
    found = {image.astype(int).tobytes(): image for image in np.concatenate([data.train, data.test])}
    assert len(data.train) == 7 and len(found) == 10
    for mean in means:  # some image is this one, rounded
        assert min(np.abs(image - mean).max() for image in found.values()) <= 0.5 + 1e-4


def test_drawn_faces_are_not_enlarged(monkeypatch):
    monkeypatch.setattr(vae, "load_drawn_faces", lambda log: pytest.fail("drawn before the size was looked at"))
    with pytest.raises(BadInput, match="--size.* 64 .*65"):
        vae.prepare(vae.VaeOptions(size=65), lambda line: None)


# -- the model ----------------------------------------------------------------------------------------------------


def test_sampled_codes_have_the_mean_and_the_variance_of_the_posterior():
    n, mean, log_var = 40_000, np.array([-1, 0, 2.5]), np.array([-3, 0, 1.5])
    model = model_of(4)
    posterior_is(model, mean, log_var)
    model.logits = lambda z: z  # so that the codes can be seen
    z, *said = model(nn.Tensor(np.full((n, 4), 0.5)), np.random.default_rng(0))
    variance = np.exp(log_var)
    assert (np.abs(z.data.mean(axis=0) - mean) < 4 * np.sqrt(variance / n)).all()
    assert (np.abs(z.data.var(axis=0) / variance - 1) < 4 * math.sqrt(2 / n)).all()
    assert np.abs(np.corrcoef(z.data.T) - np.eye(3)).max() < 4 / math.sqrt(n)  # each latent has noise of its own
    for tensor, expected in zip(said, (mean, log_var), strict=True):
        np.testing.assert_array_equal(tensor.data, np.tile(expected, (n, 1)))


def test_the_equations_of_the_model(rng):
    model, x, z = model_of(6), rng.uniform(size=(5, 6)), rng.normal(size=(5, 3))
    w = model.state_dict()

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    h, g = np.maximum(linear("encoder", x), 0), np.maximum(linear("decoder", z), 0)
    mean, log_var = model.encode(nn.Tensor(x))
    np.testing.assert_allclose(mean.data, linear("mean", h), rtol=1e-12)
    np.testing.assert_allclose(log_var.data, linear("log_var", h), rtol=1e-12)
    np.testing.assert_allclose(model.decode(nn.Tensor(z)).data, 1 / (1 + np.exp(-linear("output", g))), rtol=1e-12)


# -- the loss -----------------------------------------------------------------------------------------------------


def loss_of(model, x, images, weight):
    return vae.loss(model, x, images, weight, np.random.default_rng(5))[0]


def terms_by_hand(model, x):
    """Reconstruction and KL of each row, and the squared errors, from the logits of the same noise; (N,), (N,), (N, D).
    """
    logits, mean, log_var = (t.data for t in model(nn.Tensor(x), np.random.default_rng(5)))
    p = 1 / (1 + np.exp(-logits))
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
    return reconstruction, kl, (x - p) ** 2


@pytest.mark.parametrize("mean, log_var", [(0, 0), (2, 0), (0, -4), (-1.5, 1), (0.3, -0.2)])
def test_the_kl_term_is_the_integral(mean, log_var):
    model = model_of(4, latent=1)
    posterior_is(model, mean, log_var)
    x = np.full((1, 4), 0.5)
    kl = loss_of(model, x, 1, 1).item() - loss_of(model, x, 1, 0).item()
    z, deviation = np.linspace(-25, 25, 400_001), math.exp(log_var / 2)
    log_q = -0.5 * ((z - mean) / deviation) ** 2 - math.log(deviation)  # the constants of q and p cancel
    integral = np.trapezoid(np.exp(log_q) / math.sqrt(2 * math.pi) * (log_q + 0.5 * z**2), z)
    assert kl == pytest.approx(integral, abs=1e-10)


@pytest.mark.parametrize("weight", [0, 0.5, 1, 100])
@pytest.mark.parametrize("rows", [1, 3])  # 3: each channel by itself
def test_the_loss_sums_over_an_image_and_averages_over_images(rng, rows, weight):
    model, x = model_of(6), rng.uniform(size=(4 * rows, 6))
    reconstruction, kl, _ = terms_by_hand(model, x)
    by_image = (reconstruction + weight * kl).reshape(4, rows).sum(axis=1)
    assert loss_of(model, x, 4, weight).item() == pytest.approx(by_image.mean(), rel=1e-12)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_learned_weight_minimises_the_logarithm_of_the_squared_error(rng, rows):
    model, x = model_of(6), rng.uniform(size=(4 * rows, 6))
    _, kl, squared = terms_by_hand(model, x)
    expected = rows * 6 / 2 * math.log(squared.mean()) + kl.reshape(4, rows).sum(axis=1).mean()
    assert loss_of(model, x, 4, None).item() == pytest.approx(expected, rel=1e-12)


def test_the_learned_weight_has_the_gradient_of_a_gaussian_decoder_at_its_best_variance(rng):
    """The envelope theorem: as sigma^2 is at its optimum, it does not matter that it moves."""
    model, x = model_of(6), rng.uniform(size=(12, 6))
    variance = terms_by_hand(model, x)[2].mean()  # a number: no gradient goes through it
    logits, mean, log_var = model(nn.Tensor(x), np.random.default_rng(5))
    gaussian = nn.mse_loss(nn.sigmoid(logits), x, "sum") / (2 * variance) + nn.gaussian_kl(mean, log_var, "sum")
    expected = nn.grad(gaussian / 4, model.parameters())
    for found, other in zip(nn.grad(loss_of(model, x, 4, None), model.parameters()), expected, strict=True):
        np.testing.assert_allclose(found.data, other.data, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("weight", [1, 0.2, None])
def test_gradients_reach_every_parameter_and_are_right(rng, weight):
    model, x = model_of(6), rng.uniform(size=(12, 6))
    parameters = model.parameters()
    assert len(parameters) == 10
    gradients = [g.data for g in nn.grad(loss_of(model, x, 4, weight), parameters)]
    step = 1e-6
    for p, g in zip(parameters, gradients, strict=True):
        direction, start = rng.normal(size=p.shape), p.data.copy()
        ends = []
        for sign in (1, -1):
            p.data[...] = start + sign * step * direction
            ends.append(loss_of(model, x, 4, weight).item())
        p.data[...] = start
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope) > 1e-4
        assert (g * direction).sum() == pytest.approx(slope, rel=1e-5)


def test_the_weight_of_the_kl_term():
    assert [vae.kl_weight(kl, step, 100) for kl in (0.0, 3.5, 100.0) for step in (0, 50)] == [0, 0, 3.5, 3.5, 100, 100]
    assert vae.kl_weight("learned", 0, 100) is None
    assert vae.kl_weight("anneal", 0, 100) == 0
    rising = [vae.kl_weight("anneal", step, 100) for step in range(100)]
    np.testing.assert_allclose(rising[:21], np.linspace(0, 1, 21))
    assert rising[20:] == [1] * 80


# -- training -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(rng):
    """Thirty images to train on and eleven to test with: colour, so that each channel may go by itself."""
    pixels = rng.integers(0, 256, (41, 4, 4, 3), np.uint8)
    return vae.Data(pixels[:30], pixels[30:], "noise", True)


def trained(data, **options):
    """Model, layout and records of a short training."""
    config = vae.VaeOptions(**{"hidden": 8, "latent": 3, "batch": 8, "epochs": 3, **options})
    layout = vae.Layout(4, 3, config.per_channel)
    state = vae.build(config, layout)
    return state.model, layout, list(filter(None, vae.train(state, config, data, layout)))


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_terms_are_in_nats_an_image(small, per_channel):
    layout = vae.Layout(4, 3, per_channel)
    model = model_of(layout.width, dtype=np.float32)
    found = vae.terms(model, layout, small.test)
    x = layout.to_rows(small.test)
    logits, mean, log_var = (t.data.astype(float) for t in model(nn.Tensor(x), np.random.default_rng(0)))
    p = 1 / (1 + np.exp(-logits))
    expected = {"reconstruction": -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum() / 11,
                "kl": 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum() / 11}
    expected["negative_elbo"] = expected["reconstruction"] + expected["kl"]
    assert found == pytest.approx(expected, rel=1e-5)
    assert vae.terms(model, layout, small.test) == found  # the same noise at every call
    assert vae.terms(model, layout, small.test, chunk=4) == pytest.approx(found, rel=1e-5)
    for chunk in (500, 4):
        assert squared_error(model, layout, small.test, chunk) == pytest.approx(((x - p) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("kl", [0.0, 100.0, "learned", "anneal"])
def test_the_records_have_weight_1_whatever_was_optimised(small, kl):
    model, layout, records = trained(small, kl=kl)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for name, value in vae.terms(model, layout, small.test).items():
        assert records[-1][f"test_{name}"] == value
    for part, record in itertools.product(("train", "test"), records):
        parts = record[f"{part}_reconstruction"], record[f"{part}_kl"]
        assert record[f"{part}_negative_elbo"] == pytest.approx(sum(parts), rel=1e-12) and min(parts) > 0


@pytest.mark.parametrize("kl", [100.0, "learned"])
def test_the_training_record_is_what_the_steps_of_the_epoch_saw(small, monkeypatch, kl):
    seen, real = [], vae.loss

    def loss(model, x, images, weight, rng):
        before = rng.bit_generator.state
        logits, mean, log_var = (t.data.astype(float) for t in model(nn.Tensor(x), rng))
        rng.bit_generator.state = before
        seen.append({"reconstruction": (np.logaddexp(0, logits) - x * logits).sum(),
                     "kl": 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum()})
        return real(model, x, images, weight, rng)

    monkeypatch.setattr(vae, "loss", loss)
    *_, records = trained(small, kl=kl, per_channel=True)
    for i, record in enumerate(records):
        for name in ("reconstruction", "kl"):
            steps = [step[name] for step in seen[4 * i:4 * i + 4]]
            assert record[f"train_{name}"] == pytest.approx(sum(steps) / 30, rel=1e-5)


def test_evaluation_changes_nothing_in_training(small, monkeypatch):
    measured = trained(small)[0].state_dict()
    monkeypatch.setattr(vae, "terms", lambda *arguments: dict.fromkeys(vae.TERMS, 0.0))
    for name, array in trained(small)[0].state_dict().items():
        np.testing.assert_array_equal(array, measured[name])


def test_an_epoch_takes_every_image_once_with_the_weight_of_its_step(small, monkeypatch):
    seen, real = [], vae.loss

    def loss(model, x, images, weight, rng):
        seen.append((x, images, weight))
        return real(model, x, images, weight, rng)

    monkeypatch.setattr(vae, "loss", loss)
    _, layout, _ = trained(small, kl="anneal", epochs=5, per_channel=True)
    assert [images for _, images, _ in seen] == [8, 8, 8, 6] * 5
    np.testing.assert_allclose([weight for *_, weight in seen], [0, 0.25, 0.5, 0.75] + [1] * 16)
    passes = [np.concatenate([x for x, *_ in seen[i:i + 4]]) for i in (0, 4)]
    for rows in passes:
        images = np.rint(255 * layout.to_images(rows)).astype(np.uint8)
        assert sorted(map(bytes, images)) == sorted(map(bytes, small.train))
    assert not np.array_equal(*passes)  # a new order every time


# -- the run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [1, 4, 5])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(pictures, monkeypatch, capsys, stop_after):
    options, silent = {**SHORT, "kl": "anneal"}, Console(file=io.StringIO())
    straight = vae.run(vae.VaeOptions(**options, out=Path("straight")), silent)
    real, calls = vae.loss, []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(vae, "loss", stops)
        with pytest.raises(Interrupted):
            vae.run(vae.VaeOptions(**options, out=Path("stopped")), silent)
    assert [path.name for path in Path("stopped").iterdir()] == ["checkpoint.safetensors"]

    with pytest.raises(BadInput, match="another kl"):
        vae.run(vae.VaeOptions(**{**options, "kl": 1.0}, out=Path("stopped"), resume=True), silent)
    resumed = vae.run(vae.VaeOptions(**options, out=Path("stopped"), resume=True), silent)
    assert {**resumed, "seconds_per_epoch": 0} == {**straight, "seconds_per_epoch": 0}
    tables = [pd.read_csv(Path(name, "history.csv")).drop(columns="seconds")
              for name in ("straight", "stopped")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert list(tables[1]["epoch"]) == [1, 2, 3, 4]
    for name in ("model.safetensors", "reconstructions.png", "config.json"):
        assert Path("stopped", name).read_bytes() == Path("straight", name).read_bytes()
    assert not Path("stopped", "checkpoint.safetensors").exists()


@pytest.fixture
def folder_of(pictures, monkeypatch):
    """What a run of these options calls its folder, and how it knows itself again; nothing is trained."""
    class Known(Exception):
        pass

    def know(path, config, resume, overwrite):
        raise Known(path, config)

    def folder_of(**options):
        with pytest.raises(Known) as known:
            vae.run(vae.VaeOptions(images="pictures", size=8, **options), Console(file=io.StringIO()))
        return known.value.args

    monkeypatch.setattr(vae, "RunFolder", know)
    return folder_of


@pytest.mark.parametrize("options, name", [
    ({}, "vae-kl-1-images-pictures-size-8"),
    ({"kl": 100.0}, "vae-kl-100-images-pictures-size-8"),
    ({"kl": 0.5}, "vae-kl-0.5-images-pictures-size-8"),
    ({"kl": "learned"}, "vae-kl-learned-images-pictures-size-8"),
    ({"kl": "anneal", "per_channel": True}, "vae-kl-anneal-images-pictures-size-8-per_channel-True"),
])
def test_the_folder_is_named_after_the_weight(folder_of, options, name):
    path, config = folder_of(**options)
    assert path == Path("runs", name)
    assert config["kl"] == options.get("kl", 1.0) and config["source"] == "pictures"


def test_other_pictures_are_another_run(folder_of):
    _, before = folder_of()
    assert folder_of()[1] == before
    Image.new("RGB", (9, 9), "red").save("pictures/1.png")
    _, after = folder_of()
    assert after.pop("data_sha256") != before.pop("data_sha256") and after == before


@pytest.mark.parametrize("options, says", [
    ({"kl": math.nan}, "--kl: nan"), ({"kl": -1.0}, "--kl: -1"), ({"kl": math.inf}, "--kl: inf"),
    ({"latent": 0}, "--latent: 0"), ({"hidden": 0}, "--hidden: 0"), ({"size": 3}, "--size: 3"),
    ({"batch": 0}, "--batch: 0"), ({"epochs": 0}, "--epochs: 0"), ({"lr": math.nan}, "--lr: nan"),
    ({"seed": -1}, "--seed: -1"),
])
def test_what_is_out_of_range_is_refused_before_anything_is_read(monkeypatch, options, says):
    for reader in ("load_drawn_faces", "read_images", "read_mnist"):
        monkeypatch.setattr(vae, reader, lambda *arguments, **options: pytest.fail("the images were read"))
    with pytest.raises(BadInput, match=says):
        vae.run(vae.VaeOptions(**options), Console(file=io.StringIO()))


@pytest.mark.parametrize("arguments, says", [
    (["--kl", "nan"], "--kl: nan"),
    (["--kl", "-1"], "--kl: -1"),
    (["--kl", "foo"], "--kl"),
    (["--latent", "0"], "--latent: 0"),
    (["--images", "no-such-folder"], "no-such-folder: No such file or directory"),
])
def test_at_the_command_line_it_is_one_line_and_nothing_is_written(arguments, says):
    done = subprocess.run([sys.executable, RUN, "vae", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert says in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("run.py: ")
    assert not list(Path().iterdir())

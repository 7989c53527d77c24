"""The law of collapse, against eigenvalues by numpy, a toy where it is exact, and the numbers of the drawn faces."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import nn
from tasks.vae.collapse import eigenvalues, predict
from tasks.vae.model import Layout

# The twenty largest of the 3,500 drawn faces of 32 x 32 pixels that seed 0 chooses for training.
DRAWN = [80.3, 49.3, 40.2, 31.9, 28.4, 22.6, 21.3, 20.4, 7.9, 7.4, 7.3, 5.9, 5.0, 4.8, 3.8, 3.5, 3.5, 3.4, 3.3, 3.1]


def by_numpy(layout, pixels):
    """All eigenvalues of the whitened covariance of the pixels that vary, in descending order."""
    x = layout.to_rows(pixels).astype(float)
    x = x[:, x.std(axis=0) > 0]
    p = x.mean(axis=0)
    return np.linalg.eigvalsh(np.cov((x / np.sqrt(p * (1 - p))).T, bias=True))[::-1]


@pytest.mark.parametrize("n, channels, per_channel", [(300, 1, False), (200, 3, False), (200, 3, True), (20, 3, False)])
def test_the_eigenvalues_are_those_of_numpy(rng, n, channels, per_channel):
    codes = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 36 * channels))
    pixels = rng.normal(128 + 20 * codes, 10).clip(0, 255).astype(np.uint8).reshape(n, 6, 6, channels)
    pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 0, 2] = 0, 255, 77  # without variance
    layout = Layout(6, channels, per_channel)
    np.testing.assert_allclose(eigenvalues(layout, pixels, 8), by_numpy(layout, pixels)[:8], rtol=1e-3)


def test_fewer_images_than_are_asked_for_leave_zeros(rng):
    pixels = rng.integers(0, 256, (4, 6, 6, 1), np.uint8)
    found = eigenvalues(Layout(6, 1, False), pixels, 50)
    assert found.shape == (50,) and (found[3:] < 1e-3).all()  # four images minus their mean span three dimensions
    np.testing.assert_allclose(found[:3], by_numpy(Layout(6, 1, False), pixels)[:3], rtol=1e-4)
    same = np.full((9, 6, 6, 1), 200, np.uint8)
    assert not eigenvalues(Layout(6, 1, False), same, 5).any()


def test_memory_does_not_grow_with_the_square_of_the_pixels(rng):
    pixels = rng.integers(0, 256, (2, 512, 512, 3), np.uint8)
    tracemalloc.start()
    eigenvalues(Layout(512, 3, False), pixels, 2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.5 * 2**30  # the covariance of 786,432 numbers would need 4.9 TB


@pytest.mark.parametrize("weight, used, kl, gain", [
    (0.1, 20, 46.2, 1828.4 - 1652.7), (1, 20, 23.2, 1828.4 - 1661.7), (10, 8, 4.8, 1828.4 - 1721.2),
    (30, 4, 0.92, 1828.4 - 1787.5), (80.3, 0, 0, 0), (100, 0, 0, 0),
])
def test_the_drawn_faces(weight, used, kl, gain):
    found = predict(DRAWN, weight)
    assert found.used == used
    assert (found.kl, found.gain) == (pytest.approx(kl, abs=0.06), pytest.approx(gain, abs=0.2))


@pytest.mark.parametrize("weight", [0.5, 2.0, 5.0])
def test_a_linear_gaussian_model_trained_to_the_end_obeys_the_law(rng, weight):
    """The quadratic of the derivation, with y itself as data: encoder, decoder and variances are all learned."""
    spectrum = np.array([6.0, 3.0, 1.0, 0.2])
    y = rng.standard_normal((400, 4))
    y -= y.mean(axis=0)
    y = y @ np.linalg.inv(np.linalg.cholesky(np.cov(y.T, bias=True))).T * np.sqrt(spectrum)  # exactly this covariance
    y = nn.Tensor(y @ np.linalg.qr(rng.standard_normal((4, 4)))[0])
    u, encoder = (nn.Parameter(0.3 * rng.standard_normal((4, 3))) for _ in range(2))
    log_var = nn.Parameter(np.zeros(3))
    optimizer = nn.Adam([u, encoder, log_var], 0.02)
    for _ in range(900):
        optimizer.zero_grad()
        mean = y @ encoder
        kl = nn.gaussian_kl(mean, log_var + 0 * mean, "sum") / 400
        # E[-y'Uz + 1/2 z'U'Uz] over z ~ N(mean, exp(log_var)); and no posterior is correlated at the best U
        decoded = mean @ u.T
        variance = ((u * u) * nn.exp(log_var)).sum() / 2
        reconstruction = (decoded * decoded / 2 - y * decoded).sum() / 400 + variance
        (reconstruction + weight * kl).backward()
        optimizer.step()
    law = predict(spectrum[:3], weight)
    assert kl.item() == pytest.approx(law.kl, abs=0.01)
    assert reconstruction.item() == pytest.approx(-law.gain, abs=0.02)
    assert (mean.data.var(axis=0) > 0.01).sum() == law.used

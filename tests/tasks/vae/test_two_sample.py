"""A classifier tells what differs and guesses where nothing does; copies of training images are near to them."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.vae.two_sample import tell_apart, to_nearest, two_sample


def noise(rng, n, shift=0.0):
    return (0.5 + shift + 0.1 * rng.standard_normal((n, 30))).astype(np.float32)


def test_what_differs_is_told_apart_and_what_does_not_is_guessed(rng):
    assert tell_apart(noise(rng, 400, 0.1), noise(rng, 400)) > 0.95
    assert tell_apart(noise(rng, 400), noise(rng, 400)) == pytest.approx(0.5, abs=0.1)


def test_the_distance_to_the_nearest_by_hand():
    x, train = np.float32([[0, 0], [1, 1]]), np.float32([[0, 1], [1, 0.5], [0.5, 0]])
    assert to_nearest(x, train) == pytest.approx(np.sqrt(0.25 / 2))  # both are half a unit away, in one of two numbers


def test_copies_of_training_images_are_near(rng):
    train, test = noise(rng, 300), noise(rng, 200)
    found = two_sample(train[:150], train, test)
    assert found["distance"] == pytest.approx(0, abs=1e-3) and found["distance_real"] > 0.05
    assert found["accuracy_real"] == pytest.approx(0.5, abs=0.15)

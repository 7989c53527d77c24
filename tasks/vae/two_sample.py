"""How well samples pass for images: a classifier two-sample test, and the nearest training images.

Read next: figures.py, the pictures.
"""

from __future__ import annotations

import numpy as np

import nn

MOST = 500  # images on each side
EPOCHS, BATCH, HIDDEN = 20, 50, 64


def two_sample(samples: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Samples of a model beside test images; rows of D numbers from 0 to 1, float32.

    accuracy            with which a small network tells samples from test images, on halves that it was not trained
                        on: 0.5 if it cannot, 1 if it always can (Lopez-Paz & Oquab 2017, "Revisiting classifier
                        two-sample tests")
    accuracy_real       the same for test images against other test images: what chance alone gives
    distance            the median over the samples of the distance to the nearest training image (root mean square
                        over the numbers of the image); near 0 if the model repeats training images
    distance_real       the same of test images
    """
    count = min(MOST, len(samples), len(test) // 2)
    samples, test, other = samples[:count], test[:count], test[count:2 * count]
    return {"accuracy": tell_apart(samples, test), "accuracy_real": tell_apart(other, test),
            "distance": to_nearest(samples, train), "distance_real": to_nearest(test, train)}


def tell_apart(a: np.ndarray, b: np.ndarray) -> float:
    """The accuracy of a network with one hidden layer, trained on the first halves of a and b (n, D), on the others."""
    rng, half = np.random.default_rng(0), len(a) // 2
    x, y = np.concatenate([a[:half], b[:half]]), np.repeat(np.float32([1, 0]), half)[:, None]
    centre = x.mean(axis=0)
    model = nn.Sequential(nn.Linear(a.shape[1], HIDDEN, rng=rng), nn.ReLU(), nn.Linear(HIDDEN, 1, rng=rng))
    optimizer = nn.Adam(model.parameters(), 0.001)
    for _ in range(EPOCHS):
        order = rng.permutation(2 * half)
        for i in range(0, 2 * half, BATCH):
            index = order[i:i + BATCH]
            optimizer.zero_grad()
            nn.binary_cross_entropy_with_logits(model(nn.Tensor(x[index] - centre)), y[index]).backward()
            optimizer.step()
    with nn.no_grad():
        said = [(model(nn.Tensor(part[half:] - centre)).data > 0).mean() for part in (a, b)]
    return float(said[0] + 1 - said[1]) / 2


def to_nearest(x: np.ndarray, train: np.ndarray) -> float:
    """The median over x (n, D) of the root mean square distance to the nearest row of train."""
    squared = (x**2).sum(axis=1)[:, None] + (train**2).sum(axis=1) - 2 * x @ train.T
    return float(np.median(np.sqrt(squared.min(axis=1).clip(0) / x.shape[1])))

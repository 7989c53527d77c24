"""The law of collapse: which latents a weight of the KL term leaves in use, computed from the images before training.

The decoder is taken as linear around p, the mean training image (0 < p < 1): logits = logit p + W z. To second order,

    log p(x | z) = constant + (x - p)' W z - 1/2 z' W' P W z,       P = diag(p (1 - p))

With y = P^-1/2 (x - p) and U = P^1/2 W this is a Gaussian model of y. Under "reconstruction + b KL" the best posterior
has the precision (b I + U'U) / b and the mean (b I + U'U)^-1 U' y. Let lambda_1 >= lambda_2 >= ... be the eigenvalues
of C = Cov(y) = P^-1/2 Cov(x) P^-1/2. A latent whose column of U is an eigenvector of length sqrt(s) contributes

    -1/2 s lambda / (b + s) + b/2 log((b + s) / b)

to the objective, beside the constant. It is lowest at s = lambda - b if lambda > b, and at s = 0 otherwise. So, summed
over the Z largest eigenvalues,

    a latent is used    iff  lambda_k > b
    KL                  =    sum of 1/2 log(lambda_k / b)                               over lambda_k > b
    reconstruction      =    that of the mean image - sum of 1/2 (lambda_k - b)         over lambda_k > b

and no latent is used from b = lambda_1 on. The law is a prediction, not a bound: a decoder that is not linear can do
better, one that is not trained to the end does worse, and large eigenvalues leave the range of the second order.

Gaussian decoders: Tipping & Bishop 1999 (probabilistic PCA); Lucas et al. 2019, "Don't blame the ELBO!".

Read next: factors.py, what the latents have learned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tasks.vae.model import Layout

NUMBERS = 2**22  # of the images at a time, so that pictures of 512 x 512 pixels need no more memory than small ones
ITERATIONS = 200  # at most; some thirty are enough unless many eigenvalues are nearly equal


class Prediction(NamedTuple):
    """What the law says of one weight: nats per row of the model (an image has several with --per-channel).

    used    the number of latents in use
    kl      the KL term
    gain    by how much the reconstruction term is below that of the mean image
    """

    used: int
    kl: float
    gain: float


def predict(eigenvalues: np.ndarray, weight: float) -> Prediction:
    """What a weight of the KL term above 0 leaves of the latents. `eigenvalues` (Z,): see `eigenvalues`."""
    used = np.asarray(eigenvalues, float)
    used = used[used > weight]
    return Prediction(len(used), float(np.log(used / weight).sum() / 2), float((used - weight).sum() / 2))


def eigenvalues(layout: Layout, pixels: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest eigenvalues of C, in descending order; 0 where C has fewer.

    pixels (n, size, size, C) uint8 -> (count,) float64, accurate to about five digits

    Pixels that never change have no variance and are left out. No floor under p (1 - p) is needed for the others: the
    variance of a number between 0 and 1 is at most p (1 - p), so each whitened pixel has a variance of at most 1.

    C is never formed. Neither is the Gram matrix of the images, which is smaller if there are fewer of them than
    pixels. Both have the same eigenvalues as the product by Y'Y / n that is repeated here on a block of vectors, whose
    span turns to that of the first eigenvectors (subspace iteration: Golub & Van Loan, "Matrix computations", 8.2).
    """
    chunk = max(1, NUMBERS // (layout.rows * layout.width))
    starts, rows = range(0, len(pixels), chunk), len(pixels) * layout.rows
    low, high = (layout.to_rows(extreme) for extreme in (pixels.min(0, keepdims=True), pixels.max(0, keepdims=True)))
    varies = low.min(axis=0) < high.max(axis=0)
    p = sum(layout.to_rows(pixels[i:i + chunk]).sum(axis=0, dtype=np.float64) for i in starts)[varies] / rows
    scale = 1 / np.sqrt(p * (1 - p))

    def product(v):  # C v = P^-1/2 (x - p)' (x - p) P^-1/2 v / n, a chunk of the images at a time
        total, scaled = np.zeros_like(v), (scale[:, None] * v).astype(np.float32)
        for i in starts:
            x = layout.to_rows(pixels[i:i + chunk])[:, varies] - p.astype(np.float32)
            total += x.T @ (x @ scaled)
        return scale[:, None] * total / rows

    found = np.zeros(min(2 * count + 10, len(p)))  # more than are asked for: those converge faster
    v = np.linalg.qr(np.random.default_rng(0).standard_normal((len(p), len(found))))[0]
    for _ in range(ITERATIONS):
        before, image = found[:count], product(v)
        found = np.linalg.eigvalsh(v.T @ image)[::-1]
        v = np.linalg.qr(image)[0]
        if np.allclose(found[:count], before, rtol=1e-5, atol=1e-6):
            break
    return np.pad(found[:count].clip(0), (0, max(0, count - len(found))))

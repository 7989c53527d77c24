"""The variational autoencoder of the image study: how images become rows of numbers, the model, and its loss.

The reparameterization trick and the KL term are in `nn/losses.py`.

Read next: train.py, where the model is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import nn


@dataclass(frozen=True)
class Layout:
    """How an image (size, size, C) becomes the input of the model: one row of numbers, or one per channel."""

    size: int
    channels: int
    per_channel: bool

    @property
    def rows(self) -> int:
        """Rows per image."""
        return self.channels if self.per_channel else 1

    @property
    def width(self) -> int:
        """Numbers per row, D."""
        return self.size**2 * self.channels // self.rows

    def to_rows(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size, C) uint8 -> (n rows, D) float32 from 0 to 1."""
        x = pixels.transpose(0, 3, 1, 2) if self.per_channel else pixels
        return x.reshape(len(pixels) * self.rows, self.width).astype(np.float32) / 255

    def to_images(self, x: np.ndarray) -> np.ndarray:
        """(n rows, D) -> (n, size, size, C), the inverse, in x's dtype."""
        if self.per_channel:
            return x.reshape(-1, self.channels, self.size, self.size).transpose(0, 2, 3, 1)
        return x.reshape(-1, self.size, self.size, self.channels)


TERMS = ("negative_elbo", "reconstruction", "kl")  # of the loss with weight 1, in nats per image

# -- the model ----------------------------------------------------------------------------------------------------


class VAE(nn.Module):
    """A variational autoencoder of rows of D numbers from 0 to 1.

        h = relu(W1 x + b1)                      z ~ N(mean, exp(log_var))              p = sigmoid(W5 g + b5)
        mean, log_var = W2 h + b2, W3 h + b3     g = relu(W4 z + b4)

    x and p (N, D), h and g (N, H), mean, log_var and z (N, Z)
    Kingma & Welling 2014, "Auto-encoding variational Bayes", appendix C.
    """

    def __init__(self, width: int, hidden: int, latent: int, rng: np.random.Generator):
        self.latent = latent
        self.encoder = nn.Linear(width, hidden, rng=rng)
        self.mean = nn.Linear(hidden, latent, rng=rng)
        self.log_var = nn.Linear(hidden, latent, rng=rng)
        self.decoder = nn.Linear(latent, hidden, rng=rng)
        self.output = nn.Linear(hidden, width, rng=rng)

    def encode(self, x) -> tuple[nn.Tensor, nn.Tensor]:
        """Mean and log-variance (N, Z) of the posterior of z."""
        h = nn.relu(self.encoder(x))
        return self.mean(h), self.log_var(h)

    def logits(self, z) -> nn.Tensor:
        """What the last sigmoid is applied to. The loss is computed from the logits, which is numerically stable."""
        return self.output(nn.relu(self.decoder(z)))

    def decode(self, z) -> nn.Tensor:
        """The probabilities (N, D) of codes z (N, Z)."""
        return nn.sigmoid(self.logits(z))

    def forward(self, x, rng: np.random.Generator) -> tuple[nn.Tensor, nn.Tensor, nn.Tensor]:
        """Logits of one sample of the posterior, and the posterior's mean and log-variance."""
        mean, log_var = self.encode(x)
        return self.logits(nn.reparameterize(mean, log_var, rng)), mean, log_var


# -- the loss -----------------------------------------------------------------------------------------------------


def loss(model: VAE, x: np.ndarray, images: int, weight: float | None,
         rng: np.random.Generator) -> tuple[nn.Tensor, dict[str, float]]:
    """What is minimised, in nats per image: reconstruction + weight * KL; and the two terms, {"reconstruction", "kl"},
    each summed over the images. With weight 1 it is the negative ELBO.

        reconstruction = sum over the pixels of -x log p - (1 - x) log(1 - p)
        KL             = sum over the latents of (mean^2 + exp(log_var) - 1 - log_var) / 2

    With weight None it is learned. A weight that is simply another parameter would go to 0, since the KL term is never
    negative. The decoder N(p, sigma^2) gives the weight a price. Its reconstruction term is

        sum (x - p)^2 / (2 sigma^2) + D log sigma + constant

    Multiplied by sigma^2, this is half the squared error, and the KL term has the weight sigma^2; D log sigma is the
    price of a large sigma. For any model the best sigma^2 is the mean squared error, and with it the reconstruction
    term is D / 2 log(mean squared error) + constant. That is what is minimised.
    Rybkin, Daniilidis & Levine 2021, "Simple and effective VAE training with calibrated decoders", section 3.3.

    x (images * rows, D) from 0 to 1
    """
    logits, mean, log_var = model(nn.Tensor(x), rng)
    kl = nn.gaussian_kl(mean, log_var, "sum")
    if weight is None:
        objective = x.size / images / 2 * nn.log(nn.mse_loss(nn.sigmoid(logits), x)) + kl / images
        reconstruction = nn.binary_cross_entropy_with_logits(logits.data, x, "sum")  # only to be reported
    else:
        reconstruction = nn.binary_cross_entropy_with_logits(logits, x, "sum")
        objective = (reconstruction + weight * kl) / images
    return objective, {"reconstruction": reconstruction.item(), "kl": kl.item()}


def kl_weight(kl: float | str, step: int, total: int) -> float | None:
    """The weight of the KL term at a step of `total`. "anneal" rises from 0 to 1 over the first fifth, and stays 1."""
    if kl == "anneal":
        return min(1.0, 5 * step / total)
    return None if kl == "learned" else kl


def kl_of_latents(mean: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """The KL term of each latent, in nats per row: its mean over the posteriors. mean, log_var (n, Z) -> (Z,)"""
    return nn.gaussian_kl(mean, log_var, "none").mean(axis=0, dtype=np.float64)


@nn.no_grad()
def terms(model: VAE, layout: Layout, pixels: np.ndarray, chunk: int = 500) -> dict[str, float]:
    """The negative ELBO and its two terms, in nats per image, from one sample of each posterior. The weight of the KL
    term is 1, whatever was optimised. The noise is the same at every call.

    pixels (n, size, size, C); `chunk` images at a time
    """
    sums = np.zeros(2)
    for x, logits, mean, log_var in decoded(model, layout, pixels, chunk):
        sums += (nn.binary_cross_entropy_with_logits(logits, x, "sum").item(),
                 nn.gaussian_kl(mean, log_var, "sum").item())
    reconstruction, kl = (sums / len(pixels)).tolist()
    return {"negative_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}


@nn.no_grad()
def squared_error(model: VAE, layout: Layout, pixels: np.ndarray, chunk: int = 500) -> float:
    """The mean squared error of the numbers of images, (n, size, size, C), from the same samples as in `terms`."""
    total = sum(nn.mse_loss(nn.sigmoid(logits), x, "sum").item()
                for x, logits, *_ in decoded(model, layout, pixels, chunk))
    return total / (len(pixels) * layout.rows * layout.width)


def decoded(model: VAE, layout: Layout, pixels: np.ndarray, chunk: int) -> Iterator[tuple]:
    """For `chunk` images at a time of (n, size, size, C): their rows (m, D), and what the model returns for them, the
    logits (m, D), mean and log-variance (m, Z), from one sample of each posterior. The noise is always the same.
    """
    rng = np.random.default_rng(0)
    for i in range(0, len(pixels), chunk):
        x = layout.to_rows(pixels[i:i + chunk])
        yield x, *model(nn.Tensor(x), rng)

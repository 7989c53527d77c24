"""The image study: a variational autoencoder on faces, and what the weight of its KL term does.

Read top to bottom: the options, the images, the model, the loss, the training, the run. `nn/losses.py` has the
reparameterization trick and the KL term.

Read next: vae_results.py, on what is measured and written at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

import nn
from data import BadInput
from data.drawn_faces import SIDE, load_drawn_faces
from data.faces import Images, read_images, shrink, split
from data.mnist import read_mnist
from tasks.options import check_ranges, default_folder, identity
from tasks.progress import show
from tasks.run_folder import RunFolder
from tasks.training import train
from tasks.vae_results import measure, summary, write_results

STEPS = 1500  # after so many the drawn faces are worth looking at


@dataclass(frozen=True)
class Vae:
    """What does the weight of the KL term do to a variational autoencoder?

    Learns to encode and decode faces; writes learning curves, reconstructions, samples and interpolations.
    """

    kl: float | Literal["learned", "anneal"] = 1.0
    """The weight of the KL term: a number; "anneal", from 0 to 1 over the first fifth; or "learned"."""
    images: str = "auto"
    """A folder of pictures; "drawn", by this program; "mnist"; or "auto": drawn."""
    size: int = 32
    """Pixels along a side. (MNIST has 28.)"""
    hidden: int = 400
    """Units of the hidden layers."""
    latent: int = 20
    """Latent variables."""
    batch: int = 128
    """Images a step."""
    epochs: int | None = None
    """Passes over the training images. By default as many as make 1,500 steps, and at least 10."""
    lr: float = 0.001
    """Learning rate of Adam."""
    per_channel: bool = False
    """Encode and decode red, green and blue each by itself."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the images and the noise."""
    out: Path | None = None
    """The run's folder. By default runs/vae-KL..., with the options that are not at their defaults."""
    resume: bool = False
    """Go on with a run that was stopped."""
    overwrite: bool = False
    """Replace what is in the run's folder."""


# -- the images ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """What the study learns from: pixels (n, size, size, C) uint8, C = 3 or 1."""

    train: np.ndarray
    test: np.ndarray
    source: str
    simulated: bool

    @property
    def sets(self) -> dict[str, np.ndarray]:
        return {"train": self.train, "test": self.test}


def prepare(config: Vae, log=print) -> Data:
    """Find, read and split the images: 70 % to train, 30 % to test; MNIST has a split of its own."""
    check_ranges(config, size=(4, 512), hidden=(1, 10_000), latent=(1, 1000), batch=(1, 10**6), lr=(1e-12, 10),
                 seed=(0, 2**63), **({} if isinstance(config.kl, str) else {"kl": (0, 10**6)}),
                 **({} if config.epochs is None else {"epochs": (1, 10**6)}))
    if config.images == "mnist":
        train_images, test_images = read_mnist(log)
        return Data(train_images.pixels, test_images.pixels, train_images.source, False)
    if config.images in ("auto", "drawn"):
        if config.size > SIDE:
            raise BadInput(f"--size: the drawn faces have {SIDE} pixels along a side, not {config.size}")
        faces, _ = load_drawn_faces(log=log)
        images = Images(np.stack([np.rint(shrink(face, config.size)).astype(np.uint8) for face in faces]),
                        "drawn faces (simulated)", simulated=True)
    else:
        images = read_images(config.images, config.size, log=log)
    for note in images.notes:
        log(note)
    train_index, test_index = split(len(images), config.seed)
    return Data(images.pixels[train_index], images.pixels[test_index], images.source, images.simulated)


@dataclass(frozen=True)
class Layout:
    """How an image (size, size, C) becomes what the model takes: one row of all its numbers, or a row a channel."""

    size: int
    channels: int
    per_channel: bool

    @property
    def rows(self) -> int:
        """Rows an image."""
        return self.channels if self.per_channel else 1

    @property
    def width(self) -> int:
        """Numbers a row, D."""
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
        """What the last sigmoid is taken of: the loss is computed from it, stably."""
        return self.output(nn.relu(self.decoder(z)))

    def decode(self, z) -> nn.Tensor:
        """The probabilities (N, D) of codes z (N, Z)."""
        return nn.sigmoid(self.logits(z))

    def forward(self, x, rng: np.random.Generator) -> tuple[nn.Tensor, nn.Tensor, nn.Tensor]:
        """Logits of one sample of the posterior, and the posterior's mean and log-variance."""
        mean, log_var = self.encode(x)
        return self.logits(nn.reparameterize(mean, log_var, rng)), mean, log_var


# -- the loss -----------------------------------------------------------------------------------------------------


def loss(model: VAE, x: np.ndarray, images: int, weight: float | None, rng: np.random.Generator) -> nn.Tensor:
    """What is minimised, in nats an image: reconstruction + weight * KL. With weight 1 it is the negative ELBO.

        reconstruction = sum over the pixels of -x log p - (1 - x) log(1 - p)
        KL             = sum over the latents of (mean^2 + exp(log_var) - 1 - log_var) / 2

    Without a weight it is learned. A free weight would only go to 0, as the KL term is never negative: it has to
    have a price. It has one in a decoder N(p, sigma^2), whose reconstruction term is

        sum (x - p)^2 / (2 sigma^2) + D log sigma + constant

    Times sigma^2, this is half the squared error, and the KL term has got the weight sigma^2; D log sigma is the price
    of making sigma large. The best sigma^2 is the mean squared error, whatever the model does, and with it the
    reconstruction term is D / 2 log(mean squared error) + constant: that is what is minimised.
    Rybkin, Daniilidis & Levine 2021, "Simple and effective VAE training with calibrated decoders", section 3.3.

    x (images * rows, D) from 0 to 1
    """
    logits, mean, log_var = model(nn.Tensor(x), rng)
    kl = nn.gaussian_kl(mean, log_var, "sum") / images
    if weight is None:
        return x.size / images / 2 * nn.log(nn.mse_loss(nn.sigmoid(logits), x)) + kl
    return nn.binary_cross_entropy_with_logits(logits, x, "sum") / images + weight * kl


def kl_weight(kl: float | str, step: int, total: int) -> float | None:
    """The weight of the KL term at a step of so many: "anneal" rises from 0 to 1 over the first fifth."""
    if kl == "anneal":
        return min(1.0, 5 * step / total)
    return None if kl == "learned" else kl


# -- training -----------------------------------------------------------------------------------------------------


@nn.no_grad()
def terms(model: VAE, layout: Layout, pixels: np.ndarray, part: int = 500) -> dict[str, float]:
    """The negative ELBO and its two parts, in nats an image, with a sample of each posterior; and the squared error.

    The weight of the KL term in it is 1, whatever was optimised; the noise is the same at every call.
    """
    rng, sums = np.random.default_rng(0), np.zeros(3)
    for i in range(0, len(pixels), part):
        x = layout.to_rows(pixels[i:i + part])
        logits, mean, log_var = model(nn.Tensor(x), rng)
        sums += (nn.binary_cross_entropy_with_logits(logits, x, "sum").item(),
                 nn.gaussian_kl(mean, log_var, "sum").item(),
                 nn.mse_loss(nn.sigmoid(logits), x, "sum").item())
    reconstruction, kl, squared = (sums / len(pixels)).tolist()
    return {"negative_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl,
            "squared_error": squared / (layout.rows * layout.width)}


def begin(config: Vae, layout: Layout) -> tuple[VAE, nn.Adam, np.random.Generator]:
    """An untrained model, its optimiser, and the generator that the weights came from and the noise will come from."""
    rng = np.random.default_rng(config.seed)
    model = VAE(layout.width, config.hidden, config.latent, rng)
    return model, nn.Adam(model.parameters(), config.lr), rng


def fit(config: Vae, data: Data, layout: Layout, model: VAE, optimizer: nn.Optimizer, rng: np.random.Generator,
        start: int = 0, skip: int = 0) -> Iterator[dict | None]:
    """Train for one weight; the records hold the terms of both sets, as train_kl, test_kl, ..."""
    total = config.epochs * -(-len(data.train) // config.batch)

    def batches(epoch):  # the order is the epoch's own, so that a run can go on in the midst of one
        order = np.random.default_rng([config.seed, epoch]).permutation(len(data.train))
        return ([order[i:i + config.batch]] for i in range(0, len(order), config.batch))

    def loss_of(index):
        weight = kl_weight(config.kl, optimizer.steps, total)
        return loss(model, layout.to_rows(data.train[index]), len(index), weight, rng)

    def evaluate():
        return {f"{part}_{name}": value for part, pixels in data.sets.items()
                for name, value in terms(model, layout, pixels).items()}

    return train(model, optimizer, batches, loss_of, evaluate, config.epochs, rng, start, skip)


def describe(record: dict) -> str:
    """A record of training, as the progress bar shows it."""
    return (f"negative ELBO: train {record['train_negative_elbo']:.1f}, test {record['test_negative_elbo']:.1f} nats "
            f"(reconstruction {record['test_reconstruction']:.1f}, KL {record['test_kl']:.1f})")


def with_epochs(config: Vae, data: Data) -> Vae:
    """The options, with the number of epochs said: by default as many as make 1,500 steps, and at least 10."""
    steps_an_epoch = -(-len(data.train) // config.batch)
    return dataclasses.replace(config, epochs=config.epochs or max(10, round(STEPS / steps_an_epoch)))


def run_config(config: Vae, data: Data) -> dict:
    """What decides the numbers of a run: the options, and the images by their name and content."""
    pixels = hashlib.sha256(data.train.tobytes() + data.test.tobytes()).hexdigest()
    return {**identity(config), "source": data.source, "data_sha256": pixels}


def run(config: Vae, console: Console) -> dict:
    """The whole study for one weight: writes the run's folder and returns what `metrics.json` holds.

    BadInput for an option or a file that is wrong, with nothing written; Interrupted at Ctrl-C, with the state saved;
    Diverged if the numbers go wrong. The same options give the same bits, as long as the BLAS has as many threads:
    they decide the order of its sums.
    """
    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    data = prepare(config, log)
    layout = Layout(data.train.shape[1], data.train.shape[3], config.per_channel)
    log(f"{data.source}: {len(data.train):,} images to train, {len(data.test):,} to test, {layout.size} x "
        f"{layout.size} pixels, {'colour' if layout.channels == 3 else 'grey'}.")
    name = f"vae-kl-{config.kl}" if isinstance(config.kl, str) else f"vae-kl-{config.kl:g}"
    out = config.out or default_folder(config, name, "kl")
    config = with_epochs(config, data)
    with RunFolder(out, run_config(config, data), config.resume, config.overwrite) as folder:
        model, optimizer, rng = begin(config, layout)
        history, step = folder.restore(model, optimizer, rng, log)
        records = fit(config, data, layout, model, optimizer, rng, len(history), step)
        records = show(records, len(history), config.epochs, describe, console)
        history = folder.follow(records, history, step, model, optimizer, rng)
        metrics = measure(model, layout, data, config, history)
        write_results(folder, config, data, layout, model, history, metrics)
    summary(metrics, console)
    log(f"Learning curves, reconstructions, samples, interpolations and weights are in {folder.path}/")
    return metrics

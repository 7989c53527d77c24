"""The image study: a variational autoencoder on faces, and what the weight of its KL term does.

Read from top to bottom: the options, the images, the training, the run. The model and its loss are in `model.py`.

Read next: results.py, what is measured and written at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from rich.console import Console
from threadpoolctl import threadpool_limits

import nn
from data import BadInput
from data.drawn_faces import SIDE, load_drawn_faces
from data.faces import Images, read_images, shrink, split
from data.mnist import read_idx_folder, read_mnist
from tasks.common import training
from tasks.common.machine import CORES
from tasks.common.options import RunOptions, Seed, between, check_ranges, default_folder, identity
from tasks.common.progress import log_to, show, warn_of_minutes
from tasks.common.run_folder import RunFolder
from tasks.common.training import TrainingState
from tasks.vae.model import TERMS, VAE, Layout, kl_of_latents, kl_weight, loss, terms
from tasks.vae.results import encode, measure, summary, write_results

STEPS = 1500  # after which the reconstructions of the drawn faces are sharp
FEW = 500  # test images, of which the latents are looked at after every epoch


@dataclass(frozen=True)
class VaeOptions(RunOptions):
    """What does the weight of the KL term do to a variational autoencoder?

    Learns to encode and decode faces.

    Writes learning curves, reconstructions, samples and interpolations.
    """

    kl: Annotated[float, between(float, 0, 10**6)] | Literal["learned", "anneal"] = 1.0
    """The weight of the KL term: a number; "anneal", from 0 to 1 over the first fifth; or "learned"."""
    images: str = "auto"
    """A folder of pictures, or of files like MNIST's; "drawn", by this program; "mnist"; or "auto": drawn."""
    size: Annotated[int, between(int, 4, 512)] = 32
    """Pixels along a side. (MNIST has 28.)"""
    hidden: Annotated[int, between(int, 1, 10_000)] = 400
    """Units of the hidden layers."""
    latent: Annotated[int, between(int, 1, 1000)] = 20
    """Latent variables."""
    batch: Annotated[int, between(int, 1, 10**6)] = 128
    """Images per step."""
    epochs: Annotated[int, between(int, 1, 10**6)] | None = None
    """Passes over the training images. By default as many as make 1500 steps, and at least 10."""
    lr: Annotated[float, between(float, 1e-12, 10)] = 0.001
    """Learning rate of Adam."""
    per_channel: bool = False
    """Encode and decode red, green and blue each by itself."""
    seed: Seed = 0
    """Decides the split, the initial weights, the order of the images and the noise."""


# -- the images ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """What the study learns from: pixels (n, size, size, C) uint8, C = 3 or 1."""

    train: np.ndarray
    test: np.ndarray
    source: str
    simulated: bool
    factors: dict[str, pd.DataFrame] | None = None  # of drawn faces, {"train": a row an image, "test": the same}

    @property
    def sets(self) -> dict[str, np.ndarray]:
        return {"train": self.train, "test": self.test}


def prepare(options: VaeOptions, log: Callable[[str], None] = print) -> Data:
    """Find, read and split the images: 70 % for training and 30 % for test; MNIST and its like have their own split."""
    check_ranges(options)
    factors = None
    if options.images in ("auto", "drawn"):
        if options.size > SIDE:
            raise BadInput(f"--size: the drawn faces have {SIDE} pixels along a side, not {options.size}")
        faces, factors = load_drawn_faces(log=log)
        images = Images(np.stack([np.rint(shrink(face, options.size)).astype(np.uint8) for face in faces]),
                        "drawn faces (simulated)", simulated=True)
    elif pair := read_mnist(log) if options.images == "mnist" else read_idx_folder(options.images):
        train_images, test_images = pair
        return Data(train_images.pixels, test_images.pixels, train_images.source, False)
    else:
        images = read_images(options.images, options.size, log=log)
    for note in images.notes:
        log(note)
    train_index, test_index = split(len(images), options.seed)
    index = {"train": train_index, "test": test_index}
    return Data(images.pixels[train_index], images.pixels[test_index], images.source, images.simulated,
                None if factors is None else {name: factors.iloc[rows] for name, rows in index.items()})


# -- training -----------------------------------------------------------------------------------------------------


def build(options: VaeOptions, layout: Layout) -> TrainingState:
    """An untrained model, its optimiser, and the generator of the weights and then of the noise."""
    rng = np.random.default_rng(options.seed)
    model = VAE(layout.width, options.hidden, options.latent, rng)
    return TrainingState(model, nn.Adam(model.parameters(), options.lr), rng)


def train(state: TrainingState, options: VaeOptions, data: Data, layout: Layout) -> Iterator[dict | None]:
    """Train with one weight of the KL term. The records hold the terms of both sets, as train_kl, test_kl, ...: of the
    training set as the steps of the epoch saw them, of the test set after the epoch. And the KL term of each latent
    by itself, test_kl_0, test_kl_1, ..., in nats per row of the model, over the first FEW test images.
    """
    total = options.epochs * -(-len(data.train) // options.batch)

    def batches(epoch):  # the order depends on the epoch alone, so that a run can be resumed within an epoch
        order = np.random.default_rng([options.seed, epoch]).permutation(len(data.train))
        return ([order[i:i + options.batch]] for i in range(0, len(order), options.batch))

    def loss_of(index):
        weight = kl_weight(options.kl, state.optimizer.steps, total)
        return loss(state.model, layout.to_rows(data.train[index]), len(index), weight, state.rng)

    def evaluate(counts):
        seen = {term: total / len(data.train) for term, total in counts.items()}
        seen["negative_elbo"] = seen["reconstruction"] + seen["kl"]
        test = terms(state.model, layout, data.test)
        latents = kl_of_latents(*encode(state.model, layout, data.test[:FEW]))
        return ({f"train_{term}": seen[term] for term in TERMS} | {f"test_{term}": test[term] for term in TERMS}
                | {f"test_kl_{k}": float(kl) for k, kl in enumerate(latents)})

    return training.train(state, batches, loss_of, evaluate, options.epochs)


def describe(record: dict) -> str:
    """A record of training, as the progress bar shows it."""
    return (f"negative ELBO: train {record['train_negative_elbo']:.1f}, test {record['test_negative_elbo']:.1f} nats "
            f"(reconstruction {record['test_reconstruction']:.1f}, KL {record['test_kl']:.1f})")


def with_epochs(options: VaeOptions, data: Data) -> VaeOptions:
    """The options with the number of epochs filled in: by default as many as make 1,500 steps, and at least 10."""
    steps_per_epoch = -(-len(data.train) // options.batch)
    return dataclasses.replace(options, epochs=options.epochs or max(10, round(STEPS / steps_per_epoch)))


def run_config(options: VaeOptions, data: Data) -> dict:
    """What decides the numbers of a run: the options, and the images by their name and content."""
    pixels = hashlib.sha256(data.train.tobytes() + data.test.tobytes()).hexdigest()
    return {**identity(options), "source": data.source, "data_sha256": pixels}


def expected_seconds(options: VaeOptions, data: Data) -> float:
    """About how long a run takes, with one thread; `options` with the number of epochs."""
    return 7e-8 * options.epochs * (data.train.size + data.test.size)


# -- the run ------------------------------------------------------------------------------------------------------


@threadpool_limits.wrap(limits=1)  # nn's own threads are as fast, and faster on a busy machine: see nn/threads.py
def run(options: VaeOptions, console: Console) -> dict:
    """The whole study for one weight: writes the run's folder and returns what `metrics.json` holds.

    Raises BadInput for a wrong option or file, with nothing written; Interrupted at Ctrl-C, with the state saved;
    Diverged if a number is not finite. No bit depends on the number of threads.
    """
    nn.set_num_threads(min(2, CORES))
    log = log_to(console)
    data = prepare(options, log)
    layout = Layout(data.train.shape[1], data.train.shape[3], options.per_channel)
    log(f"{data.source}: {len(data.train):,} images for training, {len(data.test):,} for test, {layout.size} x "
        f"{layout.size} pixels, {'colour' if layout.channels == 3 else 'grey'}.")
    name = f"vae-kl-{options.kl}" if isinstance(options.kl, str) else f"vae-kl-{options.kl:g}"
    out = options.out or default_folder(options, name, "kl")
    options = with_epochs(options, data)
    with RunFolder(out, run_config(options, data), options.resume, options.overwrite) as folder:
        state = build(options, layout)
        folder.restore(state, log)
        warn_of_minutes(expected_seconds(options, data), log)
        records = train(state, options, data, layout)
        records = show(records, len(state.history), options.epochs, describe, console)
        history = folder.follow(records, state)
        metrics = measure(state.model, layout, data, options, history)
        write_results(folder, options, data, layout, state.model, history, metrics)
    summary(metrics, console)
    log(f"Learning curves, reconstructions, samples, interpolations and weights are in {folder.path}/")
    if (explorer := folder.path / "faces.html").exists():
        log(f"To move the latents by hand, open {explorer} in a browser.")
    return metrics

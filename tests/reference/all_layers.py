"""One model of everything that has parameters, and the questions it is asked: by nn's tests, and by record_weights.py
of its twin in PyTorch.

Read next: record_weights.py.
"""

from __future__ import annotations

import itertools

import numpy as np

import nn
from tasks.covid.train import Classifier
from tasks.vae.model import VAE

N, L, I, H, PIXELS = 2, 5, 3, 5, 7
LAYERS = {" ".join(map(str, [cls, *sizes, *options.values()])): (cls, sizes, options) for cls, sizes, options in [
    *((cls, (I, H), {"num_layers": layers, "bidirectional": both, "batch_first": True})
      for cls, layers, both in itertools.product(("RNN", "LSTM", "GRU"), (1, 2, 3), (False, True))),
    ("RNN", (I, H), {"nonlinearity": "relu"}), ("Linear", (I, H), {}), ("Linear", (I, H), {"bias": False}),
    ("LayerNorm", (I,), {}), ("RNNCell", (I, H), {}), ("LSTMCell", (I, H), {}), ("GRUCell", (I, H), {})]}
VAE_SIZES = (PIXELS, H, 2)  # pixels, hidden, latent
CLASSIFIERS = {cell: (cell, H, 2) for cell in ("rnn", "lstm", "gru")}  # hidden, layers


class Everything(nn.Module):
    """Every layer and cell, and the models of the two studies."""

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.layers = {name: getattr(nn, cls)(*sizes, **options, **{} if cls == "LayerNorm" else {"rng": rng})
                       for name, (cls, sizes, options) in LAYERS.items()}
        self.sequential = nn.Sequential(nn.Linear(I, H, rng=rng), nn.relu, nn.Linear(H, 2, rng=rng))
        self.vae = VAE(*VAE_SIZES, rng)
        self.classifiers = {cell: Classifier(*sizes, rng) for cell, sizes in CLASSIFIERS.items()}


def questions() -> dict[str, np.ndarray]:
    """x for the layers, h for the cells, a window of one feature for the classifiers, an image for the autoencoder."""
    rng = np.random.default_rng(0)
    shapes = {"x": (N, L, I), "h": (N, H), "window": (N, L, 1), "image": (N, PIXELS)}
    return {name: rng.uniform(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def answers(everything, x, h, window, image) -> dict:
    """What the parts say, of either library: {name of a part, number of its answer: a tensor}."""
    said = {}
    for name, (cls, _, _) in LAYERS.items():
        layer = everything.layers[name]
        said[name] = layer(x) if "Cell" not in cls else layer(x[:, 0], (h, h) if cls == "LSTMCell" else h)
    mean, log_var = everything.vae.encode(image)
    said |= {"sequential": everything.sequential(x), "vae": (mean, log_var, everything.vae.decode(mean))}
    said |= {cell: everything.classifiers[cell](window) for cell in CLASSIFIERS}
    return {f"{name}, {i}": tensor for name, part in said.items() for i, tensor in enumerate(flat(part))}


def flat(part) -> list:
    """h and (h_n, c_n): three tensors."""
    return [tensor for p in part for tensor in flat(p)] if isinstance(part, tuple) else [part]

"""A small regression with dropout, in micro-batches, that the tests train."""

from __future__ import annotations

import numpy as np

import nn
from tasks.common.training import TrainingState


def problem():
    """A small regression: its state, a batch of two micro-batches, and the loss of a micro-batch."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 5, rng=rng), nn.Dropout(0.2, rng=rng), nn.Linear(5, 1, rng=rng))
    x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    batch = [(x[:5], y[:5]), (x[5:], y[5:])]

    def loss(micro_batch):
        x, y = micro_batch
        return nn.mse_loss(model(nn.Tensor(x)), y, reduction="sum") / 8, {"rows": len(x)}

    return TrainingState(model, nn.Adam(model.parameters(), 0.01), rng), batch, loss

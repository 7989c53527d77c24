"""Do weights travel between PyTorch and nn? By hand, with torch and what the project needs, from the checkout:

    PYTHONPATH=. python tests/reference/record_weights.py

writes beside this script weights.safetensors, the twin of all_layers.py as PyTorch saves it, and answers.safetensors,
what it answers: tests/nn/test_weights_travel.py holds nn to both. Then it goes the other way. What nn saved is loaded
in PyTorch by load_state_dict, strictly, and the two must answer the same.

Read next: tests/nn/test_weights_travel.py.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import all_layers
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch


class VAE(torch.nn.Module):
    """That of tasks/vae.py."""

    def __init__(self, width, hidden, latent):
        super().__init__()
        self.encoder, self.mean = torch.nn.Linear(width, hidden), torch.nn.Linear(hidden, latent)
        self.log_var, self.decoder = torch.nn.Linear(hidden, latent), torch.nn.Linear(latent, hidden)
        self.output = torch.nn.Linear(hidden, width)

    def encode(self, x):
        h = self.encoder(x).relu()
        return self.mean(h), self.log_var(h)

    def decode(self, z):
        return self.output(self.decoder(z).relu()).sigmoid()


class Classifier(torch.nn.Module):
    """The classifier of tasks/covid/train.py."""

    def __init__(self, cell, hidden, layers):
        super().__init__()
        self.recurrent = getattr(torch.nn, cell.upper())(1, hidden, layers, batch_first=True)
        self.linear = torch.nn.Linear(hidden, 2)

    def forward(self, x):
        return self.linear(self.recurrent(x)[0][:, -1])


class Everything(torch.nn.Module):
    """That of all_layers.py."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleDict({name: getattr(torch.nn, cls)(*sizes, **options)
                                           for name, (cls, sizes, options) in all_layers.LAYERS.items()})
        self.sequential = torch.nn.Sequential(torch.nn.Linear(all_layers.I, all_layers.H), torch.nn.ReLU(),
                                              torch.nn.Linear(all_layers.H, 2))
        self.vae = VAE(*all_layers.VAE_SIZES)
        self.classifiers = torch.nn.ModuleDict({cell: Classifier(*sizes)
                                                for cell, sizes in all_layers.CLASSIFIERS.items()})


def ask(model: Everything) -> dict[str, np.ndarray]:
    with torch.no_grad():
        said = all_layers.answers(model, **{key: torch.tensor(x) for key, x in all_layers.questions().items()})
    return {name: np.ascontiguousarray(tensor) for name, tensor in said.items()}


def from_pytorch() -> None:
    model = Everything()
    for p in model.parameters():  # LayerNorm begins with ones and zeros, which any mistake would leave alone
        torch.nn.init.uniform_(p, -1, 1)
    beside_this = Path(__file__).parent
    safetensors.torch.save_file(model.state_dict(), beside_this / "weights.safetensors")
    safetensors.numpy.save_file(ask(model), beside_this / "answers.safetensors", {
        "info": json.dumps({"torch": torch.__version__, "state_dict": list(model.state_dict())})})


def to_pytorch() -> None:
    ours, theirs = all_layers.Everything(seed=1), Everything()
    with tempfile.TemporaryDirectory() as folder:
        ours.save(Path(folder) / "model.safetensors")
        theirs.load_state_dict(safetensors.torch.load_file(Path(folder) / "model.safetensors"), strict=True)
    for (name, p), q in zip(ours.named_parameters(), theirs.state_dict().values(), strict=True):
        np.testing.assert_array_equal(p.data, q.numpy(), name)
    said = ask(theirs)
    for name, tensor in all_layers.answers(ours, **all_layers.questions()).items():
        np.testing.assert_allclose(tensor.data, said[name], 1e-5, 1e-6, err_msg=name)
    print(f"{len(theirs.state_dict())} tensors that nn saved are PyTorch's, and {len(said)} answers are the same")


if __name__ == "__main__":
    torch.manual_seed(0)
    from_pytorch()
    to_pytorch()

"""Record PyTorch's values, to which tests/nn holds `nn`. Making them needs torch; using them does not:

    python tests/reference/record.py

writes three files beside this script, each a safetensors file of small float64 arrays whose metadata has one
entry, "info": JSON with the version of torch and what a test needs to know to make the same call. All inputs come
from seeded generators, so the same torch writes the same files.

    functions.safetensors    ops, losses, Linear, LayerNorm: values and gradients
    optimisers.safetensors   parameters after each of 20 steps; clipped gradients; learning rates by epoch
    training.safetensors     ten steps of a small classifier: its weights before and after, and the ten losses

Read next: record_recurrent.py, record_edges.py and record_weights.py, which write the others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

N, L, I, H, K = 5, 7, 3, 2, 4
inf = float("inf")
rng = np.random.default_rng(20200122)


def normal(*shape: int) -> torch.Tensor:
    """Standard normal numbers that want a gradient."""
    return torch.tensor(rng.standard_normal(shape), requires_grad=True)


def uniform(*shape: int) -> torch.Tensor:
    """Numbers between 0 and 1 that want a gradient."""
    return torch.tensor(rng.uniform(size=shape), requires_grad=True)


def given(values, requires_grad: bool = True) -> torch.Tensor:
    """These numbers."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def write(name: str, arrays: dict[str, torch.Tensor], info: dict) -> None:
    """Write one file, beside it first and then renamed."""
    for key, array in arrays.items():
        if array.isnan().any():
            raise ValueError(f"{name}: {key} holds nan, which nothing can be compared with")
    path = Path(__file__).with_name(f"{name}.safetensors")
    beside = path.with_suffix(".tmp")
    save_file({key: array.detach().contiguous().numpy() for key, array in arrays.items()}, beside,
              metadata={"info": json.dumps({"torch": torch.__version__, **info})})
    os.replace(beside, path)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1000:.0f} kB")


# -- functions -----------------------------------------------------------------------------------------------

holes = [[0.3, -inf, 1.2, -0.7], [-inf, -inf, -inf, 2.0], [1e4, 0.0, -1e4, 9999.0], [0.1, 0.2, 0.3, -1e4]]
ties = [[1.0, 3.0, 3.0, 0.5], [2.0, 2.0, 2.0, 2.0], [-1.0, -4.0, 0.0, -4.0]]
rows, columns = torch.tensor([0, 2, 0, 0, 4]), torch.tensor([1, 0, 1, 2, 2])

OPS = {  # name: (function, inputs); the same names are in test_against_pytorch.py
    "softmax": (lambda x: x.softmax(-1), given(holes)),
    "softmax over the first axis": (lambda x: x.softmax(0), normal(N, I)),
    "log_softmax": (lambda x: x.log_softmax(-1), given(holes)),
    "logsumexp": (lambda x: x.logsumexp(-1), given(holes)),
    "logsumexp over two axes": (lambda x: x.logsumexp((0, 2)), normal(N, I, H)),
    "max, ties": (lambda x: x.amax(-1), given(ties)),
    "max of all, ties": (lambda x: x.amax(), given(ties)),
    "min, ties": (lambda x: x.amin(0), given(ties)),
    "maximum, ties": (torch.maximum, given([1.0, 2.0, 3.0]), given([3.0, 2.0, 1.0])),
    "minimum, ties": (torch.minimum, given([1.0, 2.0, 3.0]), given([3.0, 2.0, 1.0])),
    "clip, at its bounds": (lambda x: x.clip(-1, 1), given([-2.0, -1.0, 0.5, 1.0, 1.5])),
    "clip from below": (lambda x: x.clip(min=-1), given([-2.0, -1.0, 0.5, 1.0, 1.5])),
    "relu at 0": (torch.relu, given([-1.5, 0.0, 2.0])),
    "abs at 0": (torch.abs, given([-1.5, 0.0, 2.0])),
    "square root": (torch.sqrt, given([1e-300, 0.25, 2.0, 1e300])),
    "x ** 0 at 0": (lambda x: x**0, given([-1.5, 0.0, 2.0])),
    "x ** 1 at 0": (lambda x: x**1, given([-1.5, 0.0, 2.0])),
    "x ** 2 at 0": (lambda x: x**2, given([-1.5, 0.0, 2.0])),
    "x ** 3 at 0": (lambda x: x**3, given([-1.5, 0.0, 2.0])),
    "x ** -2": (lambda x: x**-2, given([-1.5, 0.1, 2.0])),
    "a ** b at 0": (torch.pow, given([0.0, 0.0, 0.0, 2.0, 2.0]), given([0.0, 1.0, 2.0, 0.0, -3.0])),
    "2 ** x": (lambda x: 2**x, given([-1.5, 0.0, 2.0])),
    "sigmoid far out": (torch.sigmoid, given([-700.0, -40.0, 0.0, 40.0, 1e4])),
    "tanh far out": (torch.tanh, given([-1e4, -20.0, 1e-9, 20.0, 1e4])),
    "expm1 near 0": (torch.expm1, given([-1e-12, 0.0, 1e-18, 1.0, -40.0])),
    "log1p near 0": (torch.log1p, given([-1e-12, 0.0, 1e-18, 1.0, 1e9])),
    "variance": (lambda x: x.var(-1, correction=0), normal(N, I)),
    "variance, unbiased": (lambda x: x.var((0, 2), correction=1, keepdim=True), normal(N, I, H)),
    "rows gathered twice": (lambda x, i: x[i], normal(N, I), rows),
    "elements gathered twice": (lambda x, i, j: x[i, j], normal(N, I), rows, columns),
    "rows by a mask": (lambda x, mask: x[mask], normal(N, I), rows == 0),
    "no rows": (lambda x, i: x[i], normal(N, I), rows[:0]),
    "an array, a slice, an array": (lambda x, i, j: x[i, 1:, j], normal(N, L, I), rows, columns),
    "steps, a new axis, the rest": (lambda x: x[1:4:2, None, ..., -1], normal(N, L, I)),
    "a slice of nothing": (lambda x: x[3:3], normal(N, I)),
    "rows scattered twice": (lambda g, i: torch.zeros(N, I).double().index_put((i,), g, accumulate=True),
                             normal(N, I), rows),
    "the middle of a split": (lambda x: x.tensor_split((1, 4), 1)[1], normal(N, L)),
    "the last of equal parts": (lambda x: x.tensor_split(I, -1)[-1], normal(N, 2 * I)),
    "Linear": (F.linear, normal(N, L, I), normal(H, I), normal(H)),
    "Linear without bias": (F.linear, normal(N, I), normal(H, I)),
    "LayerNorm": (lambda x, w, b: F.layer_norm(x, (I,), w, b), normal(N, L, I), normal(I), normal(I)),
    "LayerNorm of nearly equal numbers": (lambda x, w, b: F.layer_norm(x, (I,), w, b),
                                          given([[3.0, 3.001, 3.0], [1.0, 1.0, 1.0]]), normal(I), normal(I)),
}

classes, some_ignored = torch.tensor([0, 3, 1, 1, 2]), torch.tensor([-100, 3, 1, -100, 2])
many_classes = torch.tensor(rng.integers(K, size=(N, L)))
weight = [0.5, 2.0, 0.0, 1.5]
far = [[1e4, 0.0, -1e4, 1.0], [-1e4, -1e4, 1e4, 1e4], [-1e4, 5.0, 1e4, 0.0]]
sides, certain = [[-1e4, 1e4, 0.0, 800.0], [1e4, -1e4, -1e4, 1e4]], [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.3, 0.5]]

LOSSES = {  # name: (function's name here and in nn, inputs, keywords)
    "classes": ("cross_entropy", normal(N, K), classes),
    "classes, summed": ("cross_entropy", normal(N, K), classes, {"reduction": "sum"}),
    "classes, each": ("cross_entropy", normal(N, K), classes, {"reduction": "none"}),
    "classes, weighted": ("cross_entropy", normal(N, K), classes, {"weight": weight}),
    "classes, some ignored": ("cross_entropy", normal(N, K), some_ignored),
    "classes, some ignored, each": ("cross_entropy", normal(N, K), some_ignored, {"reduction": "none"}),
    "classes, class 1 ignored": ("cross_entropy", normal(N, K), classes, {"ignore_index": 1}),
    "classes, smoothed": ("cross_entropy", normal(N, K), classes, {"label_smoothing": 0.1}),
    **{f"classes, weighted, some ignored, smoothed, {reduction}": (
        "cross_entropy", normal(N, K), some_ignored, {"weight": weight, "label_smoothing": 0.3, "reduction": reduction})
       for reduction in ("mean", "sum", "none")},
    "classes, one example": ("cross_entropy", normal(K), torch.tensor(2)),
    "classes, (N, K, L)": ("cross_entropy", normal(N, K, L), many_classes, {"weight": weight, "label_smoothing": 0.1}),
    "classes, (N, K, L), each": ("cross_entropy", normal(N, K, L), many_classes, {"reduction": "none"}),
    "classes, far out": ("cross_entropy", given(far), torch.tensor([2, 3, 0]), {"reduction": "none"}),
    "classes, -inf elsewhere": ("cross_entropy", given([[0.5, -inf, 1.0, -inf]]), torch.tensor([2])),
    "probabilities": ("cross_entropy", normal(N, K), uniform(N, K)),
    "probabilities, summed": ("cross_entropy", normal(N, K), uniform(N, K), {"reduction": "sum"}),
    "probabilities, each": ("cross_entropy", normal(N, K), uniform(N, K), {"reduction": "none"}),
    "probabilities, weighted, smoothed": ("cross_entropy", normal(N, K), uniform(N, K),
                                          {"weight": weight, "label_smoothing": 0.3}),
    "probabilities, one example": ("cross_entropy", normal(K), uniform(K)),
    "probabilities, (N, K, L)": ("cross_entropy", normal(N, K, L), uniform(N, K, L), {"weight": weight}),
    "probabilities, far out": ("cross_entropy", given(far), uniform(3, K), {"reduction": "none"}),
    **{f"{function}, {reduction}": (function, x, t, {"reduction": reduction})
       for function, x, t in (("binary_cross_entropy", uniform(N, I), uniform(N, I)),
                              ("binary_cross_entropy_with_logits", normal(N, I), uniform(N, I)),
                              ("mse_loss", normal(N, I), normal(N, I)))
       for reduction in ("mean", "sum", "none")},
    "probabilities of 0 and 1": ("binary_cross_entropy", given([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1e-13, 1 - 1e-13]]),
                                 given([[0.0, 1.0, 0.3, 1.0], [0.0, 0.7, 1.0, 0.0]], requires_grad=False),
                                 {"reduction": "none"}),
    "logits far out": ("binary_cross_entropy_with_logits", given(sides), given(certain), {"reduction": "none"}),
}


def call(arrays: dict, name: str, function, *inputs, **keywords) -> None:
    """Keep the inputs x0, x1, ..., the value y, a gradient g of it, and the gradients d0, d1, ... that it gives."""
    y = function(*inputs, **keywords)
    g = torch.tensor(rng.standard_normal(y.shape))
    wanted = {i: x for i, x in enumerate(inputs) if x.requires_grad}
    arrays |= {f"{name}/x{i}": x for i, x in enumerate(inputs)} | {f"{name}/y": y, f"{name}/g": g}
    arrays |= {f"{name}/d{i}": d for i, d in zip(wanted, torch.autograd.grad(y, wanted.values(), g), strict=True)}


def functions() -> None:
    arrays, losses = {}, {}
    for name, (function, *inputs) in OPS.items():
        call(arrays, name, function, *inputs)
    for name, (function, *inputs) in LOSSES.items():
        keywords = inputs.pop() if isinstance(inputs[-1], dict) else {}
        losses[name] = [function, keywords]
        if "weight" in keywords:
            keywords = {**keywords, "weight": given(keywords["weight"], requires_grad=False)}
        call(arrays, name, getattr(F, function), *inputs, **keywords)
    write("functions", arrays, {"ops": list(OPS), "losses": losses})


# -- training ------------------------------------------------------------------------------------------------

OPTIMISERS = [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
              ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}),
              ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
              ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
              ("SGD", {"lr": 0.0}), ("SGD", {"lr": 0.1, "momentum": 1.0}),
              ("RMSprop", {}), ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3}), ("RMSprop", {"momentum": 0.9}),
              ("RMSprop", {"alpha": 0.0}),
              ("RMSprop", {"momentum": 0.9, "weight_decay": 0.3}),
              ("Adam", {}), ("Adam", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-3}),
              ("Adam", {"lr": 0.05, "weight_decay": 0.3}), ("Adam", {"betas": [0.0, 0.0]}), ("Adam", {"eps": 0.0}),
              ("AdamW", {}), ("AdamW", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.3}),
              ("AdamW", {"lr": 0.05, "weight_decay": 0.0})]
SCHEDULES = {"StepLR": {"step_size": 3, "gamma": 0.5}, "CosineAnnealingLR": {"T_max": 11, "eta_min": 0.01},
             "LinearLR": {"start_factor": 0.2, "total_iters": 7}}


def optimisers() -> None:
    steps = 20
    arrays = {"w": normal(I, H), "b": normal(N), "dw": normal(steps, I, H), "db": normal(steps, N)}
    info = {}
    for cls, options in OPTIMISERS:
        name = " ".join([cls, *(f"{key}={value}" for key, value in options.items())])
        info[name] = [cls, options]
        parameters = [arrays[key].detach().clone().requires_grad_() for key in "wb"]
        optimiser = getattr(torch.optim, cls)(parameters, **options)
        after = []
        for dw, db in zip(arrays["dw"], arrays["db"], strict=True):
            parameters[0].grad, parameters[1].grad = dw.clone(), db.clone()
            optimiser.step()
            after.append([p.detach().clone() for p in parameters])
        arrays[f"{name}/w"], arrays[f"{name}/b"] = (torch.stack(ps) for ps in zip(*after, strict=True))
    for max_norm in (0.5, 100.0):
        parameters = [arrays[key].detach().clone().requires_grad_() for key in "wb"]
        for p, key in zip(parameters, ("dw", "db"), strict=True):
            p.grad = arrays[key][0].detach().clone()
        arrays[f"clip {max_norm}/norm"] = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        arrays[f"clip {max_norm}/dw"], arrays[f"clip {max_norm}/db"] = (p.grad for p in parameters)
    for cls, options in SCHEDULES.items():
        optimiser = torch.optim.SGD([normal(1)], lr=0.3)
        schedule = getattr(torch.optim.lr_scheduler, cls)(optimiser, **options)
        rates = []
        for _ in range(12):
            rates.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
        arrays[cls] = given(rates)
    write("optimisers", arrays, {"optimisers": info, "clip": [0.5, 100.0], "schedules": SCHEDULES})


class Classifier(torch.nn.Module):
    """The class of a sequence, from the last state of a GRU."""

    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(I, N, batch_first=True)
        self.linear = torch.nn.Linear(N, K)

    def forward(self, x):
        return self.linear(self.gru(x)[1][-1])


def training() -> None:
    torch.manual_seed(0)
    model = Classifier().double()
    arrays = {"x": normal(11, L, I), "target": torch.tensor(rng.integers(K, size=11))}
    arrays |= {f"before/{key}": p.detach().clone() for key, p in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(arrays["x"].detach()), arrays["target"])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    arrays |= {"losses": given(losses)} | {f"after/{key}": p for key, p in model.state_dict().items()}
    write("training", arrays, {"state_dict": list(model.state_dict()), "lr": 0.05})


if __name__ == "__main__":
    torch.set_num_threads(1)
    functions()
    optimisers()
    training()

"""Record PyTorch's recurrent layers: outputs, and the gradients that each output alone gives. By hand, with torch:

    python tests/reference/record_recurrent.py

writes beside this script, in the form that record.py describes,

    recurrent.safetensors          RNN, LSTM, GRU and their cells, in float64
    recurrent_edges.safetensors    the same for three types, three layers, without first state, one step, no batch

Read next: tests/nn/test_against_pytorch.py.
"""

from __future__ import annotations

import itertools

import torch
from record import H, I, L, N, normal, write
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

KINDS = ("RNN tanh", "RNN relu", "LSTM", "GRU")
LENGTHS = [7, 3, 1, 5, 7]


def make(kind: str, *sizes: int, dtype=torch.float64, **options) -> tuple[torch.nn.Module, dict]:
    """A module ("RNN relu": the class, and its nonlinearity), and what a test needs to know to make it too."""
    cls, *nonlinearity = kind.split()
    options |= {"nonlinearity": nonlinearity[0]} if nonlinearity else {}
    module = getattr(torch.nn, cls)(*sizes, **options, dtype=dtype)
    shapes = {key: list(p.shape) for key, p in module.state_dict().items()}
    return module, {"class": cls, "options": options, "state_dict": shapes}


def keep(arrays: dict, name: str, outputs, gs, inputs) -> None:
    """Keep the outputs y0, y1, ..., and, for each alone, the gradients of all inputs, in one long row: d0, d1, ..."""
    for i, (y, g) in enumerate(zip(outputs, gs, strict=True)):
        gradients = torch.autograd.grad(y, inputs, g, retain_graph=True)
        arrays |= {f"{name}/y{i}": y, f"{name}/d{i}": torch.cat([d.flatten() for d in gradients])}


def recurrent() -> None:
    torch.manual_seed(0)
    arrays, sequences, cells = {"x": normal(N, L, I), "lengths": torch.tensor(LENGTHS)}, {}, {}
    for D in (1, 2):
        arrays[f"g_h {D}"] = normal(N, L, D * H)
    for rows in (1, 2, 4):  # layers * directions
        arrays |= {f"{key} {rows}": normal(rows, N, H) for key in ("h0", "c0", "g_h_n", "g_c_n")}
    x = arrays["x"]
    for kind, layers, D in itertools.product(KINDS, (1, 2), (1, 2)):
        name = f"{kind}, {layers} layer{'s' * (layers > 1)}, {D} direction{'s' * (D > 1)}"
        module, sequences[name] = make(kind, I, H, num_layers=layers, bidirectional=D == 2)
        module.batch_first = True
        parameters, lstm = list(module.parameters()), kind == "LSTM"
        states = [arrays[f"{key} {layers * D}"] for key in ("h0", "c0")[:1 + lstm]]
        gs = [arrays[key] for key in (f"g_h {D}", f"g_h_n {layers * D}", f"g_c_n {layers * D}")[:2 + lstm]]
        arrays[f"{name}/weights"] = torch.cat([p.flatten() for p in parameters])
        for lengths in (None, LENGTHS):
            packed = x if lengths is None else pack_padded_sequence(x, lengths, True, enforce_sorted=False)
            h, last = module(packed, tuple(states) if lstm else states[0])
            h = h if lengths is None else pad_packed_sequence(h, True)[0]
            case = name if lengths is None else name + ", lengths"
            keep(arrays, case, [h, *(last if lstm else [last])], gs, [x, *states, *parameters])
    step = x[:, 0].detach().requires_grad_()
    for kind in ("RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"):
        module, cells[kind] = make(kind, I, H)
        parameters, lstm = list(module.parameters()), kind == "LSTMCell"
        states = [arrays[key][0].detach().requires_grad_() for key in ("h0 1", "c0 1")[:1 + lstm]]
        outputs = module(step, tuple(states) if lstm else states[0])
        arrays[f"{kind}/weights"] = torch.cat([p.flatten() for p in parameters])
        gs = [arrays[key][0] for key in ("g_h_n 1", "g_c_n 1")[:1 + lstm]]
        keep(arrays, kind, outputs if lstm else [outputs], gs, [step, *states, *parameters])
    write("recurrent", arrays, {"sequences": sequences, "cells": cells})


EDGES = {  # name: N, L, I, H, layers, directions, lengths
    "three layers, lengths": (3, 5, 3, 2, 3, 2, [5, 2, 4]), "three layers, one direction": (2, 5, 3, 2, 3, 1, None),
    "one of everything": (1, 1, 1, 1, 1, 1, None), "one step": (5, 1, 3, 2, 1, 2, None),
    "empty batch": (0, 7, 3, 2, 1, 2, None)}


def recurrent_edges() -> None:
    """One row each: the inputs (x, first states, parameters), the outputs, and the inputs' gradients of the sum of
    linspace(-1, 2) * output."""
    torch.manual_seed(0)
    arrays, info = {}, {}
    for kind, dtype, edge, begun in itertools.product(
            KINDS, (torch.float16, torch.float32, torch.float64), EDGES, (False, True)):
        n, length, i, h, layers, D, lengths = EDGES[edge]
        name = f"{kind}, {str(dtype)[6:]}, {edge}" + ", first state" * begun
        module, info[name] = make(kind, i, h, num_layers=layers, bidirectional=D == 2, batch_first=True, dtype=dtype)
        x = torch.randn(n, length, i, dtype=dtype, requires_grad=True)
        states = [torch.randn(layers * D, n, h, dtype=dtype, requires_grad=True)
                  for _ in range(begun * (1 + (kind == "LSTM")))]
        info[name] |= {"x": list(x.shape), "hidden": h, "states": [list(s.shape) for s in states], "lengths": lengths}
        packed = x if lengths is None else pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        y, last = module(packed, None if not begun else tuple(states) if kind == "LSTM" else states[0])
        y = y if lengths is None else pad_packed_sequence(y, True)[0]
        outputs, inputs = [y, *(last if kind == "LSTM" else [last])], [x, *states, *module.parameters()]
        total = sum((y * torch.linspace(-1, 2, y.numel(), dtype=dtype).reshape(y.shape)).sum() for y in outputs)
        for key, parts in (("inputs", inputs), ("outputs", outputs),
                           ("gradients", torch.autograd.grad(total, inputs, materialize_grads=True))):
            arrays[f"{name}/{key}"] = torch.cat([part.flatten() for part in parts])
    write("recurrent_edges", arrays, info)


if __name__ == "__main__":
    torch.set_num_threads(1)
    recurrent()
    recurrent_edges()

"""Ops, losses and layers against PyTorch: values and gradients, as tests/reference/record.py wrote them down.

Read next: test_edges.py, on what is at the edges; test_onnx.py, another witness for the recurrent layers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors

import nn


def recorded(name: str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of a recorded file, and what its metadata tells about them."""
    with safetensors.safe_open(Path(__file__).parents[1] / "reference" / f"{name}.safetensors", "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["info"])


def assert_equal(ours, theirs, tolerance=1e-10, what=""):
    """The same numbers in the same shape and dtype."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), what
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-2 * tolerance, equal_nan=False, err_msg=what)


# -- functions -----------------------------------------------------------------------------------------------

FUNCTIONS, FUNCTIONS_INFO = recorded("functions")


def linear(x, weight, bias=None):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight, layer.bias = weight, bias
    return layer(x)


def layer_norm(x, weight, bias):
    layer = nn.LayerNorm(x.shape[-1])
    layer.weight, layer.bias = weight, bias
    return layer(x)


OPS = {
    "softmax": nn.softmax,
    "softmax over the first axis": lambda x: nn.softmax(x, axis=0),
    "log_softmax": nn.log_softmax,
    "logsumexp": nn.logsumexp,
    "logsumexp over two axes": lambda x: nn.logsumexp(x, axis=(0, 2)),
    "max, ties": lambda x: nn.max(x, axis=-1),
    "max of all, ties": nn.max,
    "min, ties": lambda x: nn.min(x, axis=0),
    "maximum, ties": nn.maximum,
    "minimum, ties": nn.minimum,
    "clip, at its bounds": lambda x: nn.clip(x, -1, 1),
    "clip from below": lambda x: nn.clip(x, low=-1),
    "relu at 0": nn.relu,
    "abs at 0": nn.abs,
    "square root": nn.sqrt,
    "x ** 0 at 0": lambda x: x**0,
    "x ** 1 at 0": lambda x: x**1,
    "x ** 2 at 0": lambda x: x**2,
    "x ** 3 at 0": lambda x: x**3,
    "x ** -2": lambda x: x**-2,
    "a ** b at 0": lambda a, b: a**b,
    "2 ** x": lambda x: 2**x,
    "sigmoid far out": nn.sigmoid,
    "tanh far out": nn.tanh,
    "expm1 near 0": nn.expm1,
    "log1p near 0": nn.log1p,
    "variance": lambda x: nn.var(x, -1),
    "variance, unbiased": lambda x: nn.var(x, (0, 2), keepdims=True, ddof=1),
    "rows gathered twice": lambda x, i: x[i],
    "elements gathered twice": lambda x, i, j: x[i, j],
    "rows by a mask": lambda x, mask: x[mask],
    "no rows": lambda x, i: x[i],
    "an array, a slice, an array": lambda x, i, j: x[i, 1:, j],
    "steps, a new axis, the rest": lambda x: x[1:4:2, None, ..., -1],
    "a slice of nothing": lambda x: x[3:3],
    "rows scattered twice": lambda g, i: nn.scatter(g, i, (5, 3)),
    "the middle of a split": lambda x: nn.split(x, (1, 4), 1)[1],
    "the last of equal parts": lambda x: nn.split(x, 3, -1)[-1],
    "Linear": linear,
    "Linear without bias": linear,
    "LayerNorm": layer_norm,
    "LayerNorm of nearly equal numbers": layer_norm,
}


def check_call(name, function, keywords=None, tolerance=1e-10):
    """function of the recorded inputs gives the recorded value and gradients."""
    def array(key):
        return FUNCTIONS.get(f"{name}/{key}")

    xs = [array(f"x{i}") for i in range(3) if array(f"x{i}") is not None]
    differentiated = [i for i in range(len(xs)) if array(f"d{i}") is not None]
    xs = [nn.Tensor(x, requires_grad=True) if i in differentiated else x for i, x in enumerate(xs)]
    y = function(*xs, **(keywords or {}))
    gradients = nn.grad(y, [xs[i] for i in differentiated], array("g"))
    assert_equal(y.data, array("y"), tolerance)
    for i, d in zip(differentiated, gradients, strict=True):
        assert_equal(d.data, array(f"d{i}"), tolerance, f"the gradient of argument {i}")


@pytest.mark.parametrize("name", FUNCTIONS_INFO["ops"])
def test_ops(name):
    check_call(name, OPS[name])


@pytest.mark.parametrize("name", FUNCTIONS_INFO["losses"])
def test_losses(name):
    function, keywords = FUNCTIONS_INFO["losses"][name]
    # Where p (1 - p) is held at 1e-12, PyTorch means 1e-12 as a float32, which is 4e-9 less.
    check_call(name, getattr(nn, function), keywords, 1e-8 if name == "probabilities of 0 and 1" else 1e-10)


# -- recurrence ----------------------------------------------------------------------------------------------

RECURRENT, RECURRENT_INFO = recorded("recurrent")


def cut(row, arrays):
    """The parts of a long row, in the shapes of these arrays."""
    parts = np.split(row, np.cumsum([a.size for a in arrays])[:-1])
    return [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]


def with_weights(name, case):
    """nn's module for a recorded case, with PyTorch's weights in it; they come in one row, in PyTorch's order."""
    module = getattr(nn, case["class"])(3, 2, **case["options"], dtype=np.float64)
    own = module.state_dict()
    assert [(key, list(p.shape)) for key, p in own.items()] == list(case["state_dict"].items())
    parts = cut(RECURRENT[f"{name}/weights"], own.values())
    module.load_state_dict(dict(zip(own, parts, strict=True)))
    return module


def check_outputs(name, outputs, gs, inputs):
    """Each output, all gradients of each alone, and all gradients of all together; inputs by name."""
    theirs = []
    for i, (y, g) in enumerate(zip(outputs, gs, strict=True)):
        assert_equal(y.data, RECURRENT[f"{name}/y{i}"], what=f"output {i}")
        ours = nn.grad(y, list(inputs.values()), g, retain_graph=True)
        theirs.append(cut(RECURRENT[f"{name}/d{i}"], inputs.values()))
        for key, a, b in zip(inputs, ours, theirs[-1], strict=True):
            assert_equal(a.data, b, what=f"the gradient of {key} from output {i} alone")
    sum((y * g).sum() for y, g in zip(outputs, gs, strict=True)).backward()
    for key, x, bs in zip(inputs, inputs.values(), zip(*theirs, strict=True), strict=True):
        assert_equal(x.grad, sum(bs), what=f"the gradient of {key} from all outputs together")


@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("name", RECURRENT_INFO["sequences"])
def test_recurrent_layers(name, lengths, batch_first):
    case = RECURRENT_INFO["sequences"][name]
    layer = with_weights(name, case)
    layer.batch_first = batch_first
    D, lstm = 1 + case["options"]["bidirectional"], case["class"] == "LSTM"
    rows = case["options"]["num_layers"] * D
    x = nn.Tensor(RECURRENT["x"], requires_grad=True)
    states = [nn.Tensor(RECURRENT[f"{key} {rows}"], requires_grad=True) for key in ("h0", "c0")[:1 + lstm]]
    h, last = layer(x if batch_first else x.swapaxes(0, 1), tuple(states) if lstm else states[0],
                    lengths=RECURRENT["lengths"] if lengths else None)
    h = h if batch_first else h.swapaxes(0, 1)
    gs = [RECURRENT[f"g_h {D}"], RECURRENT[f"g_h_n {rows}"], RECURRENT[f"g_c_n {rows}"]][:2 + lstm]
    inputs = {"x": x, **dict(zip(("h0", "c0"), states, strict=False)), **dict(layer.named_parameters())}
    check_outputs(name + ", lengths" * lengths, [h, *(last if lstm else [last])], gs, inputs)


@pytest.mark.parametrize("name", RECURRENT_INFO["cells"])
def test_cells(name):
    case = RECURRENT_INFO["cells"][name]
    cell, lstm = with_weights(name, case), case["class"] == "LSTMCell"
    x = nn.Tensor(RECURRENT["x"][:, 0], requires_grad=True)
    states = [nn.Tensor(RECURRENT[f"{key} 1"][0], requires_grad=True) for key in ("h0", "c0")[:1 + lstm]]
    outputs = cell(x, tuple(states) if lstm else states[0])
    gs = [RECURRENT["g_h_n 1"][0], RECURRENT["g_c_n 1"][0]][:1 + lstm]
    inputs = {"x": x, **dict(zip(("h", "c"), states, strict=False)), **dict(cell.named_parameters())}
    check_outputs(name, outputs if lstm else [outputs], gs, inputs)


EDGES, EDGES_INFO = recorded("recurrent_edges")
EDGES_INFO.pop("torch")


@pytest.mark.parametrize("name", EDGES_INFO)
def test_recurrent_layers_at_their_edges(name):
    case = EDGES_INFO[name]
    rows = {key: EDGES[f"{name}/{key}"] for key in ("inputs", "outputs", "gradients")}
    layer = getattr(nn, case["class"])(case["x"][2], case["hidden"], **case["options"], dtype=rows["inputs"].dtype)
    own = layer.state_dict()
    x, *rest = cut(rows["inputs"], [np.empty(shape) for shape in (case["x"], *case["states"])] + list(own.values()))
    states, parameters = rest[:len(case["states"])], rest[len(case["states"]):]
    layer.load_state_dict(dict(zip(own, parameters, strict=True)))
    if case["lengths"]:
        x[np.arange(x.shape[1]) >= np.array(case["lengths"])[:, None]] = np.nan  # of no account: it is padding
    x, *states = (nn.Tensor(a, requires_grad=True) for a in (x, *states))
    lstm = case["class"] == "LSTM"
    h, last = layer(x, None if not states else tuple(states) if lstm else states[0], lengths=case["lengths"])
    outputs = [h, *(last if lstm else [last])]
    sum((y * np.linspace(-1, 2, y.size, dtype=y.dtype).reshape(y.shape)).sum() for y in outputs).backward()
    tolerance = {"float16": 3e-2, "float32": 2e-5, "float64": 1e-12}[str(x.dtype)]
    for ours, row in ((([y.data for y in outputs]), "outputs"),
                      (([p.grad for p in (x, *states, *layer.parameters())]), "gradients")):
        for a, b in zip(ours, cut(rows[row], ours), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# -- training, and where it starts ---------------------------------------------------------------------------


class Classifier(nn.Module):
    def __init__(self, inputs, hidden, classes):
        self.gru = nn.GRU(inputs, hidden, batch_first=True, dtype=np.float64)
        self.linear = nn.Linear(hidden, classes, dtype=np.float64)

    def forward(self, x):
        return self.linear(self.gru(x)[1][-1])


def test_a_recorded_training_run():
    arrays, info = recorded("training")
    model = Classifier(3, 5, 4)
    assert list(model.state_dict()) == info["state_dict"]
    model.load_state_dict({key: arrays[f"before/{key}"] for key in info["state_dict"]})
    optimiser = nn.Adam(model.parameters(), lr=info["lr"])
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = nn.cross_entropy(model(arrays["x"]), arrays["target"])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert_equal(np.array(losses), arrays["losses"], 1e-9)
    for key, value in model.state_dict().items():
        assert_equal(value, arrays[f"after/{key}"], 1e-9, what=key)


@pytest.mark.parametrize("make, fan", [
    (lambda **options: nn.Linear(53, 211, **options), 53),
    (lambda **options: nn.RNN(31, 53, num_layers=2, bidirectional=True, **options), 53),
    (lambda **options: nn.LSTM(31, 53, **options), 53),
    (lambda **options: nn.GRU(31, 53, **options), 53),
    (lambda **options: nn.RNNCell(31, 53, **options), 53),
    (lambda **options: nn.LSTMCell(31, 53, **options), 53),
    (lambda **options: nn.GRUCell(31, 53, **options), 53),
], ids=["Linear", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_initialisation_is_uniform_within_one_over_the_root_of_the_fan(make, fan):
    module = make(rng=np.random.default_rng(0))
    for name, p in module.named_parameters():
        assert p.dtype == np.float32
        # Kolmogorov-Smirnov: a uniform sample of size n keeps within 1.95 / sqrt(n) in 999 of 1,000 draws.
        drawn = (np.sort(p.data.ravel()) * np.sqrt(fan) + 1) / 2
        assert drawn[0] >= -1e-6 and drawn[-1] <= 1 + 1e-6, name
        assert np.abs(drawn - (np.arange(p.size) + 0.5) / p.size).max() < 1.95 / np.sqrt(p.size), name
    first = [p.data.ravel()[:50] for p in module.parameters()]
    assert len({part.tobytes() for part in first}) == len(first), "parameters drawn from the same numbers"
    again, other = make(rng=np.random.default_rng(0)), make(rng=np.random.default_rng(1))
    for p, q, r in zip(module.parameters(), again.parameters(), other.parameters(), strict=True):
        assert np.array_equal(p.data, q.data) and not np.any(p.data == r.data)


def test_layer_norm_starts_with_ones_and_zeros():
    layer = nn.LayerNorm(7)
    assert np.array_equal(layer.weight.data, np.ones(7)) and np.array_equal(layer.bias.data, np.zeros(7))

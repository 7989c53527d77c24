"""Record PyTorch's values at the edges, to which tests/nn/test_edges.py holds `nn`: empty and 0-d arrays, infinities
and nan, float16 and mixed types, whole numbers, rows that are masked out, gradients that are not finite. By hand, with
torch:

    python tests/reference/record_edges.py

writes edges.safetensors beside this script. Its inputs are "x0", "x1", ...; case 7 of the list of cases in the
metadata has left "7 y" and, for each of its floating-point inputs, "7 d0", "7 d1", ...: the gradients that
linspace(-1, 2) for y gives. A case without "y" is one that PyTorch refuses.

Read next: tests/nn/test_edges.py.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

inf, nan = float("inf"), float("nan")
rng = np.random.default_rng(20200122)
arrays: dict[str, np.ndarray] = {}
cases: list[tuple] = []  # (name, function of nn, names of its inputs, keywords)


def given(values, dtype: str = "float64") -> str:
    """Keep these numbers as an input, and return its name."""
    arrays[f"x{len(arrays)}"] = np.array(values, dtype)
    return f"x{len(arrays) - 1}"


def drawn(*shape: int, dtype: str = "float64") -> str:
    """Numbers from 0.5 to 3, where every op has an answer."""
    return given(rng.uniform(0.5, 3, shape), dtype)


def case(name: str, *inputs: str, **keywords) -> None:
    """Remember a call: "exp, empty" is one of nn.exp."""
    cases.append((name, name.split(",")[0], inputs, keywords))


# -- what nn's functions are called in PyTorch, where it is not the same -------------------------------------


def over(function):
    """A reduction with numpy's arguments."""
    def reduce(x, axis=None, keepdims=False, **keywords):
        axis = tuple(range(x.ndim)) if axis is None else axis
        return function(x, axis, keepdim=keepdims, **keywords)
    return reduce


def gaussian_kl(mean, log_var, reduction):
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (log_var / 2).exp()),
                                           torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    return {"mean": kl.mean, "sum": kl.sum, "none": lambda: kl}[reduction]()


def weighted(function):
    """A loss whose weights are lists of numbers."""
    def loss(x, target, **keywords):
        return function(x, target, **{key: torch.tensor(value, dtype=x.dtype) if key.endswith("weight") else value
                                      for key, value in keywords.items()})
    return loss


THEIRS = {
    **{name: over(getattr(torch, name)) for name in ("sum", "mean", "logsumexp")},
    "max": over(torch.amax), "min": over(torch.amin),
    "var": lambda x, ddof=0, **keywords: over(torch.var)(x, **keywords, correction=ddof),
    "softmax": lambda x, axis=-1: x.softmax(axis), "log_softmax": lambda x, axis=-1: x.log_softmax(axis),
    "pow": lambda a, b: a**b,
    "clip": lambda x, low=None, high=None: x.clip(low, high),
    "std": lambda x, **keywords: over(torch.std)(x, **keywords, correction=0),
    "norm": lambda x, ord=2, axis=None, keepdims=False: torch.linalg.vector_norm(x, ord, axis, keepdim=keepdims),
    "prod": lambda x, axis=None, keepdims=False: x.prod(axis, keepdim=keepdims) if axis is not None else
            x.prod().reshape([1] * x.ndim if keepdims else []),
    "cumsum": lambda x, axis: torch.cumsum(x, axis),
    **{name: getattr(F, name) for name in ("softplus", "elu", "leaky_relu", "silu", "l1_loss", "huber_loss")},
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "where": torch.where,
    "broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "swapaxes": lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
    "transpose": lambda x, axes=None: x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes),
    "pad": lambda x, widths, value=0.0: F.pad(x, [n for pair in reversed(widths) for n in pair], value=value),
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis), "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "linear": F.linear, "gaussian_kl": gaussian_kl,
    **{name: weighted(getattr(F, name)) for name in (
        "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss")},
}

# -- element by element --------------------------------------------------------------------------------------

special, unknown = given([-inf, -2, -1e-3, -0.0, 0, 1e-3, 1, 3, inf]), given([nan, 1])
pairs = np.array(list(itertools.product([-inf, -2, -0.0, 0, 1, 3, inf], repeat=2))).T
finite_powers = pairs[:, (pairs[0] != 0) | (pairs[1] >= 0)]
pairs, finite_powers, unknowns = [[given(part) for part in both] for both in (
    pairs, finite_powers, ([nan, 1, nan, -inf], [1, nan, nan, nan]))]
alone, alone_too, empty, empty_rows = drawn(), drawn(), drawn(0), drawn(0, 3)
column, row, cube, matrix = drawn(5, 1), drawn(1, 7), drawn(2, 1, 3), drawn(5, 3)
halves, singles, doubles = (drawn(7, dtype=dtype) for dtype in ("float16", "float32", "float64"))
small, large, whole = given([0, 1, 2, 3], "int32"), given([5, 2, 1, 3], "int64"), given([0, 1, 1, 0], "bool")
four, single = drawn(4, dtype="float32"), given(0.7, "float32")

for op in ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "relu", "abs", "neg"):
    case(f"{op}, special", special)
    case(f"{op}, nan", unknown)
    case(f"{op}, 0-d", alone)
    case(f"{op}, empty", empty_rows)
    case(f"{op}, float16", halves)
    case(f"{op}, float32", singles)
for op in ("exp", "sqrt", "sigmoid", "relu", "abs", "neg"):
    case(f"{op}, whole numbers", large)
for op in ("add", "sub", "mul", "div", "maximum", "minimum", "pow"):
    case(f"{op}, special", *(finite_powers if op == "pow" else pairs))
    case(f"{op}, nan", *unknowns)
    case(f"{op}, 0-d", alone, alone_too)
    case(f"{op}, 0-d and matrix", alone, matrix)
    case(f"{op}, empty and number", empty, given([2.0]))
    case(f"{op}, empty rows and row", empty_rows, drawn(3))
    case(f"{op}, column and row", column, row)
    case(f"{op}, cube and column", cube, column)
    case(f"{op}, refused shapes", matrix, row)
    case(f"{op}, float16", halves, drawn(7, dtype="float16"))
    case(f"{op}, float16 and float32", halves, singles)
    case(f"{op}, float32 and float64", singles, doubles)
    case(f"{op}, 0-d float64 and float32", alone, four)
    case(f"{op}, whole numbers", large, small)
    case(f"{op}, whole numbers and float32", large, four)
case("pow, nan ** 0", given([nan, nan]), given([0, -0.0]))
case("pow, 0 ** negative", given([0, -0.0, 0]), given([-2, -2, -inf]))
for n in (-2, -1, 0, 1, 2, 3):
    case(f"pow, special ** number {n}", special, b=n)
    case(f"pow, nan ** number {n}", unknown, b=n)
case("pow, whole numbers ** 2", large, b=2)
case("pow, whole numbers ** 0.5", large, b=0.5)
case("pow, float16", halves, b=3)
for low, high in ((-1, 2), (None, 1), (2, -1)):
    case(f"clip, special, {low} to {high}", special, low=low, high=high)
case("clip, whole numbers", large, low=2, high=3)
case("where, special", given([1, 0, 0, 1], "bool"), given([1, nan, inf, 2]), given([nan, 1, -inf, inf]))
case("where, column and number", given([[1], [0], [1]], "bool"), drawn(3, 2), drawn(1))
case("where, mixed", whole, four, drawn(4))
case("astype, float64 to float16", special, dtype="float16")
case("astype, float16 to float64", halves, dtype="float64")

# -- over axes, and of shapes --------------------------------------------------------------------------------

shapes = {"0-d": alone, "empty": empty, "empty rows": empty_rows, "empty columns": drawn(3, 0), "one": drawn(1),
          "matrix": given(rng.standard_normal((5, 7))), "cube": given(rng.standard_normal((2, 3, 5)))}
rows = {"all -inf": [-inf] * 4, "some -inf": [1.0, -inf, 0.5, -inf], "one +inf": [1.0, inf, -inf, 2.0],
        "two +inf": [inf, 1.0, inf, -inf], "nan": [1.0, nan, 2.0, inf], "huge": [1e308] * 4}
rows = {what: given(values) for what, values in rows.items()}
for op in ("sum", "mean", "max", "min", "var", "logsumexp", "softmax", "log_softmax"):
    for what, x in shapes.items():
        for axis in (0, -1):
            case(f"{op}, {what}, axis {axis}", x, axis=axis)
        if "softmax" not in op:
            case(f"{op}, {what}, kept", x, axis=-1, keepdims=True)
            case(f"{op}, {what}, all", x, axis=None)
            case(f"{op}, {what}, two axes", x, axis=(0, -1))
    for what, x in rows.items():
        case(f"{op}, {what}", x, axis=-1)
    case(f"{op}, column", column, axis=0)
    case(f"{op}, float16", halves, axis=-1)
    case(f"{op}, float32", singles, axis=-1)
for op in ("sum", "max", "logsumexp"):
    case(f"{op}, whole numbers", small, axis=-1)
case("sum, booleans", whole, axis=-1)
case("var, of one, unbiased", shapes["one"], axis=-1, ddof=1)

for m, n in (((3,), (3,)), ((5, 3), (3,)), ((3,), (3, 5)), ((2, 5, 3), (3, 7)), ((2, 1, 5, 3), (7, 3, 2)),
             ((2, 5, 3), (3,)), ((3,), (2, 3, 5)), ((0, 3), (3, 2)), ((5, 0), (0, 2)), ((0,), (0,)), ((5, 3), (3, 0)),
             ((), (3,)), ((5, 3), (2, 3))):
    case(f"matmul, {m} and {n}", drawn(*m), drawn(*n))
case("matmul, float32", drawn(5, 3, dtype="float32"), drawn(3, 2, dtype="float32"))
case("matmul, float16", drawn(5, 3, dtype="float16"), drawn(3, 2, dtype="float16"))
for n, i, o in ((5, 3, 2), (0, 3, 2), (5, 0, 2), (5, 3, 0)):
    case(f"linear, N={n} I={i} O={o}", drawn(n, i), drawn(o, i), drawn(o))
for x, shape in ((matrix, [3, -1]), (matrix, [15]), (alone, [1, 1]), (empty_rows, [3, 0]), (empty_rows, [-1, 3]),
                 (matrix, [4, 4])):
    case(f"reshape, {arrays[x].shape} to {shape}", x, shape=shape)
for x, shape in ((alone, [2, 3]), (column, [2, 5, 7]), (given([2.0]), [0]), (matrix, [5, 4])):
    case(f"broadcast_to, {arrays[x].shape} to {shape}", x, shape=shape)
for axes in (None, [2, 0, 1], [-1, 0, -2]):
    case(f"transpose, {axes}", shapes["cube"], axes=axes)
case("transpose, 0-d", alone)
case("swapaxes, empty", empty_rows, axis1=0, axis2=-1)
case("pad, on two axes", matrix, widths=[[1, 0], [2, 3]], value=1.5)
case("pad, empty", empty_rows, widths=[[1, 0], [0, 2]])
case("concatenate, with empty", drawn(2, 3), drawn(2, 0), drawn(2, 1), axis=-1)
case("concatenate, mixed", drawn(2, 3, dtype="float32"), drawn(1, 3), axis=0)
case("concatenate, whole numbers and float32", large, four, axis=0)
case("concatenate, refused shapes", matrix, row, axis=0)
case("stack, 0-d", alone, alone_too, axis=0)
case("stack, last axis", drawn(2, 3), drawn(2, 3), axis=-1)
case("stack, refused shapes", matrix, row, axis=0)

# -- losses --------------------------------------------------------------------------------------------------


def classes(*shape: int) -> str:
    return given(rng.integers(4, size=shape), "int64")


def shares(*shape: int, dtype: str = "float64") -> str:
    return given(rng.uniform(size=shape), dtype)


logits, three, ignored = given(rng.standard_normal((3, 4))), classes(3), given([-100] * 3, "int64")
weighted = {"weight": [1.0, 2.0, 3.0, 4.0]}
for what, *inputs, keywords in (
        ("all ignored", logits, ignored, {}),
        ("all ignored, smoothed", logits, ignored, {"label_smoothing": 0.1}),
        ("no examples", drawn(0, 4), classes(0), {}),
        ("no examples, probabilities", drawn(0, 4), drawn(0, 4), {}),
        ("no steps", drawn(3, 4, 0), classes(3, 0), {}),
        ("one class", drawn(3, 1), given([0, 0, 0], "int64"), {"label_smoothing": 0.2}),
        ("one example", drawn(4), given(2, "int64"), {"label_smoothing": 0.2, **weighted}),
        ("weights of 0", logits, given([0, 1, 1], "int64"), {"weight": [0.0, 0.0, 1.0, 1.0]}),
        ("all smoothed", logits, three, {"label_smoothing": 1.0}),
        ("two more axes", drawn(2, 4, 3, 2), classes(2, 3, 2), {"label_smoothing": 0.2, **weighted}),
        ("two more axes, probabilities", drawn(2, 4, 3, 2), shares(2, 4, 3, 2), weighted),
        ("not a distribution", logits, given([[0.0] * 4, [1.0] * 4, [-1, 2, 0, 3]]), {}),
        ("float32", drawn(3, 4, dtype="float32"), three, weighted),
        ("float16", drawn(3, 4, dtype="float16"), three, {}),
        ("-inf is not the class", given([[-inf, 0, 1], [1, -inf, -inf]]), given([2, 0], "int64"), {}),
        ("-inf is the class", given([[-inf, 0, 1], [1, 2, 3]]), given([0, 0], "int64"), {}),
        ("-inf, smoothed", given([[-inf, 0, 1], [1, 2, 3]]), given([2, 1], "int64"), {"label_smoothing": 0.1}),
        ("-inf has probability 0", given([[-inf, 0, 1]]), given([[0, 0.5, 0.5]]), {}),
        ("all -inf", given([[-inf] * 3]), given([0], "int64"), {}),
        ("+inf is the class", given([[inf, 0, 1]]), given([0], "int64"), {}),
        ("+inf is not the class", given([[inf, 0, 1]]), given([1], "int64"), {}),
        ("nan", given([[nan, 0, 1], [1, 2, 3]]), given([0, 1], "int64"), {}),
        ("nan is ignored", given([[nan, 0, 1], [1, 2, 3]]), given([-100, 1], "int64"), {})):
    for reduction in ("mean", "sum", "none"):
        case(f"cross_entropy, {what}, {reduction}", *inputs, **keywords, reduction=reduction)
case("cross_entropy, refused class", logits, given([0, 1, 4], "int64"))
case("cross_entropy, refused negative class", logits, given([0, 1, -1], "int64"))
case("cross_entropy, refused shape", logits, given([[0, 1, 2]], "int64"))
case("cross_entropy, refused float classes", logits, given([0.0, 1.0, 2.0]))
case("cross_entropy, uint8 classes", logits, given([0, 1, 2], "uint8"))
case("cross_entropy, class -1 ignored", logits, given([0, -1, 2], "int64"), ignore_index=-1)

for loss in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "gaussian_kl"):
    for reduction, shape in itertools.product(("mean", "sum", "none"), ((), (0,), (0, 3), (2, 3, 5))):
        case(f"{loss}, {shape}, {reduction}", shares(*shape), shares(*shape), reduction=reduction)
    case(f"{loss}, refused shapes", shares(5), shares(7), reduction="mean")
    for dtype in ("float16", "float32"):
        case(f"{loss}, {dtype}", shares(5, dtype=dtype), shares(5, dtype=dtype), reduction="mean")
scores, sides = map(given, map(np.ravel, np.meshgrid([-1000, -1, 0, 2, 1000, nan], [0, 0.3, 1])))
case("binary_cross_entropy_with_logits, special", scores, sides, reduction="none")
case("binary_cross_entropy_with_logits, infinite", given([-inf, -inf, -inf, inf, inf, inf]),
     given([0, 0.3, 1, 0, 0.3, 1]), reduction="none")
case("binary_cross_entropy_with_logits, float16, far out", given([-60000, 60000, 0.5], "float16"),
     given([1, 0, 0.5], "float16"), reduction="none")
case("binary_cross_entropy, 0 and 1", given([0, 1, 0.5]), given([0, 1, 1]), reduction="none")
case("binary_cross_entropy, refused", given([0.5, 1.5]), given([0.0, 1.0]), reduction="mean")
case("mse_loss, special", given([inf, -inf, nan, 1]), given([inf, 0, 1, nan]), reduction="none")
case("mse_loss, a column and a row", given([[1.0], [2.0]]), given([1.0, 2.0]), reduction="mean")
case("mse_loss, mixed", singles, doubles, reduction="none")

for op in ("sin", "cos", "softplus", "elu", "leaky_relu", "silu", "gelu"):
    case(f"{op}, special", given([-30, -2, -0.5, 0.5, 3, 30, -inf if op in ("softplus", "elu", "leaky_relu") else -7]))
    case(f"{op}, nan", given([1, nan]))
    case(f"{op}, 0-d", alone)
    case(f"{op}, empty", empty_rows)
    case(f"{op}, float16", halves)
    case(f"{op}, float32", singles)
case("elu, alpha", singles, alpha=2.5)
case("leaky_relu, slope", drawn(5), negative_slope=0.3)
for op, axis, keepdims in itertools.product(("std", "norm", "prod"), (None, 0, -1), (False, True)):
    case(f"{op}, {axis}, {keepdims}", drawn(3, 5), axis=axis, keepdims=keepdims)
for op in ("std", "norm", "prod"):
    case(f"{op}, float16", halves)
    case(f"{op}, float32", singles)
case("norm, at 0", given([[0.0, 0], [3, 4]]), axis=1)
case("norm, 1", given([[0.0, -2], [3, 4]]), ord=1, axis=1)
case("prod, one 0", given([[2.0, 0, 3]]), axis=1)
case("prod, two 0", given([[0.0, 0, 3]]), axis=1)
for axis in (0, 1, -1):
    case(f"cumsum, {axis}", drawn(3, 5), axis=axis)
case("cumsum, float16", halves, axis=0)
for loss in ("l1_loss", "huber_loss"):
    for reduction, shape in itertools.product(("mean", "sum", "none"), ((), (0,), (2, 3))):
        case(f"{loss}, {shape}, {reduction}", drawn(*shape), drawn(*shape), reduction=reduction)
    case(f"{loss}, far", given([-5, -0.2, 0.3, 7]), given([0.0] * 4), reduction="none")
case("huber_loss, delta", given([-5, -0.2, 0.3, 7]), given([0.0] * 4), reduction="sum", delta=2.5)
for reduction in ("mean", "sum", "none"):
    case(f"nll_loss, {reduction}", drawn(3, 4), given([0, -100, 3], "int64"), reduction=reduction)
    case(f"nll_loss, weight, {reduction}", drawn(3, 4, 2), given([[0, 1], [2, 2], [3, 0]], "int64"),
         weight=[0.5, 1, 2, 3], reduction=reduction)
case("nll_loss, one", drawn(4), given(2, "int64"))
for loss in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
    case(f"{loss}, weight", shares(2, 3), shares(2, 3), weight=[0.5, 1, 2], reduction="mean")
case("binary_cross_entropy_with_logits, pos_weight", drawn(2, 3), shares(2, 3), pos_weight=[0.5, 1, 2], reduction="sum")
case("clip, by arrays", special, given([-1.0]), given([0.5]))

# -- what PyTorch says ---------------------------------------------------------------------------------------


def answer(function: str, inputs: tuple[str, ...], keywords: dict) -> list[torch.Tensor]:
    """The value, and the gradients of the floating-point inputs."""
    xs = [torch.tensor(arrays[name]) for name in inputs]
    wanted = [x.requires_grad_() for x in xs if x.is_floating_point()]
    y = THEIRS.get(function, getattr(torch, function, None))(*xs, **keywords)
    if not y.requires_grad:
        return [y]
    g = torch.tensor(np.linspace(-1, 2, y.numel()).reshape(y.shape)).to(y.dtype)
    return [y, *torch.autograd.grad(y, wanted, g, materialize_grads=True)]


def step_by_step(cls: str, options: dict, gradients: np.ndarray) -> torch.Tensor:
    """A parameter that begins at 1, after each step of an optimiser."""
    p = torch.ones(gradients.shape[1:], dtype=torch.tensor(gradients).dtype, requires_grad=True)
    optimiser, after = getattr(torch.optim, cls)([p], **options), []
    for g in torch.tensor(gradients):
        p.grad = g.clone()
        optimiser.step()
        after.append(p.detach().clone())
    return torch.stack(after)


def clipped(gradients: np.ndarray, max_norm: float) -> tuple[torch.Tensor, torch.Tensor]:
    p = torch.zeros(gradients.shape, dtype=torch.tensor(gradients).dtype, requires_grad=True)
    p.grad = torch.tensor(gradients)
    return torch.nn.utils.clip_grad_norm_([p], max_norm), p.grad


STEPS = np.array([1, -0.5, 0, 2])[:, None] * [1e-30, 1e30, 1e200, 0, -0.0, 1e-200, -3]
OPTIMISERS = [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
              ("SGD", {"lr": 0.0}), ("SGD", {"lr": 0.1, "momentum": 1.0}),
              ("RMSprop", {}), ("RMSprop", {"momentum": 0.9, "weight_decay": 0.3}), ("RMSprop", {"alpha": 0.0}),
              ("Adam", {}), ("Adam", {"weight_decay": 0.3}), ("Adam", {"betas": [0.0, 0.0]}),
              ("Adam", {"betas": [0.0, 0.999]}), ("AdamW", {}), ("AdamW", {"weight_decay": 0.0})]
CLIPPED = {"small": [3.0, 4.0], "zero": [0.0, 0.0], "infinite": [inf, 2.0], "too large to square": [1e200, 1.0],
           "too small to square": [1e-200, 0.0], "none": [], "nan": [nan, 1.0]}

if __name__ == "__main__":
    torch.set_num_threads(1)
    with np.errstate(over="ignore"):
        steps = {"float64": STEPS, "float32": STEPS.astype("float32")}
    info = {"cases": cases, "optimisers": {}, "clipped": []}
    for number, (name, function, inputs, keywords) in enumerate(cases):
        try:
            answers = answer(function, inputs, keywords)
        except (RuntimeError, ValueError, IndexError) as error:
            print(f"refused: {name}: {str(error).splitlines()[0][:90]}")
            continue
        keys = ["y", *(f"d{i}" for i, x in enumerate(inputs) if arrays[x].dtype.kind == "f")]
        arrays |= {f"{number} {key}": a.detach().numpy() for key, a in zip(keys, answers, strict=False)}
    for (cls, options), (dtype, gradients) in itertools.product(OPTIMISERS, steps.items()):
        name = " ".join([cls, *(f"{key}={value}" for key, value in options.items()), dtype])
        info["optimisers"][name] = [cls, options, dtype]
        arrays |= {name: step_by_step(cls, options, gradients).numpy(), f"gradients {dtype}": gradients}
    for (what, gradients), max_norm in itertools.product(CLIPPED.items(), (0.0, 1.0, 7.0, inf)):
        norm, scaled = clipped(np.array(gradients), max_norm)
        info["clipped"].append([f"{what}, at most {max_norm}", max_norm])
        arrays |= {f"{info['clipped'][-1][0]}/{key}": np.asarray(a)
                   for key, a in (("given", gradients), ("norm", norm), ("scaled", scaled))}
    path = Path(__file__).with_name("edges.safetensors")
    beside = path.with_suffix(".tmp")
    save_file({key: np.ascontiguousarray(a) if a.ndim else a for key, a in arrays.items()}, beside,
              metadata={"info": json.dumps({"torch": torch.__version__, **info})})
    os.replace(beside, path)
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1000:.0f} kB")

"""Ops, losses, optimisers and clipping at their edges, against PyTorch: values, gradients, types, and what is refused.

tests/reference/record_edges.py wrote down what PyTorch says. Where nn says something else on purpose, it stands in
DIFFERENT, with the words of the docstring that tell so.

Read next: test_against_pytorch.py, away from the edges.
"""

from __future__ import annotations

import inspect
import json
import types
from pathlib import Path

import numpy as np
import pytest
import safetensors

import nn

with safetensors.safe_open(Path(__file__).parents[1] / "reference" / "edges.safetensors", "np") as file:
    RECORDED, INFO = {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["info"])
CASES = {name: (number, function, inputs, keywords)
         for number, (name, function, inputs, keywords) in enumerate(INFO["cases"])}
TOLERANCE = {"float16": 1e-2, "float32": 5e-6, "float64": 1e-12}

inf, nan = np.inf, np.nan


def types_of_numpy(names):
    """Cases in which numpy makes float64 and PyTorch float32."""
    return dict.fromkeys(names, "float64")


def refused(names):
    return dict.fromkeys(names, "refused")


def every_reduction(name, y, *ds):
    return {f"cross_entropy, {name}, {reduction}": ([y] if reduction == "none" else y, *ds)
            for reduction in ("mean", "sum", "none")}


ARITHMETIC = ["add", "sub", "mul", "div", "maximum", "minimum", "pow"]
REDUCTIONS = ["sum", "mean", "max", "min", "var", "logsumexp"]

# (where it is said, the words, {case: what nn says}): the value and the gradients, None for one that is PyTorch's; or
# a type; or "refused".
DIFFERENT = [
    (nn.softmax, "Elements at +inf share all; all at -inf share evenly (PyTorch: nan)", {
        "softmax, all -inf": ([1 / 4] * 4, [-3 / 8, -1 / 8, 1 / 8, 3 / 8]),
        "softmax, one +inf": ([0, 1, 0, 0], [0, 0, 0, 0]),
        "softmax, two +inf": ([0.5, 0, 0.5, 0], [-0.5, 0, 0.5, 0])}),
    (nn.log_softmax, "At infinities as softmax (PyTorch: nan)", {
        "log_softmax, all -inf": ([-np.log(4)] * 4, [-1.5, -0.5, 0.5, 1.5]),
        "log_softmax, one +inf": ([-inf, 0, -inf, -inf], [-1, -2, 1, 2]),
        "log_softmax, two +inf": ([-np.log(2), -inf, -np.log(2), -inf], [-2, 0, 0, 2])}),
    (nn.logsumexp, "The gradient is softmax x, whatever x is (PyTorch: nan at infinities, and 1", {
        "logsumexp, all -inf": (None, [-1 / 4] * 4),
        "logsumexp, one +inf": (None, [0, -1, 0, 0]),
        "logsumexp, two +inf": (None, [-0.5, 0, -0.5, 0]),
        "logsumexp, huge": (None, [-1 / 4] * 4)}),
    (nn.cross_entropy, "A logit of +inf takes all the probability (PyTorch: nan)", {
        **every_reduction("+inf is the class", 0, [[0, 0, 0]]),
        **every_reduction("+inf is not the class", inf, [[-1, 1, 0]])}),
    (nn.cross_entropy, "all at -inf share it evenly, and one of -inf costs nothing where q is 0", {
        **every_reduction("all -inf", np.log(3), [[2 / 3, -1 / 3, -1 / 3]]),
        **every_reduction("-inf has probability 0", np.log(np.exp(-0.5) + np.exp(0.5)), None, None)}),
    (nn.cross_entropy, "if all are ignored it is nan, and so is its gradient (PyTorch's gradient: 0)", {
        "cross_entropy, all ignored, mean": (None, np.full((3, 4), nan)),
        "cross_entropy, all ignored, smoothed, mean": (None, np.full((3, 4), nan))}),
    (nn.binary_cross_entropy_with_logits, "at +-inf the loss is 0 or inf (PyTorch: nan)", {
        "binary_cross_entropy_with_logits, infinite": ([0, inf, inf, inf, inf, 0], None, None)}),
    (nn.binary_cross_entropy, "the target's gradient is held with it (PyTorch: infinite)", {
        "binary_cross_entropy, 0 and 1": (None, None, [-100, -50, 0])}),
    (nn.mse_loss, "the target in x's shape", refused(["mse_loss, a column and a row"])),
    (nn.losses, "taken in the input's dtype (PyTorch broadcasts, and promotes)", {"mse_loss, mixed": "float32"}),
    (nn.ops, "some of PyTorch's gradients are not the same", {
        "relu, nan": (None, [0, 2]),
        "maximum, nan": (None, [0, 0, 0, 0], [0, 0, 0, 0]),
        "minimum, nan": (None, [0, 0, 0, 0], [0, 0, 0, 0]),
        "pow, nan ** 0": (None, [nan, nan], None),
        "var, some -inf": (None, [nan] * 4),
        "var, huge": (None, [nan] * 4)}),
    (nn.Tensor, "together with a 0-d array of float64 (PyTorch: float32)", types_of_numpy([
        "exp, whole numbers", "sqrt, whole numbers", "sigmoid, whole numbers", "pow, whole numbers ** 0.5",
        "div, whole numbers", "logsumexp, whole numbers", "concatenate, whole numbers and float32",
        *(f"{op}, {what}" for op in ARITHMETIC for what in ("whole numbers and float32", "0-d float64 and float32"))])),
    (nn.sum, "a 0-d array has no axis (PyTorch: 0 and -1)", refused(
        f"{op}, 0-d, {what}" for op in REDUCTIONS for what in ("axis 0", "axis -1", "kept"))),
]
SAID_TOO = [  # of differences that test_optim.py and test_sequence.py hold
    (nn.Optimizer, "The number of steps is counted for all together (PyTorch: for each parameter)"),
    (nn.cosine_decay, "down to `lowest` at t = total, and constant after that"),
    (nn.RNN, "as with PyTorch's packed sequences (here 0 is a length too: h_n is h0"),
]
SAID = {name: said for _, _, answers in DIFFERENT for name, said in answers.items()}

LAYOUTS = {  # the same numbers, elsewhere in memory
    "contiguous": np.copy,
    "columns first": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
}


def ours(name, layout="contiguous"):
    """nn's value, and the gradients of the floating-point inputs, for what record_edges.py asked PyTorch."""
    _, function, inputs, keywords = CASES[name]
    arrays = [RECORDED[x] for x in inputs]
    xs = [nn.Tensor(LAYOUTS[layout](x) if x.ndim else x, requires_grad=x.dtype.kind == "f") for x in arrays]
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in keywords.items()}
    function = getattr(nn, function)
    with np.errstate(all="ignore"):
        y = function(xs, **keywords) if function in (nn.concatenate, nn.stack) else function(*xs, **keywords)
        g = np.linspace(-1, 2, y.size).reshape(y.shape)
        gradients = nn.grad(y, [x for x in xs if x.requires_grad], g) if y.requires_grad else ()
    return [y.data, *(d.data for d in gradients)]


def theirs(name):
    """PyTorch's; nothing if it refuses."""
    number, _, inputs, _ = CASES[name]
    keys = [f"{number} y", *(f"{number} d{i}" for i in range(len(inputs)))]
    return [RECORDED[key] for key in keys if key in RECORDED]


def is_close(a, b, tolerance):
    return np.allclose(a, b, rtol=tolerance, atol=1e-2 * tolerance, equal_nan=True)


def coarsest(name):
    """The tolerance for the coarsest type of a case."""
    return max(TOLERANCE.get(str(RECORDED[x].dtype), 0) for x in CASES[name][2]) or TOLERANCE["float64"]


# -- where nn and PyTorch agree ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", sorted({function for _, function, _, _ in CASES.values()}))
def test_values_gradients_and_types(function, layout):
    for name in CASES:
        if CASES[name][1] == function and name not in SAID and theirs(name):
            for a, b in zip(ours(name, layout), theirs(name), strict=True):
                assert (a.dtype, a.shape) == (b.dtype, b.shape), name
                np.testing.assert_allclose(a, b, coarsest(name), 1e-2 * coarsest(name), err_msg=name)


@pytest.mark.parametrize("name", [name for name in CASES if not theirs(name)])
def test_what_pytorch_refuses_is_refused(name):
    with pytest.raises((ValueError, IndexError)):
        ours(name)


def test_every_op_and_loss_of_nn_is_here():
    ops = {name for name, f in vars(nn).items() if isinstance(f, types.FunctionType)}
    elsewhere = {"getitem", "scatter", "split", "einsum", "argmax"}  # test_against_pytorch.py, test_ops.py
    without_one = {"op", "fused", "grad", "no_grad", "gradcheck", "find_anomaly", "reparameterize", "clip_grad_norm_",
                   "clip_grad_value_", "batches", "draw", "set_num_threads", "step_decay", "cosine_decay",
                   "linear_warmup"}
    recorded = {function for _, function, _, _ in CASES.values()}
    assert ops - elsewhere - without_one == recorded


# -- and where they do not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAID)
def test_differences(name):
    if SAID[name] == "refused":
        with pytest.raises(Exception) as error:
            ours(name)
        assert theirs(name) and not isinstance(error.value, AssertionError)
    elif isinstance(SAID[name], str):
        (a, *_), (b, *_) = ours(name), theirs(name)
        assert str(a.dtype) == SAID[name] != str(b.dtype) and is_close(a, b, TOLERANCE["float32"])
    else:
        for a, b, said in zip(ours(name), theirs(name), SAID[name], strict=True):
            assert a.shape == b.shape and is_close(a, b if said is None else said, coarsest(name))
            assert said is None or not is_close(a, b, coarsest(name)), "no difference: it has no place here"


@pytest.mark.parametrize("where, words", [*SAID_TOO, *((where, words) for where, words, _ in DIFFERENT)])
def test_the_docstring_says_so(where, words):
    assert words in " ".join(inspect.getdoc(where).split())


# -- training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INFO["optimisers"])
def test_optimisers_with_huge_and_tiny_gradients_and_none_at_all(name):
    cls, options, dtype = INFO["optimisers"][name]
    gradients = RECORDED[f"gradients {dtype}"]
    p = nn.Parameter(np.ones(gradients.shape[1:], dtype))
    optimiser, after = getattr(nn, cls)([p], **options), []
    with np.errstate(all="ignore"):
        for g in gradients:
            p.grad = g.copy()
            optimiser.step()
            after.append(p.data.copy())
    np.testing.assert_allclose(after, RECORDED[name], TOLERANCE[dtype], TOLERANCE[dtype])


@pytest.mark.parametrize("name, max_norm", INFO["clipped"])
def test_clipping(name, max_norm):
    p = nn.Parameter(np.zeros_like(RECORDED[f"{name}/given"]))
    p.grad = RECORDED[f"{name}/given"].copy()
    with np.errstate(all="ignore"):
        norm = nn.clip_grad_norm_([p], max_norm)
    np.testing.assert_allclose(norm, RECORDED[f"{name}/norm"], 1e-12)
    np.testing.assert_allclose(p.grad, RECORDED[f"{name}/scaled"], 1e-12)


# -- 0 times infinity: a mask selects, so that a branch which is not taken has gradient 0 ---------------------------

INFINITE = {
    "sqrt of relu": lambda x: nn.sqrt(nn.relu(x)),
    "log of relu": lambda x: nn.log(nn.relu(x)),
    "1 over relu": lambda x: 1 / nn.relu(x),
    "sqrt of clip": lambda x: nn.sqrt(nn.clip(x, 0)),
    "sqrt of maximum": lambda x: nn.sqrt(nn.maximum(x, np.zeros(4))),
    "log of minus minimum": lambda x: nn.log(-nn.minimum(-x, np.zeros(4))),
    "sqrt of where": lambda x: nn.sqrt(nn.where(x > 0, x, 0)),
}


@pytest.mark.parametrize("name", INFINITE)
def test_a_gradient_that_is_masked_is_0_even_where_it_is_infinite(name):
    x = nn.Tensor(np.array([-2.0, -0.5, 0.5, 3]), requires_grad=True)
    with np.errstate(divide="ignore"):
        INFINITE[name](x).sum().backward()
    assert np.array_equal(x.grad[:2], [0, 0]) and np.isfinite(x.grad[2:]).all() and (x.grad[2:] != 0).all()


@pytest.mark.parametrize("op, x, expected", [
    (nn.abs, [-2.0, 0, 3], [-np.inf, 0, np.inf]), (nn.relu, [-2.0, 0, 3], [0, 0, np.inf]),
    (lambda x: nn.max(x, keepdims=True), [1.0, 3, 2], [0, np.inf, 0]),
    (lambda x: nn.maximum(x, 0.5), [-2.0, 3], [0, np.inf]), (lambda x: nn.minimum(x, 0.5), [-2.0, 3], [np.inf, 0]),
])
def test_an_infinite_gradient_stays_where_it_belongs(op, x, expected):
    x = nn.Tensor(np.array(x), requires_grad=True)
    y = op(x)
    y.backward(np.full(y.shape, np.inf))
    assert np.array_equal(x.grad, expected)


def test_an_infinite_gradient_does_not_spread_in_recurrent_layers():
    rng = np.random.default_rng(0)
    x = nn.Tensor(rng.standard_normal((4, 3, 2)), requires_grad=True)  # N, L, I
    layer = nn.RNN(2, 5, nonlinearity="relu", batch_first=True, dtype=np.float64, rng=rng)
    h, _ = layer(x, lengths=[3, 1, 2, 3])
    g = np.zeros(h.shape)
    g[1, 2] = np.inf  # after the end of the sequence
    h.backward(g)
    assert np.array_equal(x.grad, np.zeros_like(x.grad))


# -- reductions: numpy's value and dtype, whatever is reduced ------------------------------------------------------

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
REDUCED = {"sum": np.sum, "mean": np.mean, "var": np.var, "max": np.max, "min": np.min, "prod": np.prod,
           "std": np.std}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCED)
def test_reductions_are_numpys_for_every_dtype_rank_and_axis(name, dtype):
    rng = np.random.default_rng(0)
    for shape in ((), (5,), (3, 200), (2, 3, 4)):
        x = rng.integers(0, 2 if dtype == "bool" else 9 if dtype == "float16" else 90, shape).astype(dtype)
        for axis in (None, *range(-len(shape), len(shape)), *([(0, -1)] if len(shape) > 1 else [])):
            for keepdims in (False, True):
                with np.errstate(all="ignore"):  # small whole numbers wrap in a product
                    ours = getattr(nn, name)(nn.Tensor(x), axis, keepdims=keepdims)
                    theirs = REDUCED[name](x, axis=axis, keepdims=keepdims)
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), (shape, axis)
                np.testing.assert_allclose(ours.data.astype(float), np.asarray(theirs, float), rtol=2e-3, atol=1e-3)


def test_float16_is_summed_wider():
    ones = nn.Tensor(np.ones(70_000, np.float16), requires_grad=True)
    assert nn.mean(ones).item() == 1 and nn.var(ones).item() == 0 and nn.mean(ones).dtype == np.float16
    nn.mean(ones).backward()
    assert ones.grad.dtype == np.float16 and ones.grad[0] > 0
    logits = nn.Tensor(np.zeros((70_000, 2), np.float16), requires_grad=True)
    loss = nn.cross_entropy(logits, np.zeros(70_000, int))
    assert loss.item() == pytest.approx(np.log(2), abs=1e-3) and loss.dtype == np.float16
    loss.backward()
    assert (logits.grad[:, 0] < 0).all()


def test_a_variance_without_degrees_of_freedom_is_never_negative():
    with np.errstate(all="ignore"):
        assert np.isnan(nn.var(nn.Tensor([1.0]), ddof=1).item())
        assert np.isinf(nn.var(nn.Tensor([1.0, 2]), ddof=3).item())

"""Every op, loss, cell and layer: its gradients, values, dtype and errors. The rows are those of tasks/gradcheck.py."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from rich.console import Console

import nn
from nn import sequence, tensor
from tasks import gradcheck
from tasks.gradcheck import CASES, TOLERANCE, Case, check

PUBLIC = {name for name, value in vars(nn).items() if callable(value) and not name.startswith("_")}
NEEDS_NO_ROW = {
    "Tensor": "the thing differentiated: test_tensor.py, test_backward.py",
    "Module": "has no forward of its own: test_module.py",
    "Parameter": "a Tensor",
    "op": "makes ops", "fused": "makes ops",
    "grad": "differentiates", "no_grad": "switches differentiation off", "gradcheck": "checks: test_gradcheck.py",
    "find_anomaly": "looks for a nan: test_anomaly.py", "draw": "a picture: test_draw.py",
    "set_num_threads": "changes no number: test_threads.py",
    "GradientError": "an exception",
    **dict.fromkeys(["Optimizer", "SGD", "RMSprop", "Adam", "AdamW", "clip_grad_norm_", "clip_grad_value_"],
                    "train: test_optim.py"),
    **dict.fromkeys(["ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Softmax",
                     "LogSoftmax"], "the functions of these names as modules: test_module.py"),
    "batches": "draws no gradient: test_batches.py", "argmax": "has no gradient: below",
    **dict.fromkeys(["step_decay", "cosine_decay", "linear_warmup"], "functions of time: test_optim.py"),
}
FUSED = {"RNN", "LSTM", "GRU"}
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def public_of(case):
    return case.name.split()[0]


@every_case
def test_gradient(case):
    result = check(case)
    assert not result.message, result.message
    assert result.error <= TOLERANCE


def test_every_public_callable_has_a_row():
    have = {public_of(case) for case in CASES}
    assert PUBLIC - have == set(NEEDS_NO_ROW), "a public name without a row in tasks/gradcheck.py, or an old reason"
    assert have <= PUBLIC, "a row whose name does not begin with a public name"


def test_only_fused_layers_are_checked_to_first_order_alone():
    assert {public_of(case) for case in CASES if case.order == 1} == FUSED
    assert {public_of(case) for case in CASES if case.twin} == FUSED


# -- masks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128, np.int64])
@pytest.mark.parametrize("shape", [(5, 7), (0, 3), ()])
def test_where_with_a_0_is_numpys_to_the_last_bit(dtype, shape, rng):
    """Also of inf, nan and -0.0, in any layout, and for conditions that broadcast or are no booleans."""
    x = (10 * rng.standard_normal(shape)).astype(dtype)
    if x.size and x.dtype.kind == "f":
        x.ravel()[:1] = np.inf
    if x.size > 3 and x.dtype.kind == "f":
        x.ravel()[1:4] = np.nan, -0.0, -np.inf
    masks = [rng.random(shape) > 0.5, np.True_, np.False_, rng.integers(0, 3, shape)]
    masks += [rng.random((7,)) > 0.5, [[True], [False], [True], [True], [False]]] if shape == (5, 7) else []
    for mask in masks:
        for array in (x, x.T[::-1].T if x.ndim == 2 else x, np.broadcast_to(x, (2, *shape))):
            found, expected = nn.where(mask, array, 0), np.where(mask, array, 0)
            assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


# -- the table's own machinery -------------------------------------------------------------------------------

halved = nn.op(np.square, lambda g, y, x: g * x)


def wrong_cases():
    x = gradcheck.real(5, 7)
    return [
        Case("wrong gradient", halved, x),
        Case("wrong value", lambda x: (x * x,), x, twin=lambda x: (1.001 * x * x,)),
        Case("exception", lambda x: x.reshape((4, 4)), x),
    ]


def test_check_tells_wrong_from_right():
    wrong, value, exception = map(check, wrong_cases())
    assert wrong.error > 0.1 and "wrong gradient" in wrong.message
    assert "Traceback" in exception.message and "reshape of (5, 7)" in exception.message and np.isnan(exception.error)
    assert value.error == pytest.approx(1e-3, rel=0.01) and "the two differ by 0.001" in value.message


def test_a_twin_must_agree_in_value_and_in_gradient():
    x = gradcheck.real(5, 7)
    square = nn.op(np.square, lambda g, y, x: g * 2 * x)
    assert not check(Case("same", lambda x: (square(x),), x, twin=lambda x: (x * x,))).message
    assert check(Case("gradient", lambda x: (halved(x),), x, twin=lambda x: (x * x,))).error == pytest.approx(0.5)
    assert check(Case("value", lambda x: (x * x + 1,), x, twin=lambda x: (x * x,))).error > 1e-3
    assert check(Case("shape", lambda x: (x * x[None],), x, twin=lambda x: (x * x,))).error == np.inf
    nan = nn.op(np.square, lambda g, y, x: g * np.nan)
    assert check(Case("nan", lambda x: (x * x, nan(x)), x, twin=lambda x: (x * x, x * x))).message


def test_run_prints_a_row_for_each_and_says_whether_all_are_right(monkeypatch):
    good = [case for case in CASES if case.name in ("exp", "LSTM = LSTMCell")]
    console = Console(record=True, width=150)
    monkeypatch.setattr(gradcheck, "CASES", good)
    assert gradcheck.run(gradcheck.GradcheckOptions(), console)
    text = console.export_text()
    assert text.count("ok") == len(good) and "WRONG" not in text
    assert f"{len(good)} rows, 0 wrong" in text

    monkeypatch.setattr(gradcheck, "CASES", [*good, *wrong_cases()[::2]])
    assert not gradcheck.run(gradcheck.GradcheckOptions(), console)
    text = console.export_text()
    assert text.count("WRONG") == 4 and f"{len(good) + 2} rows, 2 wrong" in text  # in the table and below it
    assert "gradcheck(f, *inputs, seed=0)" in text and "reshape of (5, 7)" in text


# -- dtype in, dtype out -------------------------------------------------------------------------------------


@pytest.fixture
def dtypes_seen(monkeypatch):
    """Every floating-point dtype that an op returns, or a vjp before it is cast to its argument's."""
    seen, make, unbroadcast = set(), tensor.result, tensor.unbroadcast

    def watched_result(data, node=None):
        made = make(data, node)
        if isinstance(made.data, np.ndarray) and made.dtype.kind == "f":
            seen.add(str(made.dtype))
        return made

    def watched_unbroadcast(g, x, name):
        seen.add(str(g.dtype))
        return unbroadcast(g, x, name)

    monkeypatch.setattr(tensor, "result", watched_result)
    monkeypatch.setattr(tensor, "unbroadcast", watched_unbroadcast)
    return seen


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@every_case
def test_dtype_in_is_dtype_out(case, dtype, dtypes_seen):
    xs = [nn.Tensor(x.astype(dtype), requires_grad=True) for x in case.inputs()]
    with np.errstate(under="ignore"):  # float16 has few small numbers
        ys = case.function(*xs)
        ys = ys if isinstance(ys, tuple) else (ys,)
        total = sum(y.sum() for y in ys)
        total.backward(retain_graph=True)
        if case.order > 1:  # the vjps once more, as ops, so that their own steps are seen
            nn.grad(total, xs, create_graph=True)
    assert {y.dtype for y in ys} == {np.dtype(dtype)}
    assert {x.grad.dtype for x in xs} == {np.dtype(dtype)}
    assert dtypes_seen == {dtype} or (dtype == "float16" and dtypes_seen == {"float16", "float32"})  # wider sums


@pytest.mark.parametrize("function, states, gates", [(sequence.rnn, 1, 1), (sequence.lstm, 2, 4), (sequence.gru, 1, 3)])
def test_a_fused_backward_keeps_the_dtype(function, states, gates):
    """Before the cast to the argument's dtype, which would hide a float64 on the way."""
    shapes = [(7, 5, 3), *[(7, 2)] * states, (2 * gates, 3), (2 * gates, 2), (2 * gates,), (2 * gates,)]
    args = [np.full(shape, 0.5, np.float32) for shape in shapes]
    y, backward = inspect.unwrap(function)(*args)
    assert {part.dtype for part in y} == {np.dtype(np.float32)}
    assert {dx.dtype for dx in backward(y, [True] * len(args))} == {np.dtype(np.float32)}


# -- values --------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((2, 3, 5))
A, B = X[0], X[1]
BIG = np.array([-200.0, 0, 300])
VALUES = {
    "neg": (nn.neg(nn.Tensor(X)), 0 - X),
    "exp": (nn.exp(nn.Tensor(X)), np.e**X),
    "expm1": (nn.expm1(nn.Tensor(1e-9 * X)), 1e-9 * X + 0.5e-18 * X**2),
    "log": (nn.log(nn.Tensor(np.e**X)), X),
    "log1p": (nn.log1p(nn.Tensor(1e-9 * X)), 1e-9 * X - 0.5e-18 * X**2),
    "sqrt": (nn.sqrt(nn.Tensor(X**2)), np.abs(X)),
    "tanh": (nn.tanh(nn.Tensor(X)), (np.exp(X) - np.exp(-X)) / (np.exp(X) + np.exp(-X))),
    "sigmoid": (nn.sigmoid(nn.Tensor(X)), np.exp(X) / (1 + np.exp(X))),
    "sigmoid large": (nn.sigmoid(nn.Tensor(BIG)), [np.exp(BIG[0]), 0.5, 1]),
    "relu": (nn.relu(nn.Tensor(X)), np.where(X > 0, X, 0)),
    "abs": (nn.abs(nn.Tensor(X)), np.where(X > 0, X, -X)),
    "maximum": (nn.maximum(nn.Tensor(A), B), np.where(A > B, A, B)),
    "minimum": (nn.minimum(nn.Tensor(A), B), np.where(A > B, B, A)),
    "where": (nn.where(A > 0, nn.Tensor(A), B), np.where(A > 0, A, B)),
    "clip": (nn.clip(nn.Tensor(X), -1, 0.5), np.where(X < -1, -1, np.where(X > 0.5, 0.5, X))),
    "pow": (nn.pow(nn.Tensor(np.e**A), B), np.exp(A * B)),
    "pow of a number": (nn.Tensor(X) ** 3, X * X * X),
    "matmul": (nn.Tensor(X) @ B.T, np.einsum("nij,kj->nik", X, B)),
    "sum": (nn.sum(nn.Tensor(X), (0, -1)), np.einsum("nij->i", X)),
    "mean": (nn.mean(nn.Tensor(X), 1, keepdims=True), np.einsum("nij->nj", X)[:, None] / 3),
    "max": (nn.max(nn.Tensor(X), (0, 2)), np.sort(X.swapaxes(0, 1).reshape(3, 10))[:, -1]),
    "min": (nn.min(nn.Tensor(X)), np.sort(X.ravel())[0]),
    "var": (nn.var(nn.Tensor(X), (0, 2), ddof=1), X.var((0, 2), ddof=1)),
    "logsumexp": (nn.logsumexp(nn.Tensor(X), (0, 1), keepdims=True), np.log(np.exp(X).sum((0, 1), keepdims=True))),
    "logsumexp large": (nn.logsumexp(nn.Tensor(BIG)), 300),
    "softmax": (nn.softmax(nn.Tensor(X), 1), np.exp(X) / np.exp(X).sum(1, keepdims=True)),
    "log_softmax": (nn.log_softmax(nn.Tensor(X), None), X - np.log(np.exp(X).sum())),
    "transpose": (nn.transpose(nn.Tensor(X), (2, 0, 1)), np.einsum("nij->jni", X)),
    "concatenate": (nn.concatenate([nn.Tensor(A), B], -1), np.hstack([A, B])),
    "stack": (nn.stack([nn.Tensor(A), B], -1), np.dstack([A, B])),
    "split": (nn.split(nn.Tensor(X), [1, 4], -1)[1], X[..., 1:4]),
    "split equal": (nn.split(nn.Tensor(X), 3, axis=1)[2], X[:, 2:]),
    "pad": (nn.pad(nn.Tensor(A), [(1, 0), (0, 2)], 7), np.block([[np.full((1, 7), 7)], [A, np.full((3, 2), 7)]])),
    "scatter": (nn.scatter(nn.Tensor(A), [1, 3, 1], (4, 5)), [np.zeros(5), A[0] + A[2], np.zeros(5), A[1]]),
    "kl": (nn.gaussian_kl(nn.Tensor(A), nn.Tensor(B), "none"), (A**2 + np.exp(B) - 1 - B) / 2),
}


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    result, expected = VALUES[name]
    assert isinstance(result, nn.Tensor)
    np.testing.assert_allclose(result.data, expected, rtol=1e-13, atol=1e-15)


def test_reparameterize_has_standard_deviation_exp_half_log_var():
    mean, log_var = np.full(100_000, 3.0), np.full(100_000, np.log(4.0))
    z = nn.reparameterize(nn.Tensor(mean), nn.Tensor(log_var), np.random.default_rng(0)).data
    assert z.mean() == pytest.approx(3, abs=0.03) and z.std() == pytest.approx(2, abs=0.03)


def test_an_op_of_arrays_is_an_array():
    assert type(nn.exp(X)) is np.ndarray and type(nn.softmax(X)) is np.ndarray and type(nn.matmul(A, B.T)) is np.ndarray


def test_ties_share_the_gradient():
    x = nn.Tensor(np.array([[1.0, 3, 3], [2, 2, 2]]), requires_grad=True)
    np.testing.assert_allclose(nn.grad(nn.max(x, 1).sum(), x).data, [[0, 1 / 2, 1 / 2], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(nn.grad(nn.min(x), x).data, [[1, 0, 0], [0, 0, 0]])
    a, b = nn.grad(nn.maximum(x, 2 * x - 3).sum() + nn.minimum(x, x).sum(), [x, x])
    assert np.array_equal(a.data, b.data) and np.array_equal(a.data, [[2, 2.5, 2.5], [2, 2, 2]])


def test_powers_at_0():
    a, b = (nn.Tensor(np.array(x), requires_grad=True) for x in ([0.0, 0, 0], [0.0, 1, 2]))
    y = nn.pow(a, b)
    da, db = nn.grad(y.sum(), [a, b], create_graph=True)
    assert [x.data.tolist() for x in (y, da, db)] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert nn.grad(da.sum(), a).data.tolist() == [0, 0, 2]


# -- errors --------------------------------------------------------------------------------------------------

T = nn.Tensor(X, requires_grad=True)
MASK = np.ones(1, bool)
ERRORS = {
    "add": (lambda: T + np.zeros(4), ValueError, r"add of \(2, 3, 5\) and \(4,\)"),
    "mul": (lambda: np.zeros(4) * T, ValueError, r"multiply of \(2, 3, 5\) and \(4,\)"),
    "matmul": (lambda: T @ np.zeros((4, 2)), ValueError, r"matmul of \(2, 3, 5\) and \(4, 2\)"),
    "maximum": (lambda: nn.maximum(T, np.zeros(4)), ValueError, r"maximum of \(2, 3, 5\) and \(4,\)"),
    "where": (lambda: nn.where(X > 0, T, np.zeros(4)), ValueError, r"where of \(2, 3, 5\) and \(4,\)"),
    "reshape": (lambda: T.reshape((7, -1)), ValueError, r"reshape of \(2, 3, 5\)"),
    "broadcast_to": (lambda: nn.broadcast_to(T, (2, 3, 4)), ValueError, r"broadcast_to of \(2, 3, 5\)"),
    "sum": (lambda: T.sum(3), ValueError, r"sum of \(2, 3, 5\): axis 3"),
    "max": (lambda: nn.max(nn.Tensor(np.zeros((0, 3)))), ValueError, r"max of \(0, 3\)"),
    "getitem": (lambda: T[2], IndexError, r"getitem of \(2, 3, 5\): index 2"),
    "transpose": (lambda: nn.transpose(T, (0, 1)), ValueError, r"transpose of \(2, 3, 5\)"),
    "concatenate": (lambda: nn.concatenate([T, nn.Tensor(A)]), ValueError, r"concatenate of \(2, 3, 5\) and \(3, 5\)"),
    "stack": (lambda: nn.stack([T, nn.Tensor(A)]), ValueError, r"concatenate of \(1, 2, 3, 5\) and \(1, 3, 5\)"),
    "split": (lambda: nn.split(T, 2, axis=1), ValueError, r"split of \(2, 3, 5\): axis 1 .* 2"),
    "pad": (lambda: nn.pad(T, [(1, 1)]), ValueError, r"pad of \(2, 3, 5\).*3 axes, not 1"),
    "no derivative": (lambda: nn.elu(T, T[0, 0, 0]), TypeError, "elu has no derivative for its argument 1"),
    "unknown argument": (lambda: nn.softmax(T, dim=1), TypeError, r"^softmax\(\) got an unexpected .* 'dim'"),
    "numpy's arguments": (lambda: nn.exp(T, where=MASK), TypeError, "exp takes no keyword argument 'where'"),
    "einsum": (lambda: nn.einsum("ii->i", T), ValueError, '"ii->i" has ".*" or an axis twice'),
    "norm": (lambda: nn.norm(T, 3), ValueError, "ord is 1 or 2, not 3"),
    "smoothing": (lambda: nn.cross_entropy(nn.Tensor(A), np.array([0, 1, 1]), label_smoothing=1.5), ValueError, "1.5"),
    "target": (lambda: nn.binary_cross_entropy(nn.sigmoid(T), 2 + X), ValueError, r"a target is outside \[0, 1\]"),
    "nan target": (lambda: nn.binary_cross_entropy_with_logits(T, X * np.nan), ValueError, r"outside \[0, 1\]"),
    "delta": (lambda: nn.huber_loss(T, X, delta=0), ValueError, "delta is positive"),
    "np.sum": (lambda: np.sum(T), TypeError, "np.sum of a Tensor would lose its graph: use nn.sum"),
    "mse_loss": (lambda: nn.mse_loss(T, A), ValueError, r"mse_loss: .*\(3, 5\).*\(2, 3, 5\)"),
    "kl": (lambda: nn.gaussian_kl(T, A), ValueError, r"gaussian_kl: .*\(3, 5\).*\(2, 3, 5\)"),
    "reduction": (lambda: nn.mse_loss(T, X, "median"), ValueError, "reduction.*median"),
    "class": (lambda: nn.cross_entropy(nn.Tensor(A), np.array([0, 5, 1])), ValueError, "cross_entropy: .*class 0 to 4"),
    "probability": (lambda: nn.binary_cross_entropy(T, X), ValueError, r"outside \[0, 1\]"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_which_op_and_which_shapes(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_a_vjp_of_the_wrong_shape_is_named():
    short = nn.op(np.square, lambda g, y, x: (g * x)[:, 1:])
    with pytest.raises(ValueError, match=r"vjp of square returned shape \(3, 4\) for an argument of shape \(3, 5\)"):
        short(nn.Tensor(A, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("layer", [nn.RNN(3, 2), nn.LSTM(3, 2), nn.GRU(3, 2)], ids=lambda layer: type(layer).__name__)
def test_a_fused_op_names_its_cell_when_asked_for_a_second_derivative(layer):
    y, _ = layer(nn.Tensor(np.zeros((5, 7, 3), np.float32)))
    with pytest.raises(NotImplementedError, match=f"nn.{type(layer).__name__}Cell"):
        nn.grad(y.sum(), layer.weight_hh_l0, create_graph=True)


def test_every_public_name_says_what_it_is():
    silent = [name for name in PUBLIC if not inspect.getdoc(getattr(nn, name))]
    assert not silent


def test_the_gradient_of_a_product_is_right_at_0():
    """Its second derivatives are not, so that it has no row in the table."""
    x = np.array([[0.0, 2, 3], [0, 0, 4], [1, 2, 3]])
    assert nn.gradcheck(lambda x: nn.prod(x, 1), x) <= TOLERANCE
    assert nn.gradcheck(lambda x: nn.prod(x), np.array([[0.5, 2], [0, -3]])) <= TOLERANCE


def test_argmax_is_numpys():
    x = nn.Tensor(np.array([[1.0, 5, 5], [7, 0, 1]]), requires_grad=True)
    assert nn.argmax(x) == 3 and nn.argmax(x, 1).tolist() == [1, 0] and isinstance(nn.argmax(x), np.ndarray)


@pytest.mark.parametrize("subscripts, shapes", [
    ("ij,jk->ik", [(2, 3), (3, 5)]), ("ij,jk", [(2, 3), (3, 5)]), ("nij,nkj->nik", [(2, 3, 5), (2, 7, 5)]),
    ("i,j->ij", [(2,), (3,)]), ("ij->", [(2, 3)]), ("ij->ji", [(2, 3)]), ("ij,ij,ij->i", [(2, 3)] * 3)])
def test_einsum_is_numpys(subscripts, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    np.testing.assert_allclose(nn.einsum(subscripts, *map(nn.Tensor, arrays)).data, np.einsum(subscripts, *arrays))

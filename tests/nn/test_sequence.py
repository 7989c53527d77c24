"""The fast recurrent layers are the cells in a loop, in value and every gradient; and their memory is safe.

Read next: test_losses.py.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nn
from nn import memory, sequence

N, L, I, H = 5, 7, 3, 2
LENGTHS = np.array([7, 0, 1, 4, 7])
KINDS = {
    "RNN tanh": (nn.RNN, nn.RNNCell, {"nonlinearity": "tanh"}),
    "RNN relu": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu"}),
    "LSTM": (nn.LSTM, nn.LSTMCell, {}),
    "GRU": (nn.GRU, nn.GRUCell, {}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def pair(kind, bidirectional=False, dtype=np.float64, sizes=(I, H)):
    """A layer, and a cell for each of its directions that holds the same Parameters."""
    layer_class, cell_class, options = KINDS[kind]
    layer = layer_class(*sizes, batch_first=True, bidirectional=bidirectional, dtype=dtype,
                        rng=np.random.default_rng(0), **options)
    cells = []
    for suffix in ["_l0", "_l0_reverse"][:1 + bidirectional]:
        cell = cell_class(*sizes, dtype=dtype, **options)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(cell, name, getattr(layer, name + suffix))
        cells.append(cell)
    return layer, cells


def make_inputs(kind, D=1, dtype=np.float64, N=N, L=L, sizes=(I, H), seed=1):
    """x and the first states, as Tensors that want a gradient."""
    rng = np.random.default_rng(seed)
    shapes = [(N, L, sizes[0])] + [(D, N, sizes[1])] * (1 + (kind == "LSTM"))
    return [nn.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]


def run_layer(layer, x, *states, lengths=None):
    """The outputs in a row: h, h_n, and c_n for an LSTM."""
    h, last = layer(x, states if len(states) > 1 else states[0], lengths=lengths)
    return [h, *(last if len(states) > 1 else [last])]


def run_loop(cells, x, *states, lengths=None):
    """The same, one step at a time: a sequence that is over keeps its state and its h is 0."""
    N, L, _ = x.shape
    lengths = np.full(N, L) if lengths is None else np.asarray(lengths)
    hs, lasts = [], []
    for direction, cell in enumerate(cells):
        state = [s[direction] for s in states]
        steps = [None] * L
        for t in reversed(range(L)) if direction else range(L):
            new = cell(x[:, t], tuple(state) if len(state) > 1 else state[0])
            runs = (t < lengths)[:, None]
            state = [nn.where(runs, a, b) for a, b in zip(new if len(state) > 1 else [new], state, strict=True)]
            steps[t] = nn.where(runs, state[0], 0)
        hs.append(nn.stack(steps, axis=1))
        lasts.append(state)
    return [nn.concatenate(hs, axis=-1), *(nn.stack(list(s)) for s in zip(*lasts, strict=True))]


def assert_same(ours, theirs, inputs, tolerance):
    """Equal outputs and gradients: of each output alone, then of all together, and all in the inputs' dtype."""
    rng = np.random.default_rng(2)
    dtype = inputs[0].dtype
    gs = [rng.standard_normal(y.shape).astype(dtype) for y in ours]
    totals = [[(y * g).sum() for y, g in zip(ys, gs, strict=True)] for ys in (ours, theirs)]
    for y, z in zip(ours, theirs, strict=True):
        assert y.dtype == z.dtype == dtype
        np.testing.assert_allclose(y.data, z.data, rtol=tolerance, atol=tolerance)
    for a, b in [*zip(*totals, strict=True), [sum(parts) for parts in totals]]:
        for da, db in zip(nn.grad(a, inputs, retain_graph=True), nn.grad(b, inputs, retain_graph=True), strict=True):
            assert da.dtype == db.dtype == dtype
            np.testing.assert_allclose(da.data, db.data, rtol=tolerance, atol=tolerance)


# -- fused = composed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lengths", [None, LENGTHS, [0, 0, 3, 1, 2]], ids=["full", "lengths", "all end early"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@every_kind
def test_a_layer_is_its_cell_in_a_loop(kind, bidirectional, lengths, dtype):
    layer, cells = pair(kind, bidirectional, dtype)
    inputs = make_inputs(kind, 1 + bidirectional, dtype)
    assert_same(run_layer(layer, *inputs, lengths=lengths), run_loop(cells, *inputs, lengths=lengths),
                inputs + layer.parameters(), 1e-12 if dtype == np.float64 else 3e-6)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 5, 3, 2), (6, 1, 2, 3), (3, 2, 1, 5), (2, 3, 5, 1)], ids=str)
@every_kind
def test_sizes_of_one(kind, sizes):
    N, L, *sizes = sizes
    layer, cells = pair(kind, sizes=sizes)
    inputs = make_inputs(kind, N=N, L=L, sizes=sizes)
    assert_same(run_layer(layer, *inputs), run_loop(cells, *inputs), inputs + layer.parameters(), 1e-12)


@every_kind
def test_layers_are_stacked(kind):
    layer_class, _, options = KINDS[kind]
    two = layer_class(I, H, num_layers=2, bidirectional=True, batch_first=True, dtype=np.float64, **options)
    one, other = (layer_class(width, H, bidirectional=True, batch_first=True, dtype=np.float64, **options)
                  for width in (I, 2 * H))
    for name, p in two.named_parameters():
        setattr(other if "_l1" in name else one, name.replace("_l1", "_l0"), p)
    x, *states = make_inputs(kind, 4)
    below = run_layer(one, x, *(s[:2] for s in states), lengths=LENGTHS)
    above = run_layer(other, below[0], *(s[2:] for s in states), lengths=LENGTHS)
    ends = [nn.concatenate([a, b]) for a, b in zip(below[1:], above[1:], strict=True)]
    assert_same(run_layer(two, x, *states, lengths=LENGTHS), [above[0], *ends], [x, *states, *two.parameters()], 1e-12)


@every_kind
def test_without_a_state_it_starts_from_zero(kind):
    layer, _ = pair(kind, bidirectional=True)
    x, *states = make_inputs(kind, 2)
    h, last = layer(x)
    with_zeros = run_layer(layer, x, *(nn.Tensor(np.zeros(s.shape)) for s in states))
    assert_same([h, *(last if isinstance(last, tuple) else [last])], with_zeros, [x, *layer.parameters()], 0)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@every_kind
def test_other_gradients_are_the_same_when_nobody_wants_that_of_x(kind, lengths):
    layer, _ = pair(kind, bidirectional=True)
    inputs = [*make_inputs(kind, 2), *layer.parameters()]
    total = sum((y * y).sum() for y in run_layer(layer, *inputs[:-8], lengths=lengths))
    with_x = nn.grad(total, inputs, retain_graph=True)
    for a, b in zip(nn.grad(total, inputs[1:]), with_x[1:], strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-12)


@every_kind
def test_what_stands_after_the_end_of_a_sequence_does_not_count(kind):
    layer, _ = pair(kind, bidirectional=True)
    x, *states = make_inputs(kind, 2)
    over = np.arange(L) >= LENGTHS[:, None]
    changed = nn.Tensor(np.where(over[..., None], np.nan, x.data), requires_grad=True)
    outputs, outputs_changed = (run_layer(layer, y, *states, lengths=LENGTHS) for y in (x, changed))
    assert_same(outputs, outputs_changed, [*states, *layer.parameters()], 0)
    dx, = nn.grad(sum((y * y).sum() for y in outputs_changed), [changed])
    assert not dx.data[over].any() and dx.data[~over].all(axis=-1).any()
    assert not outputs[0].data[over].any()
    for last, first in zip(outputs[1:], states, strict=True):
        np.testing.assert_array_equal(last.data[:, 1], first.data[:, 1])  # length 0


@every_kind
def test_arrays_laid_out_otherwise(kind):
    layer, _ = pair(kind)
    x, *states = make_inputs(kind, L=2 * L)
    strided = [x[::-1, ::2], *(s[:, ::-1] for s in states)]
    plain = [nn.Tensor(np.ascontiguousarray(y.data)) for y in strided]
    assert_same(run_layer(layer, *strided), run_layer(layer, *plain), layer.parameters(), 1e-12)


@every_kind
def test_a_second_backward_pass_over_a_kept_graph_gives_the_same(kind):
    layer, _ = pair(kind, bidirectional=True)
    inputs = make_inputs(kind, 2) + layer.parameters()
    total = sum((y * y).sum() for y in run_layer(layer, *inputs[:-8], lengths=LENGTHS))
    first, second = (nn.grad(total, inputs, retain_graph=True) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("arguments, words", [
    ({"x": np.zeros((N, L, I + 1))}, r"\(N, L, I\).* 3.*\(5, 7, 4\)"),
    ({"x": np.zeros((N, I, I, I))}, r"\(N, L, I\).* 3.*\(5, 3, 3, 3\)"),
    ({"state": np.zeros((1, N + 1, H))}, r"state.*\(1, 5, 2\).*\(1, 6, 2\)"),
    ({"lengths": [1, 2, 3, 4]}, "lengths.* 5.* 0 to L = 7"),
    ({"lengths": [1, 2, 3, 4, 8]}, "lengths.* 0 to L = 7"),
    ({"lengths": [1, 2, 3, 4, -1]}, "lengths.* 0 to L = 7"),
    ({"lengths": [1.0, 2.0, 3.0, 4.0, 5.0]}, "lengths.* whole number"),
], ids=["features", "axes", "state", "too few", "too long", "negative", "fractional"])
@every_kind
def test_arguments_that_do_not_fit_are_named(kind, arguments, words):
    layer, _ = pair(kind)
    x, *states = make_inputs(kind)
    x, states = nn.Tensor(arguments.get("x", x)), [nn.Tensor(arguments.get("state", s)) for s in states]
    with pytest.raises(ValueError, match=f"{type(layer).__name__}: .*{words}"):
        run_layer(layer, x, *states, lengths=arguments.get("lengths"))


@pytest.mark.parametrize("sizes", [(0, H), (I, 0), (I, H, 0)], ids=str)
@every_kind
def test_a_layer_of_nothing_is_refused(kind, sizes):
    layer_class, _, _ = KINDS[kind]
    with pytest.raises(ValueError, match=f"{layer_class.__name__}: .* at least 1, not {', '.join(map(str, sizes))}"):
        layer_class(*sizes)


def test_another_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="nonlinearity.*'sigmoid'"):
        nn.RNN(I, H, nonlinearity="sigmoid")


# -- borrowed memory -----------------------------------------------------------------------------------------


def everything(layer, inputs, lengths=None):
    """The outputs and gradients of one call: the very arrays that nn hands out."""
    outputs = run_layer(layer, *inputs, lengths=lengths)
    gradients = nn.grad(sum((y * y).sum() for y in outputs), [*inputs, *layer.parameters()])
    return [y.data for y in (*outputs, *gradients)]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@every_kind
def test_results_that_are_held_stay_as_they_are(kind, lengths):
    layer, _ = pair(kind, bidirectional=True)
    held = []
    for seed in range(30):
        results = everything(layer, make_inputs(kind, 2, seed=seed), lengths)
        held.append((results, [r.copy() for r in results]))
        everything(layer, make_inputs(kind, 2, seed=100 + seed), lengths)  # dropped: its memory is lent again
    for results, copies in held:
        for result, copy in zip(results, copies, strict=True):
            np.testing.assert_array_equal(result, copy)


@every_kind
def test_a_part_of_a_result_keeps_its_memory(kind):
    layer, _ = pair(kind)
    part = run_layer(layer, *make_inputs(kind))[0].data[2, 3:5]  # the Tensor and its graph are gone, this view is not
    copy = part.copy()
    for seed in range(30):
        everything(layer, make_inputs(kind, seed=seed))
    np.testing.assert_array_equal(part, copy)


@every_kind
def test_graphs_that_wait_for_their_backward_pass_are_not_disturbed(kind):
    layer, _ = pair(kind)
    expected = [everything(layer, make_inputs(kind, seed=seed)) for seed in range(20)]
    inputs = [[*make_inputs(kind, seed=seed), *layer.parameters()] for seed in range(20)]
    waiting = [sum((y * y).sum() for y in run_layer(layer, *xs[:-4])) for xs in inputs]
    for xs, total, theirs in zip(inputs, waiting, expected, strict=True):
        for a, b in zip(nn.grad(total, xs), theirs[-len(xs):], strict=True):
            np.testing.assert_array_equal(a.data, b)


def at_every_line(frame, event, arg):
    """A trace function that lets the other thread go on before each line of sequence.py."""
    if frame.f_code.co_filename != sequence.__file__:
        return None
    time.sleep(0)
    return at_every_line


@pytest.fixture
def two_threads():
    """Call a function on each of two arguments, at the same time, and change between them all the time."""
    def call(function, *arguments):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(function, arguments, timeout=60))

    before = threading.gettrace()
    threading.settrace(at_every_line)
    yield call
    threading.settrace(before)


@every_kind
def test_two_threads_give_what_one_gives(kind, two_threads):
    layer, _ = pair(kind, bidirectional=True)
    seeds = range(4)

    def work(seeds):
        return [everything(layer, make_inputs(kind, 2, seed=seed)) for seed in seeds]

    expected = work(seeds)
    upwards, downwards = two_threads(work, seeds, seeds[::-1])
    for ours, theirs in zip(upwards + downwards, expected + expected[::-1], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_two_threads_never_borrow_the_same_memory(two_threads):
    def work(number):
        for _ in range(100):
            array, = memory.borrow(np.dtype(float), (8,))
            array[...] = number
            time.sleep(0)
            if not (array == number).all():
                return "the other thread wrote into this one's memory"
        return "well"

    assert two_threads(work, 1, 2) == ["well", "well"]


def test_memory_that_nobody_looks_into_is_lent_again():
    size = memory.SMALL // 8
    first, second = memory.borrow(np.dtype(float), (2, 3), (size,))
    address = first.ctypes.data
    del first, second
    for dtype, other in ((np.float32, size + 6), (float, size + 7)):
        assert memory.borrow(np.dtype(dtype), (other,))[0].ctypes.data != address
    assert memory.borrow(np.dtype(float), (size + 6,))[0].ctypes.data == address


def test_memory_that_another_thread_took_is_made_anew(monkeypatch):
    class Emptied(list):
        def popleft(self):
            raise IndexError

    monkeypatch.setattr(memory, "_shelf", Emptied([None]))
    array, = memory.borrow(np.dtype(float), (2, memory.SMALL))
    assert array.shape == (2, memory.SMALL)


def test_small_arrays_are_fresh_ones():
    """Below the bound no memory is put on the shelf, which holds 16 pieces."""
    before = list(memory._shelf)
    for array in memory.borrow(np.dtype(np.float32), (2, 3), (5,)):
        assert array.base is None and array.dtype == np.float32
    assert [piece.ctypes.data for piece in memory._shelf] == [piece.ctypes.data for piece in before]


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("of_x, of_weights", [(np.float64, np.float32), (np.float32, np.float64)])
def test_a_gradient_has_the_dtype_of_what_it_is_of_also_where_they_differ(kind, of_x, of_weights):
    layer = kind(3, 2, batch_first=True, rng=np.random.default_rng(0), dtype=of_weights)
    x = nn.Tensor(np.ones((5, 7, 3), of_x), requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad.dtype == of_x and all(p.grad.dtype == of_weights for p in layer.parameters())

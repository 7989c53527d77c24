"""Modules: which parameters they have, in which order and by which names; saving, loading, and the two modes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import nn
from nn import Module, Parameter, Tensor


def arrays(module):
    return {name: p.data.copy() for name, p in module.named_parameters()}


class Net(Module):
    """Every way to hold a parameter; and what is none."""

    def __init__(self, rng=None):
        self.zeta = Parameter(np.zeros(2))
        self.encoder = nn.Linear(3, 2, rng=rng)
        self.layers = [nn.Linear(2, 2, bias=False, rng=rng), nn.Dropout(0.5), nn.Linear(2, 5, rng=rng)]
        self.heads = {"mean": nn.Linear(5, 1, rng=rng), "log_var": Parameter(np.ones((1, 5)))}
        self.scale = Parameter(0.5)
        self.pair = (Parameter([1.0]), [Parameter([2.0])])
        self.constant, self.array, self.number, self.nothing = Tensor([1.0], requires_grad=True), np.ones(3), 3, None
        self.alpha = nn.Sequential(nn.Linear(5, 2, rng=rng), nn.tanh, nn.LayerNorm(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


NAMES = ["zeta", "encoder.weight", "encoder.bias", "layers.0.weight", "layers.2.weight", "layers.2.bias",
         "heads.mean.weight", "heads.mean.bias", "heads.log_var", "scale", "pair.0", "pair.1.0",
         "alpha.0.weight", "alpha.0.bias", "alpha.2.weight", "alpha.2.bias"]


# -- which parameters ----------------------------------------------------------------------------------------


def test_names_and_order_are_those_of_the_definition():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES == list(net.state_dict())
    named = dict(net.named_parameters())
    assert [id(p) for p in net.parameters()] == [id(named[name]) for name in NAMES]
    assert named["layers.2.weight"] is net.layers[2].weight and named["heads.log_var"] is net.heads["log_var"]


def test_a_shared_parameter_is_listed_once_and_named_twice():
    class Tied(Module):
        def __init__(self):
            self.first = nn.Linear(3, 3)
            self.again = self.first
            self.second = nn.Linear(3, 3)
            self.second.weight = self.first.weight

    tied = Tied()
    assert [id(p) for p in tied.parameters()] == [id(p) for p in (tied.first.weight, tied.first.bias, tied.second.bias)]
    assert list(tied.state_dict()) == [f"{layer}.{name}" for layer in ("first", "again", "second")
                                       for name in ("weight", "bias")]
    assert "# 15 parameters" in repr(tied).splitlines()[0]
    other = Tied()
    other.load_state_dict(tied.state_dict())
    assert np.array_equal(other.second.weight.data, tied.first.weight.data)
    assert other.second.weight is other.first.weight


def test_a_parameter_replaced_keeps_its_place():
    net = Net()
    net.zeta = Parameter(np.zeros(7))
    assert list(net.state_dict()) == NAMES and net.state_dict()["zeta"].shape == (7,)
    net.zeta = None
    assert list(net.state_dict()) == NAMES[1:]


def test_a_parameter_is_a_tensor_that_wants_gradients():
    p = Parameter([1.0, 2])
    assert isinstance(p, Tensor) and p.requires_grad and p.dtype == np.float32
    assert Parameter(np.zeros(2)).dtype == np.float64 and Parameter(np.zeros(2), np.float32).dtype == np.float32
    with pytest.raises(TypeError):
        Parameter([1, 2])


@pytest.mark.parametrize("kind", [nn.Linear, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN, nn.LSTM, nn.GRU])
def test_layers_are_float32_unless_told_and_repeat_with_the_seed(kind):
    assert {p.dtype for p in kind(3, 2).parameters()} == {np.dtype(np.float32)}
    assert {p.dtype for p in kind(3, 2, dtype=np.float64).parameters()} == {np.dtype(np.float64)}
    a, b, c = (kind(3, 2, rng=np.random.default_rng(seed)).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(a[name], b[name]) and not np.array_equal(a[name], c[name]) for name in a)


def test_zero_grad_forgets():
    net = nn.Linear(3, 2)
    net(Tensor(np.ones((5, 3), np.float32))).sum().backward()
    assert net.weight.grad.any()
    net.zero_grad()
    assert net.weight.grad is None and net.bias.grad is None


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()(1)


# -- state ---------------------------------------------------------------------------------------------------


def test_state_travels_from_one_module_to_another():
    a, b = Net(np.random.default_rng(1)), Net(np.random.default_rng(2))
    a.scale.data[...] = 7
    state = a.state_dict()
    b.load_state_dict(state)
    assert all(np.array_equal(b.state_dict()[name], state[name]) for name in NAMES)
    b.zeta.data += 1
    state["scale"] += 1
    assert not a.zeta.data.any() and a.scale.item() == 7  # copies on both ways


def test_loading_casts_to_the_parameters_dtype():
    layer = nn.Linear(3, 2)
    layer.load_state_dict({"weight": np.full((2, 3), 1 / 3), "bias": [1, 2]})
    assert layer.weight.dtype == layer.bias.dtype == np.float32 and layer.weight.data[0, 0] == np.float32(1 / 3)


@pytest.mark.parametrize("spoil, error, words", [
    (lambda state: state.pop("scale"), KeyError, r"missing \['scale'\], unknown \[\]"),
    (lambda state: state.update(scales=np.zeros(1)), KeyError, r"missing \[\], unknown \['scales'\]"),
    (lambda state: state.update({"pair.1.0": np.zeros(3)}), ValueError, r"pair.1.0 .*\(3,\).*\(1,\)"),
    (lambda state: state.update({"zeta": np.zeros(1)}), ValueError, r"zeta .*\(1,\).*\(2,\)"),
    (lambda state: state.update({"alpha.2.bias": np.zeros((2, 1))}), ValueError, r"alpha.2.bias .*\(2, 1\).*\(2,\)"),
])
def test_a_state_that_does_not_fit_changes_nothing(spoil, error, words):
    net = Net()
    before = arrays(net)
    state = {name: array + 1 for name, array in net.state_dict().items()}
    spoil(state)
    with pytest.raises(error, match=words):
        net.load_state_dict(state)
    assert all(np.array_equal(before[name], array) for name, array in arrays(net).items())


def test_not_strict_takes_what_fits_by_name():
    net = Net()
    net.load_state_dict({"scale": np.array(3.0), "unknown": np.zeros(1)}, strict=False)
    assert net.scale.item() == 3
    with pytest.raises(ValueError, match="scale"):
        net.load_state_dict({"scale": np.zeros(2)}, strict=False)


def test_loading_goes_into_the_optimisers_buffer():
    layer = nn.Linear(3, 2)
    optimizer = nn.SGD(layer.parameters(), lr=0.5)
    other = nn.Linear(3, 2, rng=np.random.default_rng(1))
    layer.load_state_dict(other.state_dict())
    assert np.shares_memory(layer.weight.data, optimizer.data)
    assert np.array_equal(optimizer.data, np.concatenate([other.weight.data.ravel(), other.bias.data]))
    layer(Tensor(np.ones((1, 3), np.float32))).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(layer.weight.data, other.weight.data - 0.5, rtol=1e-6)
    np.testing.assert_allclose(layer.bias.data, other.bias.data - 0.5, rtol=1e-6)


# -- files ---------------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    a, b = Net(np.random.default_rng(1)), Net(np.random.default_rng(2))
    a.scale.data[...] = 7
    for path in (tmp_path / "net.safetensors", str(tmp_path / "other.safetensors")):
        a.save(path)
        b.load(path)
        assert all(np.array_equal(b.state_dict()[name], array) for name, array in a.state_dict().items())
    assert sorted(os.listdir(tmp_path)) == ["net.safetensors", "other.safetensors"]
    stored = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert set(stored) == set(NAMES) and stored["scale"].shape == () and stored["encoder.weight"].dtype == np.float32


def test_parameters_that_are_no_contiguous_arrays_are_saved_as_they_read(tmp_path):
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    layer.weight.data = np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    layer.save(tmp_path / "a")
    other.load(tmp_path / "a")
    assert other.weight.data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    nn.Linear(3, 2).save(path)
    old = path.read_bytes()

    def half(beside, content):
        with open(beside, "wb") as file:
            file.write(content[:len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        nn.Linear(300, 2).save(path)
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    nn.Linear(3, 5).save(tmp_path / "a")
    layer = nn.Linear(3, 2)
    before = arrays(layer)
    with pytest.raises(ValueError, match=r"/a: .*weight .*\(5, 3\).*\(2, 3\)"):
        layer.load(tmp_path / "a")
    nn.LayerNorm(2).save(tmp_path / "b")
    with pytest.raises(ValueError):
        layer.load(tmp_path / "b")
    nn.LSTM(3, 2).save(tmp_path / "c")
    with pytest.raises(KeyError, match="/c: .*weight_ih_l0"):
        layer.load(tmp_path / "c")
    assert all(np.array_equal(before[name], array) for name, array in arrays(layer).items())


# -- modes, and what it looks like ---------------------------------------------------------------------------


def test_the_mode_reaches_nested_modules():
    net = Net()
    net.alpha.deeper = nn.Sequential(nn.Sequential(nn.Dropout()))
    deepest = vars(vars(net.alpha.deeper)["0"])["0"]
    inside = [net, net.encoder, net.layers[1], net.heads["mean"], net.alpha, deepest]
    assert all(module.training for module in inside)
    assert net.eval() is net and not any(module.training for module in inside)
    assert net.train() is net and all(module.training for module in inside)
    net.train(False)
    assert not any(module.training for module in inside)
    assert nn.Dropout().training  # another one is not concerned


def test_the_mode_is_no_parameter():
    assert list(Net().eval().state_dict()) == NAMES


def test_repr_shows_the_tree_and_counts():
    net = nn.Sequential(nn.Linear(1000, 3), nn.tanh, nn.Sequential(nn.Linear(3, 2, bias=False), nn.Dropout(0.2)))
    assert repr(net).splitlines() == [
        "Sequential()  # 3,009 parameters",
        "  0: Linear(1000, 3)  # 3,003 parameters",
        "  1: tanh",
        "  2: Sequential()  # 6 parameters",
        "    0: Linear(3, 2, bias=False)  # 6 parameters",
        "    1: Dropout(0.2)  # 0 parameters",
    ]
    assert repr(nn.LSTM(3, 2, 2, bidirectional=True, batch_first=True)).startswith(
        "LSTM(3, 2, num_layers=2, batch_first=True, bidirectional=True)  # ")
    assert repr(nn.GRUCell(3, 2)) == "GRUCell(3, 2)  # 42 parameters"
    assert "layers.2: Linear(2, 5)" in repr(Net()) and "heads.mean: Linear(5, 1)" in repr(Net())


def test_sequential_is_a_sequence():
    net = nn.Sequential(nn.Linear(3, 2), nn.tanh, nn.Linear(2, 5))
    assert len(net) == 3 and net[1] is nn.tanh and net[-1].out_features == 5 and list(net) == [net[0], net[1], net[2]]
    with pytest.raises(IndexError):
        net[3]


@pytest.mark.parametrize("spoil, error", [
    (lambda state: state | {"bias": None}, "bias is not an array"),
    (lambda state: state | {"bias": np.array(["a", "b"])}, "bias is not an array"),
    (lambda state: state | {"bias": np.zeros(3)}, "bias is .3,."),
    (lambda state: state | {"bias": np.zeros(2, complex)}, "bias is not an array"),
])
def test_a_state_with_a_bad_array_changes_nothing(spoil, error):
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    before = arrays(layer)
    with pytest.raises(ValueError, match=error):
        layer.load_state_dict(spoil(other.state_dict()))
    assert all(np.array_equal(before[name], array) for name, array in arrays(layer).items())


def test_two_parameters_of_one_name_are_refused():
    module = nn.Module()
    module.layers = {1: nn.Parameter([1.0]), "1": nn.Parameter([2.0])}
    with pytest.raises(ValueError, match="two parameters have the name layers.1"):
        module.state_dict()


def test_a_module_that_holds_its_parent_is_named():
    parent, child = nn.Module(), nn.Module()
    parent.child, child.owner = child, [parent]
    for walk in (parent.parameters, parent.eval, parent.state_dict):
        with pytest.raises(ValueError, match="child.owner.0 is a module that holds itself"):
            walk()


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    models = [nn.Linear(50, 50, rng=np.random.default_rng(i)) for i in range(2)]
    for model in models:
        for p in model.parameters():
            p.data[...] = models.index(model)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: models[i % 2].save(tmp_path / "model"), range(200)))
    reader = nn.Linear(50, 50)
    reader.load(tmp_path / "model")
    assert len({*reader.weight.data.ravel(), *reader.bias.data}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_sequential_takes_plain_functions_and_keeps_the_order():
    first, last = nn.Linear(3, 2), nn.Linear(2, 5)
    net = nn.Sequential(first, nn.relu, lambda x: x * 2, last, *[lambda x: x + 1] * 8)
    x = Tensor(np.ones((7, 3), np.float32))
    np.testing.assert_array_equal(net(x).data, (last(nn.relu(first(x)) * 2) + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1).data)
    np.testing.assert_array_equal(net.eval()(x).data, net(x).data)  # the mode is an attribute, and no layer
    assert list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert nn.Sequential()(x) is x


# -- linear --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (5,), (2, 5), (2, 1, 5), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_takes_any_leading_axes(lead, bias, rng):
    layer = nn.Linear(3, 4, bias, dtype=np.float64)
    x, g = Tensor(rng.standard_normal((*lead, 3)), requires_grad=True), rng.standard_normal((*lead, 4))
    y = layer(x)
    y.backward(g)
    np.testing.assert_allclose(y.data, x.data @ layer.weight.data.T + (layer.bias.data if bias else 0), rtol=1e-12)
    np.testing.assert_allclose(x.grad, g @ layer.weight.data, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, g.reshape(-1, 4).T @ x.data.reshape(-1, 3), rtol=1e-12, atol=1e-14)


def test_linear_with_a_bias_of_another_type():
    x, weight, third = Tensor(np.ones((1, 2), np.float32)), np.ones((1, 2), np.float32), np.full(1, 1 / 3)
    y = nn.linear(x, weight, third)
    assert y.dtype == np.float64 and y.item() == 2 + 1 / 3
    assert nn.linear(x.astype(np.float64), weight, third.astype(np.float16)).dtype == np.float64


# -- dropout -------------------------------------------------------------------------------------------------


def test_dropout_drops_a_share_p_and_keeps_the_mean():
    x = Tensor(np.ones((400, 500), np.float32), requires_grad=True)
    y = nn.Dropout(0.3, rng=np.random.default_rng(0))(x)
    assert y.dtype == np.float32
    assert np.mean(y.data == 0) == pytest.approx(0.3, abs=0.005)  # five standard deviations
    np.testing.assert_allclose(y.data[y.data != 0], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    assert np.array_equal(x.grad, y.data)  # what was dropped learns nothing
    assert np.corrcoef(y.data[:-1].ravel(), y.data[1:].ravel())[0, 1] == pytest.approx(0, abs=0.012)


def test_dropout_does_nothing_in_use_and_at_0():
    x = Tensor(np.ones((5, 3)))
    assert nn.Dropout(0.3).eval()(x) is x and nn.Dropout(0)(x) is x


def test_dropout_draws_anew_and_repeats_with_the_seed():
    x = Tensor(np.ones(100))
    a, b = nn.Dropout(0.5, rng=np.random.default_rng(1)), nn.Dropout(0.5, rng=np.random.default_rng(1))
    first, second = a(x).data, a(x).data
    assert not np.array_equal(first, second)
    assert np.array_equal(b(x).data, first) and np.array_equal(b(x).data, second)


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=f"not {p}"):
        nn.Dropout(p)


# -- activations, Embedding, and what layers refuse ------------------------------------------------------------


@pytest.mark.parametrize("name, options", [
    ("ReLU", {}), ("LeakyReLU", {"negative_slope": 0.3}), ("ELU", {"alpha": 2.0}), ("GELU", {}), ("SiLU", {}),
    ("Sigmoid", {}), ("Tanh", {}), ("Softplus", {}), ("Softmax", {"axis": 0}), ("LogSoftmax", {"axis": 0})])
def test_activations_are_functions_as_modules(name, options):
    function = {"LeakyReLU": nn.leaky_relu, "LogSoftmax": nn.log_softmax}.get(name) or getattr(nn, name.lower())
    x = nn.Tensor(np.linspace(-2, 2, 6).reshape(2, 3))
    layer = getattr(nn, name)(**options)
    assert np.array_equal(layer(x).data, function(x, **options).data)
    assert type(layer).__name__ == name and repr(layer).startswith(f"{name}(") and not layer.parameters()
    assert all(f"{key}={value}" in repr(layer) for key, value in options.items())


def test_an_embedding_adds_up_the_gradients_of_a_row_that_is_used_twice():
    layer = nn.Embedding(5, 2, rng=np.random.default_rng(0))
    y = layer(np.array([[1, 3], [3, 3]]))
    assert np.array_equal(y.data, layer.weight.data[[[1, 3], [3, 3]]])
    y.sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [0, 1, 0, 3, 0]


@pytest.mark.parametrize("call, error", [
    (lambda: nn.Embedding(5, 2)(np.array([5])), "from 0 to 4"), (lambda: nn.Embedding(5, 2)(np.array([-1])), "0 to 4"),
    (lambda: nn.Embedding(5, 2)(np.array([0.5])), "whole number"),
    (lambda: nn.LayerNorm(3)(nn.Tensor(np.ones((4, 1)))), r"LayerNorm: .* \(3,\), but x is \(4, 1\)"),
    (lambda: nn.LayerNorm((2, 3))(nn.Tensor(np.ones(3))), "LayerNorm"),
    (lambda: nn.RNNCell(3, 2)(np.ones((5, 4)), np.ones((5, 2))), r"RNNCell: x is \(N, I\) with I = 3, not \(5, 4\)"),
    (lambda: nn.GRUCell(3, 2)(np.ones((5, 3)), np.ones((1, 2))), r"GRUCell: a state is \(5, 2\).*not \(1, 2\)"),
    (lambda: nn.LSTMCell(3, 2)(np.ones((5, 3)), (np.ones((5, 2)), np.ones((7, 2)))), r"LSTMCell: a state is \(5, 2\)"),
])
def test_layers_name_what_does_not_fit(call, error):
    with pytest.raises(ValueError, match=error):
        call()


@pytest.mark.parametrize("layer, x", [(nn.LSTMCell(3, 2), np.ones((2, 3))), (nn.LSTM(3, 2), np.ones((5, 2, 3)))])
def test_the_state_of_an_lstm_is_a_tuple(layer, x):
    with pytest.raises(TypeError, match="the state is a tuple"):
        layer(x, nn.Tensor(np.ones((2, 2))))


def test_options_of_recurrent_layers_are_given_by_name():
    with pytest.raises(TypeError):
        nn.LSTM(3, 4, 1, True, True)
    with pytest.raises(TypeError):
        nn.RNNCell(3, 4, "relu")


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_alone_is_a_batch_of_one(kind, batch_first):
    rng = np.random.default_rng(0)
    layer = kind(3, 2, 2, bidirectional=True, batch_first=batch_first, rng=rng)
    x, states = rng.standard_normal((5, 3)), [rng.standard_normal((4, 2)) for _ in range(2)]
    state = tuple(states) if kind is nn.LSTM else states[0]
    batched = tuple(s[:, None] for s in states) if kind is nn.LSTM else states[0][:, None]
    h, last = layer(nn.Tensor(x), state)
    h_1, last_1 = layer(nn.Tensor(np.expand_dims(x, 0 if batch_first else 1)), batched)
    assert np.array_equal(h.data, np.squeeze(h_1.data, 0 if batch_first else 1))
    for a, b in zip(last, last_1, strict=True) if kind is nn.LSTM else [(last, last_1)]:
        assert np.array_equal(a.data, b.data[:, 0])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_without_bias_it_is_the_same_as_biases_of_0(kind):
    rng = np.random.default_rng(0)
    layer, other = kind(3, 2, 2, bias=False, rng=rng), kind(3, 2, 2)
    assert not any("bias" in name for name in layer.state_dict()) and "bias=False" in repr(layer)
    zeros = {name: 0 * p.data for name, p in other.named_parameters()}
    other.load_state_dict(zeros | layer.state_dict())
    x = nn.Tensor(rng.standard_normal((5, 7, 3)).astype(np.float32))
    np.testing.assert_allclose(layer(x)[0].data, other(x)[0].data, rtol=1e-6)

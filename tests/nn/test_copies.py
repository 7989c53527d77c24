"""Copies of Tensors, modules and optimisers, by copy, deepcopy, pickle and other processes, train like the original.

A Tensor's birth is its identity and its place in the order of a graph, so a copy needs one of its own.
"""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nn

ROOT = Path(__file__).parents[2]
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
every_copy = pytest.mark.parametrize("way", COPIES)


def model(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(3, 4, rng=rng), nn.tanh, nn.LayerNorm(4), nn.Linear(4, 2, rng=rng))


def step(net, optimizer):
    """A step of training; the loss before it."""
    x, y = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32), np.array([0, 1, 1, 0, 1])
    optimizer.zero_grad()
    loss = nn.cross_entropy(net(nn.Tensor(x)), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@every_copy
def test_a_copy_is_a_tensor_of_its_own(way):
    w = nn.Parameter([2.0])
    w.grad = np.ones(1, np.float32)
    v = COPIES[way](w)
    assert type(v) is nn.Parameter and v.birth != w.birth and v.dtype == np.float32 and v.requires_grad
    assert np.shares_memory(v.data, w.data) == (way == "copy") and v.grad == 1
    w.grad = v.grad = None
    (w * 3 + v * 5).sum().backward()
    assert (w.grad, v.grad) == (3, 5)


@every_copy
def test_a_tensor_that_remembers_an_op_is_refused(way):
    w = nn.Parameter([2.0])
    y = w * 2
    with pytest.raises(TypeError, match="x.detach"):
        COPIES[way](y)
    assert COPIES[way](y.detach()).data == 4
    y.sum().backward()
    with pytest.raises(TypeError, match="x.detach"):
        COPIES[way](y)


def test_a_stack_of_copied_layers_has_a_gradient_for_each():
    first = nn.Linear(3, 3, rng=np.random.default_rng(0))
    layers = [first, *(copy.deepcopy(first) for _ in range(3))]
    others = [nn.Linear(3, 3) for _ in layers]
    for other in others:
        other.load_state_dict(first.state_dict())
    x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    for stack in (layers, others):
        y = nn.Tensor(x)
        for layer in stack:
            y = nn.tanh(layer(y))
        y.sum().backward()
    for layer, other in zip(layers, others, strict=True):
        assert np.array_equal(layer.weight.grad, other.weight.grad) and np.array_equal(layer.bias.grad, other.bias.grad)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("make", [nn.SGD, lambda p: nn.SGD(p, momentum=0.9), nn.RMSprop, nn.Adam, nn.AdamW])
def test_a_model_and_its_optimiser_copied_together_go_on_as_the_original(way, make):
    net = model()
    optimizer = make(net.parameters())
    for _ in range(3):
        step(net, optimizer)
    net_2, optimizer_2 = COPIES[way]((net, optimizer))
    original = [step(net, optimizer) for _ in range(3)]
    assert [step(net_2, optimizer_2) for _ in range(3)] == original
    assert original[0] != original[-1]
    for p, q in zip(net.parameters(), net_2.parameters(), strict=True):
        assert np.array_equal(p.data, q.data) and not np.shares_memory(p.data, q.data)
        assert np.shares_memory(q.data, optimizer_2.data)


def test_a_copied_model_trains_with_an_optimiser_of_its_own():
    net = model()
    step(net, nn.Adam(net.parameters()))
    net_2 = copy.deepcopy(net)
    losses = [[step(each, optimizer) for _ in range(3)] for each, optimizer in
              ((net, nn.Adam(net.parameters())), (net_2, nn.Adam(net_2.parameters())))]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["tanh", "exp", "add", "sigmoid", "softmax", "sum"])
def test_ops_are_pickled_by_name(name):
    assert pickle.loads(pickle.dumps(getattr(nn, name))) is getattr(nn, name)


@pytest.mark.parametrize("make", [
    lambda: nn.RNNCell(3, 2), lambda: nn.Sequential(nn.Linear(3, 2), nn.tanh, nn.ReLU(), nn.Softmax(axis=1)),
    lambda: nn.LSTM(3, 2, bidirectional=True), lambda: nn.Dropout(0.5, rng=np.random.default_rng(0))])
def test_modules_are_pickled_whole(make):
    net = make()
    again = pickle.loads(pickle.dumps(net))
    assert repr(again) == repr(net)
    assert all(np.array_equal(a, b) for a, b in zip(
        net.state_dict().values(), again.state_dict().values(), strict=True))


def train_in_another_process(pair):
    net, optimizer = pair
    nn.Tensor(0.0)
    return [step(net, optimizer) for _ in range(3)], net


@pytest.mark.parametrize("method", sorted({"spawn", "fork"} & set(multiprocessing.get_all_start_methods())))
def test_a_model_that_is_sent_to_another_process_trains_there(method):
    net = model()
    optimizer = nn.Adam(net.parameters())
    step(net, optimizer)
    with multiprocessing.get_context(method).Pool(1) as pool:
        losses, there = pool.apply(train_in_another_process, ((net, optimizer),))
    assert losses == [step(net, optimizer) for _ in range(3)]
    assert all(np.array_equal(p.data, q.data) for p, q in zip(net.parameters(), there.parameters(), strict=True))


def test_a_model_that_was_pickled_in_a_process_with_many_births_trains_in_a_fresh_one(tmp_path):
    for _ in range(1000):
        nn.Tensor(0.0)
    net = model()
    (tmp_path / "net.pickle").write_bytes(pickle.dumps((net, nn.Adam(net.parameters()))))
    code = """
import pickle, sys, pathlib
sys.path.insert(0, sys.argv[1])
from tests.nn.test_copies import step
print([step(*pair) for pair in [pickle.loads(pathlib.Path("net.pickle").read_bytes())] for _ in range(3)])"""
    done = subprocess.run([sys.executable, "-c", code, ROOT], cwd=tmp_path, capture_output=True, text=True, check=True)
    optimizer = nn.Adam(net.parameters())
    assert done.stdout.strip() == str([step(net, optimizer) for _ in range(3)])


# -- values that change between forward and backward -----------------------------------------------------------


def test_a_step_between_forward_and_backward_is_seen():
    net = model()
    optimizer = nn.SGD(net.parameters(), lr=0.1)
    x = nn.Tensor(np.ones((5, 3), np.float32))
    first, second = net(x).sum(), net(x).sum()
    first.backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"a parameter of shape \(.*\) was changed after \w+ used it"):
        second.backward()
    net(x).sum().backward()  # computed again, it is fine


def test_loading_weights_between_forward_and_backward_is_seen():
    net = model()
    y = net(nn.Tensor(np.ones((5, 3), np.float32))).sum()
    net.load_state_dict(model(1).state_dict())
    with pytest.raises(RuntimeError, match="was changed after"):
        y.backward()


def test_a_parameter_that_the_step_left_alone_is_no_reason():
    a, b = nn.Parameter([1.0]), nn.Parameter([2.0])
    optimizer = nn.SGD([a, b])
    y = (b * 3).sum()
    a.grad = np.ones(1, np.float32)
    optimizer.step()
    y.backward()
    assert b.grad == 3

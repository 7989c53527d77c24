"""Optimisers, clipping and schedules against PyTorch's, step by step; and the buffers behind them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors

import nn
from nn import threads

with safetensors.safe_open(Path(__file__).parents[1] / "reference" / "optimisers.safetensors", "np") as file:
    RECORDED, INFO = {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["info"])

every_optimiser = pytest.mark.parametrize("name", INFO["optimisers"])


def start(name):
    """Fresh parameters, and the optimiser of a recorded case for them."""
    parameters = [nn.Parameter(RECORDED[key].copy()) for key in "wb"]
    cls, options = INFO["optimisers"][name]
    return parameters, getattr(nn, cls)(parameters, **options)


def run(parameters, optimiser, steps):
    """The parameters after each of these steps, under the recorded gradients."""
    after = []
    for step in steps:
        for p, key in zip(parameters, ("dw", "db"), strict=True):
            p.grad = RECORDED[key][step].copy()
        optimiser.step()
        after.append([p.data.copy() for p in parameters])
    return [np.stack(values) for values in zip(*after, strict=True)]


@every_optimiser
def test_twenty_steps(name):
    for ours, key in zip(run(*start(name), range(20)), "wb", strict=True):
        np.testing.assert_allclose(ours, RECORDED[f"{name}/{key}"], rtol=1e-12, atol=1e-12)


@every_optimiser
def test_blocks_change_no_bit(name, monkeypatch):
    whole = run(*start(name), range(5))
    monkeypatch.setattr(threads, "BLOCK", 3)
    for ours, expected in zip(run(*start(name), range(5)), whole, strict=True):
        assert ours.tobytes() == expected.tobytes()


@every_optimiser
def test_a_step_leaves_the_gradient_alone_and_float32_as_it_is(name):
    cls, options = INFO["optimisers"][name]
    p = nn.Parameter(RECORDED["w"].astype(np.float32))
    optimiser = getattr(nn, cls)([p], **options)
    (p * RECORDED["dw"][0].astype(np.float32)).sum().backward()
    before = p.grad.copy()
    optimiser.step()
    assert np.array_equal(p.grad, before) and p.data.dtype == p.grad.dtype == np.float32


@every_optimiser
def test_going_on_from_a_saved_state(name):
    parameters, optimiser = start(name)
    run(parameters, optimiser, range(10))
    state = {key: value.copy() for key, value in optimiser.state_dict().items()}
    weights = [p.data.copy() for p in parameters]
    straight_on = run(parameters, optimiser, range(10, 20))
    others, other = start(name)
    for p, w in zip(others, weights, strict=True):
        p.data[...] = w
    other.load_state_dict(state)
    for a, b in zip(run(others, other, range(10, 20)), straight_on, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_saved_state_is_a_copy_and_another_models_is_refused():
    parameters, optimiser = start("Adam")
    run(parameters, optimiser, range(1))
    state = optimiser.state_dict()
    kept = {key: value.copy() for key, value in state.items()}
    run(parameters, optimiser, range(1, 3))
    assert all(np.array_equal(state[key], kept[key]) for key in kept) and state["steps"] == 1
    with pytest.raises(ValueError, match="mean .* 11 .* 2"):
        nn.Adam([nn.Parameter(np.zeros(2))]).load_state_dict(state)
    with pytest.raises(KeyError):
        nn.RMSprop([nn.Parameter(np.zeros(11))]).load_state_dict(state)


def test_the_learning_rate_may_change_at_any_time():
    p = nn.Parameter(np.zeros(1))
    optimiser = nn.SGD([p], lr=1)
    for t, expected in enumerate([-1, -1.5, -1.75]):
        optimiser.lr = 0.5**t
        p.grad = np.ones(1)
        optimiser.step()
        assert p.data == expected


# -- buffers -------------------------------------------------------------------------------------------------


def test_parameters_and_gradients_live_in_flat_buffers():
    parameters, optimiser = start("SGD lr=0.1")
    sum((p * p).sum() for p in parameters).backward()
    for p in parameters:
        assert np.shares_memory(p.data, optimiser.data) and np.shares_memory(p.grad, optimiser.grad)
        np.testing.assert_array_equal(p.grad, 2 * p.data)
    optimiser.zero_grad()
    assert all(p.grad is None for p in parameters)
    parameters[0].sum().backward()
    assert np.shares_memory(parameters[0].grad, optimiser.grad) and (parameters[0].grad == 1).all()


def test_a_gradient_from_before_counts():
    p = nn.Parameter(np.array([3.0, 5.0]))
    (p * p).sum().backward()
    optimiser = nn.SGD([p], lr=0.5)
    assert np.shares_memory(p.grad, optimiser.grad)
    optimiser.step()
    np.testing.assert_array_equal(p.data, [0, 0])


def test_two_optimisers_may_take_turns():
    p = nn.Parameter(np.array([1.0]))
    one, other = nn.SGD([p], lr=0.5), nn.SGD([p], lr=0.25)
    for optimiser, expected in ((one, 0.5), (other, 0.375), (one, 0.1875), (other, 0.140625)):
        optimiser.zero_grad()
        ((p * p).sum() * 0.5).backward()
        assert np.shares_memory(p.grad, optimiser.grad)
        optimiser.step()
        assert p.data == expected


OPTIMISERS = {"SGD": {"momentum": 0.5, "weight_decay": 0.1}, "RMSprop": {"momentum": 0.5, "weight_decay": 0.1},
              "Adam": {"weight_decay": 0.1}, "AdamW": {"weight_decay": 0.1}}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_parameter_that_is_frozen_or_not_reached_is_left_alone(name):
    parameters = [nn.Parameter(np.full(3, i + 1.0)) for i in range(4)]
    frozen, unreached, *others = parameters
    optimiser = getattr(nn, name)(parameters, lr=0.1, **OPTIMISERS[name])
    for p in parameters:
        p.grad = np.ones(3)
    optimiser.step()  # now all have moments
    before, moments = optimiser.data.copy(), {slot: getattr(optimiser, slot).copy() for slot in optimiser.slots}
    for _ in range(3):
        optimiser.zero_grad()
        for p in (frozen, *others):
            p.grad = np.ones(3)
        frozen.requires_grad = False
        optimiser.step()
    assert np.array_equal(optimiser.data[:6], before[:6]) and (optimiser.data[6:] != before[6:]).all()
    for slot, array in moments.items():
        assert np.array_equal(getattr(optimiser, slot)[:6], array[:6]), slot


def test_a_step_without_any_gradient_changes_nothing():
    p = nn.Parameter(np.ones(2))
    nn.Adam([p], weight_decay=1).step()
    assert np.array_equal(p.data, np.ones(2))
    p.grad = np.ones(2)
    with pytest.raises(NotImplementedError):
        nn.Optimizer([p], lr=0).step()


def test_a_gradient_that_is_kept_is_not_overwritten():
    p, q = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))
    optimiser = nn.SGD([p, q], lr=0.0)
    kept = []
    for scale in (1.0, 2.0, 3.0):
        optimiser.zero_grad()
        (p * scale).sum().backward()
        kept.append(p.grad)
        optimiser.step()
    assert [g[0] for g in kept] == [1, 2, 3]
    buffer = optimiser.grad
    del kept
    for _ in range(3):  # what nobody keeps costs no new buffer
        optimiser.zero_grad()
        (p.sum() + q.sum()).backward()
        optimiser.step()
    assert np.shares_memory(p.grad, optimiser.grad) and optimiser.grad is buffer


def test_without_momentum_one_inf_is_forgotten():
    for make in (nn.SGD, nn.RMSprop):
        p = nn.Parameter(np.zeros(1))
        optimiser = make([p], lr=1e-3)
        assert "velocity" not in optimiser.slots
    optimiser = nn.SGD([p], lr=1.0)
    p.grad = np.array([np.inf])
    optimiser.step()
    p.data[...] = 0
    p.grad = np.ones(1)
    optimiser.step()
    assert p.data == -1


def test_adam_moves_in_float16():
    """1,000 squares of 100 are beyond float16."""
    p = nn.Parameter(np.zeros(2, np.float16))
    optimiser = nn.Adam([p], lr=0.01)
    for _ in range(100):
        p.grad = np.array([100, -300], np.float16)
        optimiser.step()
    assert p.dtype == np.float16
    np.testing.assert_allclose(p.data.astype(float), [-1, 1], rtol=0.02)


def test_clipping_takes_one_parameter_too_and_clips_by_value():
    p = nn.Parameter(np.zeros(2))
    p.grad = np.array([3.0, -4.0])
    assert nn.clip_grad_norm_(p, 1) == 5
    np.testing.assert_allclose(p.grad, [0.6, -0.8], rtol=1e-5)
    nn.clip_grad_value_([p], 0.7)
    np.testing.assert_allclose(p.grad, [0.6, -0.7], rtol=1e-5)


def test_one_element_that_is_not_finite_shows():
    p, q = (nn.Parameter(np.zeros(3, np.float32)) for _ in range(2))
    optimiser = nn.SGD([p, q])
    assert optimiser.grad_is_finite()
    for value, finite in ((1.0, True), (1e30, True), (np.inf, False), (-np.inf, False), (np.nan, False)):
        q.grad = np.array([0, value, 0], np.float32)
        assert optimiser.grad_is_finite() is finite  # 1e30 squared is none that float32 has
    optimiser.zero_grad()
    assert optimiser.grad_is_finite()  # what is left in the buffer does not count


@pytest.mark.parametrize("make, error, words", [
    (lambda p, q: nn.Adam([]), ValueError, "no parameter"),
    (lambda p, q: nn.Adam([p, q]), ValueError, "one dtype.*float32.*float64"),
    (lambda p, q: nn.SGD([p], lr=-0.1), ValueError, "lr is .* not -0.1"),
    (lambda p, q: nn.SGD([p], lr=math.nan), ValueError, "lr is .* not nan"),
    (lambda p, q: nn.SGD([p], nesterov=True), ValueError, "momentum"),
    (lambda p, q: nn.SGD([p], momentum=-1), ValueError, "momentum is .* not -1"),
    (lambda p, q: nn.RMSprop([p], alpha=-1), ValueError, "alpha"),
    (lambda p, q: nn.Adam([p], betas=(1, 0.9)), ValueError, "beta1 is from 0 to below 1, not 1"),
    (lambda p, q: nn.Adam([p], betas=(0.9, -0.1)), ValueError, "beta2"),
    (lambda p, q: nn.Adam([p], betas=(0.9, 1)), ValueError, "beta2"),
    (lambda p, q: nn.AdamW([p], eps=-1e-8), ValueError, "eps"),
    (lambda p, q: nn.Adam([p], weight_decay=-1), ValueError, "weight_decay"),
    (lambda p, q: nn.SGD(p), TypeError, "a list, such as model.parameters"),
    (lambda p, q: nn.SGD(nn.Linear(2, 3)), TypeError, "a list, such as model.parameters"),
    (lambda p, q: nn.SGD([p.data]), TypeError, "a Tensor, not ndarray"),
    (lambda p, q: nn.SGD([{"params": [p]}]), TypeError, "an optimiser for each group"),
    (lambda p, q: nn.SGD(nn.Linear(2, 3).named_parameters()), TypeError, "without their names"),
    (lambda p, q: nn.SGD([p * 2]), ValueError, "not the result of an op"),
    (lambda p, q: nn.SGD([p, p]), ValueError, "twice"),
    (lambda p, q: nn.SGD([nn.Tensor([1, 2])]), ValueError, "needs a gradient"),
    (lambda p, q: nn.SGD([nn.Tensor([1.0, 2])]), ValueError, "needs a gradient"),
    (lambda p, q: nn.clip_grad_norm_(nn.Linear(2, 3), 1), TypeError, "a list, such as model.parameters"),
])
def test_what_cannot_be_optimised_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make(nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2, np.float32)))


# -- clipping and schedules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", INFO["clip"])
def test_clipping(max_norm):
    parameters = [nn.Parameter(RECORDED[key]) for key in "wb"]
    for p, key in zip(parameters, ("dw", "db"), strict=True):
        p.grad = RECORDED[key][0].copy()
    parameters.append(nn.Parameter(np.ones(3)))  # was not reached by a backward pass
    norm = nn.clip_grad_norm_(parameters, max_norm)
    assert norm == pytest.approx(float(RECORDED[f"clip {max_norm}/norm"]), rel=1e-14)
    for p, key in zip(parameters, ("dw", "db"), strict=False):
        np.testing.assert_allclose(p.grad, RECORDED[f"clip {max_norm}/{key}"], rtol=1e-12)
    assert parameters[2].grad is None


def test_clipped_gradients_are_what_the_optimiser_sees():
    p = nn.Parameter(np.array([3.0, 4.0]))
    optimiser = nn.SGD([p], lr=1)
    (p * p).sum().backward()
    assert nn.clip_grad_norm_([p], 1) == 10
    optimiser.step()
    np.testing.assert_allclose(p.data, [3 - 0.6, 4 - 0.8], rtol=1e-6)


@pytest.mark.parametrize("name, rate", [
    ("StepLR", lambda t, options: nn.step_decay(t, 0.3, options["step_size"], options["gamma"])),
    ("CosineAnnealingLR", lambda t, options: nn.cosine_decay(t, 0.3, options["T_max"], options["eta_min"])),
    ("LinearLR", lambda t, options: nn.linear_warmup(t, 0.3, options["total_iters"], options["start_factor"])),
])
def test_schedules(name, rate):
    ours = [rate(t, INFO["schedules"][name]) for t in range(12)]
    np.testing.assert_allclose(ours, RECORDED[name], rtol=1e-12)


def test_schedules_after_their_end_and_by_default():
    assert nn.cosine_decay(10, 1.0, 10) == nn.cosine_decay(25, 1.0, 10) == 0
    assert nn.cosine_decay(25, 1.0, 10, 0.25) == 0.25
    assert nn.linear_warmup(0, 0.5, 10) == 0 and nn.linear_warmup(25, 0.5, 10) == 0.5
    assert nn.linear_warmup(0, 0.5, 0) == 0.5
    assert math.isclose(nn.step_decay(25, 1.0, 10), 0.01)

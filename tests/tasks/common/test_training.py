"""The training loop."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import nn
from tasks.common import training
from tasks.common.stops import Diverged
from tasks.common.training import train
from tests.tasks.common.problem import problem


def test_micro_batches_of_a_batch_add_up_to_one_step():
    state, batch, loss = problem()
    model, optimizer = state.model, state.optimizer
    model.eval()  # no dropout: both ways see the same network
    before = optimizer.data.copy()
    whole = [tuple(np.concatenate(xs) for xs in zip(*batch, strict=True))]
    for one in (batch, whole):
        optimizer.data[...] = before
        optimizer.load_state_dict({"steps": 0, "mean": 0 * before, "square": 0 * before})
        state.history.clear()
        list(train(state, lambda epoch, one=one: [one], loss, None, epochs=1))
        model.eval()
        assert optimizer.steps == 1
        if one is batch:
            in_parts = optimizer.data.copy()
    np.testing.assert_allclose(in_parts, optimizer.data, rtol=1e-5)
    assert not np.allclose(in_parts, before)


def test_records_number_the_epochs_and_evaluate_in_eval_mode():
    state, batch, loss = problem()
    state.history, state.step, state.counts = [{"epoch": 1}, {"epoch": 2}], 1, {"rows": 100}
    modes, counted, asked, steps, yielded = [], [], [], [], []

    def evaluate(counts):
        modes.append(state.model.training)
        counted.append(counts)
        return {"loss": 1.5}

    for record in train(state, lambda epoch: asked.append(epoch) or [batch, batch], loss, evaluate, epochs=5):
        yielded.append(record)
        steps.append(state.step)
    assert [record and record["epoch"] for record in yielded] == [None, 3, None, None, 4, None, None, 5]
    assert steps == [2, 0, 1, 2, 0, 1, 2, 0]
    assert state.history[2:] == [record for record in yielded if record]
    assert asked == [3, 4, 5]
    assert modes == [False] * 3 and state.model.training
    assert counted == [{"rows": 100 + 8}, {"rows": 16}, {"rows": 16}] and state.counts == {}
    assert state.optimizer.steps == 5
    assert all(record["loss"] == 1.5 and 0 < record["seconds"] < 10 for record in yielded if record)


@pytest.mark.parametrize("where, says", [
    (lambda out: nn.log(out - out), "log of (5, 1)"),  # -inf
    (lambda out: out * 0 + math.inf, "add of (5, 1)"),  # its gradient is 0
    (lambda out: nn.sqrt(nn.relu(out) * 0), "backward through sqrt: the gradient of its argument (5, 1)"),
])
def test_numbers_that_go_wrong_stop_training_before_the_step_and_name_the_op(where, says):
    state, batch, loss = problem()
    calls = []

    def bad(micro_batch):
        calls.append(micro_batch)
        value, counts = loss(micro_batch)
        if len(calls) in (7, 8, 9):
            value = value + nn.sum(where(state.model(nn.Tensor(micro_batch[0]))))
        return value, counts

    before = []
    with np.errstate(all="ignore"), pytest.raises(Diverged, match=re.escape(says)) as caught:
        for _ in train(state, lambda epoch: [batch, batch], bad, None, epochs=5):
            before.append(state.optimizer.data.copy())
    assert "epoch 2, step 2: " in str(caught.value)
    np.testing.assert_array_equal(state.optimizer.data, before[-1])


def test_the_step_that_went_wrong_is_repeated_with_the_same_draws_and_by_its_number():
    state, batch, loss = problem()
    state.history, state.step = [{"epoch": 1}, {"epoch": 2}], 2
    first = state.rng.bit_generator.state

    def sometimes(micro_batch):
        more = math.inf if state.rng.bit_generator.state == first else 0
        value, counts = loss(micro_batch)
        return value + more, counts

    with pytest.raises(Diverged, match=r"epoch 3, step 3: .*; first add of \(\)"):
        list(train(state, lambda epoch: [batch[:1]] * 5, sometimes, None, 5))


def test_a_number_that_goes_wrong_in_the_evaluation_stops_training_too():
    state, batch, loss = problem()
    numbers = iter([{"kl": 1.0}, {"kl": math.inf}])
    with pytest.raises(Diverged, match="epoch 2: every step was finite, but kl is inf"):
        list(train(state, lambda epoch: [batch], loss, lambda counts: next(numbers), epochs=5))


def test_the_seconds_of_an_epoch_are_those_of_its_steps(monkeypatch):
    state, batch, loss = problem()
    ticks = iter(range(1000))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(ticks))  # a step takes one tick
    list(train(state, lambda epoch: [batch] * epoch, loss, lambda counts: {"clock": next(ticks)}, 3))
    assert [record["seconds"] for record in state.history] == [1, 2, 3]

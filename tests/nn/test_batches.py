"""Batches: every example once, shuffled by a seed, and the last batch holds what is left."""

from __future__ import annotations

import numpy as np
import pytest

import nn

X, Y = np.arange(22).reshape(11, 2), np.arange(11)


def test_without_a_generator_the_order_is_kept_and_the_last_batch_is_short():
    found = list(nn.batches(X, Y, size=4))
    assert [len(x) for x, _ in found] == [4, 4, 3]
    assert np.array_equal(np.concatenate([x for x, _ in found]), X)
    assert np.array_equal(np.concatenate([y for _, y in found]), Y)


def test_with_one_they_are_shuffled_together_anew_at_each_call_and_the_same_for_a_seed():
    def orders(seed):
        rng = np.random.default_rng(seed)
        return [np.concatenate([y for _, y in nn.batches(X, Y, size=4, rng=rng)]).tolist() for _ in range(2)]

    first, second = orders(0)
    assert first != second and sorted(first) == sorted(second) == Y.tolist() and first != Y.tolist()
    assert orders(0) == [first, second] and orders(1) != [first, second]
    for x, y in nn.batches(X, Y, size=4, rng=np.random.default_rng(0)):
        assert np.array_equal(x[:, 0], 2 * y)


@pytest.mark.parametrize("arrays, size", [((X, Y[:5]), 4), ((X,), 0), ((), 4)])
def test_what_does_not_fit_is_refused(arrays, size):
    with pytest.raises(ValueError, match="batches: arrays of one length"):
        nn.batches(*arrays, size=size)


def test_no_example_is_no_batch():
    assert list(nn.batches(X[:0], Y[:0], size=4)) == []

"""What holds for every test: a folder of its own, no silent floating-point trouble, no switch left flipped."""

from __future__ import annotations

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import nn


@pytest.fixture(autouse=True)
def guards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that no test writes into the checkout
    with np.errstate(divide="raise", over="raise", invalid="raise"):  # an underflow to 0 is what a softmax wants
        yield
    assert (nn.Tensor([1.0], requires_grad=True) * 2).requires_grad, "the test left recording switched off"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    with threadpool_limits(1):  # the products of the tests are small: on a busy machine a second thread only waits
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pytest_collection_modifyitems(items):
    if not os.environ.get("NN_DATA"):
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason="NN_DATA is not set"))

"""What first made a nan or an inf is what is named, on the way there and on the way back."""

from __future__ import annotations

import numpy as np
import pytest

import nn
from nn import Tensor, find_anomaly

ZERO, ONE, HUGE = np.zeros((3, 2)), np.ones((3, 2)), np.full((3, 2), 1e308)
WRONG = np.where(np.eye(3, 2) == 1, np.nan, 1.0)
LAYERS = [(nn.RNN, "rnn"), (nn.LSTM, "lstm"), (nn.GRU, "gru")]


def tensor(array):
    return Tensor(array.copy(), requires_grad=True)


def layer(kind, x):
    """All results of a recurrent layer of 5 units for x (N, I) = (3, 2) at each of 4 steps."""
    h, last = kind(2, 5, batch_first=True, rng=np.random.default_rng(0))(nn.stack([x.astype(np.float32)] * 4, 1))
    return h, *(last if isinstance(last, tuple) else (last,))


def linear(x, bias=0.0):
    layer = nn.Linear(2, 4, rng=np.random.default_rng(0))
    layer.bias.data[1] = bias
    return layer(x.astype(np.float32))


FORWARD = {
    "-inf": (lambda x: nn.log(x * 0), ONE, "log of (3, 2)"),
    "inf": (lambda x: 1 / x, ZERO, "divide of (3, 2)"),  # the number 1 has no shape
    "nan": (lambda x: nn.sqrt(x - 1), ZERO, "sqrt of (3, 2)"),
    "overflow": (lambda x: nn.exp(x) * 0, HUGE, "exp of (3, 2)"),
    "two arguments": (lambda x: x @ (x * 1).mT, HUGE, "matmul of (3, 2), (2, 3)"),
    "the first of several": (lambda x: nn.log(nn.exp(x) - nn.exp(x)) + nn.log(x * 0), HUGE, "exp of (3, 2)"),
    "not seen in the result": (lambda x: nn.where(ZERO > 0, nn.log(x - x), x), ONE, "log of (3, 2)"),
    "reduction": (lambda x: nn.sum(x, axis=0), HUGE, "sum of (3, 2)"),
    "a loss": (lambda x: nn.gaussian_kl(x, x * 1000), ONE, "gaussian_kl of (3, 2), (3, 2)"),
    "a sample": (lambda x: nn.reparameterize(x, x * 2000, np.random.default_rng(0)), ONE,
                 "sample of (3, 2), (3, 2), (3, 2)"),
    "in a layer": (lambda x: linear(nn.exp(x)), HUGE, "exp of (3, 2)"),
    "behind a layer": (lambda x: nn.log(layer(nn.LSTM, x)[0] * 0), ONE, "log of (3, 4, 5)"),
    "a data batch": (lambda x: x * WRONG, ONE, "multiply of (3, 2), (3, 2), whose argument 1 is not finite already"),
    "a parameter": (lambda x: linear(x, bias=np.inf), ONE, "a parameter or an input of shape (4,)"),
    "an input": (nn.exp, WRONG, "a parameter or an input of shape (3, 2)"),
    "nothing done": (lambda x: x, WRONG, "a parameter or an input of shape (3, 2)"),
}


@pytest.mark.parametrize("case", FORWARD)
def test_a_result_that_is_not_finite(case):
    function, at, says = FORWARD[case]
    with np.errstate(all="ignore"):
        y = function(tensor(at))
    assert find_anomaly(y) == says


@pytest.mark.parametrize("kind, name", LAYERS)
def test_a_fused_layer_of_several_results_is_named_by_itself(kind, name):
    for result in layer(kind, Tensor(WRONG)):
        found = find_anomaly(nn.sum(result))
        assert found.startswith(f"{name} of (3, 4, 2), (3, 5), ") and found.endswith("argument 0 is not finite already")


explode = nn.op(np.positive, lambda g, y, x: g * np.float32(3e38))
BACKWARD = {
    "plain": (lambda x: nn.sum(nn.sqrt(x * x)), ZERO, "sqrt: the gradient of its argument (3, 2)"),
    "0-d": (lambda x: nn.sqrt(nn.sum(x * x)), ZERO, "sqrt: the gradient of its argument ()"),
    "two uses": (lambda x: nn.sum(x**0.5 + x), ZERO, "add or pow: the gradient of its argument (3, 2)"),
    "the newest of several": (lambda x: nn.sum(nn.sqrt(nn.log(x) * 1) + nn.log(nn.sqrt(x * 0) + 1)), ONE,
                              "sqrt: the gradient of its argument (3, 2)"),
    "not a single number": (lambda x: nn.sqrt(x[1:] * 0), ONE, "sqrt: the gradient of its argument (2, 2)"),
    "behind a fused layer": (lambda x: nn.sqrt(layer(nn.GRU, x)[0] * 0), ONE,
                             "sqrt: the gradient of its argument (3, 4, 5)"),
    **{f"through {name}": (lambda x, kind=kind: nn.sum(explode(layer(kind, x)[0])), ONE, name)
       for kind, name in LAYERS},
}


@pytest.mark.parametrize("case", BACKWARD)
def test_a_gradient_that_is_not_finite_of_a_result_that_is(case):
    function, at, says = BACKWARD[case]
    y = function(tensor(at))
    assert np.isfinite(y.data).all()
    assert find_anomaly(y).startswith(f"backward through {says}")


@pytest.mark.parametrize("kind", [kind for kind, _ in LAYERS])
def test_nothing_is_found_where_all_is_well_and_the_graph_is_as_it_was(kind):
    def gradients(look):
        x = tensor(ONE)
        y = nn.sum(layer(kind, nn.exp(x))[0]) * nn.sum(linear(x)) + nn.sum(x * x)
        assert not look or find_anomaly(y) is None
        y.backward()
        return x.grad.tobytes()

    assert gradients(look=True) == gradients(look=False)
    assert find_anomaly(Tensor([1, 2])) is None

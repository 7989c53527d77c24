"""Losses where PyTorch has no answer or no such function: infinite logits, Gaussians, and what is refused.

PyTorch's values, also at the edges that it knows, are in test_against_pytorch.py. Read next: test_optim.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import nn

inf = math.inf


def value_and_gradient(loss, x, *args, **keywords):
    x = nn.Tensor(np.array(x, np.float64), requires_grad=True)
    y = loss(x, *args, **keywords)
    return y.data, nn.grad(y, x, np.ones(y.shape)).data


# -- infinite logits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("logits, target, loss, gradient", [
    ([inf, 0, 1], 0, 0, [0, 0, 0]),
    ([inf, 0, 1], 2, inf, [1, 0, -1]),
    ([-inf, 0, 0], 1, math.log(2), [0, -0.5, 0.5]),
    ([-inf, 0, 0], 0, inf, [-1, 0.5, 0.5]),
    ([inf, -inf, 0], 0, 0, [0, 0, 0]),
    ([inf, inf, 0], 1, math.log(2), [0.5, -0.5, 0]),
    ([-inf, -inf, -inf], 1, math.log(3), [1 / 3, -2 / 3, 1 / 3]),
    ([-inf, 1e4, -inf], [0, 1, 0], 0, [0, 0, 0]),
    ([-inf, 0, 0], [0, 0.25, 0.75], math.log(2), [0, 0.25, -0.25]),
    ([inf, 0, 0], [0.5, 0.5, 0], inf, [0.5, -0.5, 0]),
])
def test_cross_entropy(logits, target, loss, gradient):
    target = np.array([target], float if isinstance(target, list) else int)
    y, dx = value_and_gradient(nn.cross_entropy, [logits], target, reduction="none")
    np.testing.assert_allclose(y, [loss], rtol=1e-15)
    np.testing.assert_allclose(dx, [gradient], rtol=1e-15)


def test_cross_entropy_where_a_class_without_weight_is_impossible():
    y, dx = value_and_gradient(nn.cross_entropy, [[-inf, 0, 0], [0, 0, 0]], np.array([0, 1]), weight=[0, 1, 1])
    assert y == math.log(3)  # the mean over the one example that has a weight
    np.testing.assert_allclose(dx, [[0, 0, 0], [1 / 3, -2 / 3, 1 / 3]], rtol=1e-15)


def test_cross_entropy_of_ignored_examples():
    logits, ignored = [[-inf, 1, inf], [0, 1, 2]], np.array([-100, -100])
    for reduction, expected in (("sum", 0), ("none", [0, 0])):
        y, dx = value_and_gradient(nn.cross_entropy, logits, ignored, reduction=reduction)
        assert np.array_equal(y, expected) and not dx.any()
    assert math.isnan(nn.cross_entropy(nn.Tensor(logits), ignored).item())  # a mean of nothing


@pytest.mark.parametrize("logit, target, loss, gradient", [
    (inf, 1, 0, 0), (inf, 0, inf, 1), (inf, 0.25, inf, 0.75),
    (-inf, 0, 0, 0), (-inf, 1, inf, -1), (-inf, 0.25, inf, -0.25),
    (40, 1, math.exp(-40), -math.exp(-40)), (-40, 0, math.exp(-40), math.exp(-40)), (0, 0.25, math.log(2), 0.25),
    (1e4, 0, 1e4, 1), (-1e300, 1, 1e300, -1),
])
def test_binary_cross_entropy_with_logits(logit, target, loss, gradient):
    y, dx = value_and_gradient(nn.binary_cross_entropy_with_logits, logit, target)
    np.testing.assert_allclose(y, loss, rtol=1e-15)
    # sigmoid(40) - 1 is a difference of two numbers near 1: right to a rounding of 1.
    np.testing.assert_allclose(dx, gradient, rtol=1e-15, atol=1.2e-16)


def test_binary_cross_entropy_of_finite_logits_beside_an_infinite_one():
    x, t = np.array([inf, -2, -0.5, 0.5, 2]), np.array([1, 0.3, 0.3, 0.3, 0.3])
    y, _ = value_and_gradient(nn.binary_cross_entropy_with_logits, x, t, "none")
    p = 1 / (1 + np.exp(-x[1:]))
    np.testing.assert_allclose(y, [0, *(-0.3 * np.log(p) - 0.7 * np.log(1 - p))], rtol=1e-14)


# -- the Gaussian ones ---------------------------------------------------------------------------------------


def test_gaussian_kl_is_the_divergence():
    mean, log_var = 0.7, -1.3
    z, dz = np.linspace(-12, 12, 200_001, retstep=True)
    log_p = -0.5 * ((z - mean) ** 2 / math.exp(log_var) + log_var)
    integral = np.sum(np.exp(log_p) * (log_p + 0.5 * z**2)) * dz / math.sqrt(2 * math.pi)
    assert nn.gaussian_kl(nn.Tensor(np.array(mean)), np.array(log_var)).item() == pytest.approx(integral, rel=1e-12)


def test_gaussian_kl_near_the_standard_normal():
    kl = nn.gaussian_kl(nn.Tensor(np.zeros(3)), np.array([0, 1e-6, -1e-6]), "none").data
    np.testing.assert_allclose(kl, [0, 0.25e-12, 0.25e-12], rtol=1e-6)  # log_var^2 / 4 to first order
    assert nn.gaussian_kl(nn.Tensor(np.ones((2, 3))), np.zeros((2, 3)), "sum").item() == 3
    assert nn.gaussian_kl(nn.Tensor(np.ones((2, 3))), np.zeros((2, 3))).item() == 0.5


def test_reparameterize_draws_from_the_distribution_that_it_is_told():
    n = 40_000
    mean, log_var = np.repeat([-1.0, 0.0, 3.0], n).reshape(3, n), np.repeat([-4.0, 0.0, 2.0], n).reshape(3, n)
    z = nn.reparameterize(nn.Tensor(mean), nn.Tensor(log_var), np.random.default_rng(0)).data
    standard = (z - mean) / np.exp(log_var / 2)
    assert np.abs(standard.mean(axis=1)).max() < 4 / math.sqrt(n)
    assert np.abs(standard.var(axis=1) - 1).max() < 4 * math.sqrt(2 / n)
    assert not np.array_equal(standard[0], standard[1])


def test_reparameterize_lets_gradients_through():
    rng = np.random.default_rng(0)
    mean, log_var = (nn.Tensor(rng.standard_normal((5, 3)), requires_grad=True) for _ in range(2))
    g = rng.standard_normal((5, 3))
    z = nn.reparameterize(mean, log_var, np.random.default_rng(1))
    dmean, dlog_var = nn.grad(z, [mean, log_var], g)
    np.testing.assert_array_equal(dmean.data, g)
    np.testing.assert_allclose(dlog_var.data, g * (z.data - mean.data) / 2, rtol=1e-12)


# -- dtypes, and what is refused -----------------------------------------------------------------------------

LOSSES = [nn.binary_cross_entropy, nn.binary_cross_entropy_with_logits, nn.mse_loss, nn.cross_entropy, nn.gaussian_kl]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_float32_stays_float32(loss, reduction):
    rng = np.random.default_rng(0)
    x = nn.Tensor(rng.uniform(size=(5, 3)).astype(np.float32), requires_grad=True)
    y = loss(x, rng.uniform(size=(5, 3)), reduction=reduction)  # a float64 target
    assert y.dtype == nn.grad(y, x, np.ones(y.shape)).dtype == np.float32


@pytest.mark.parametrize("target", [np.array([1, 0, 1]), np.array([True, False, True])], ids=["int", "bool"])
@pytest.mark.parametrize("loss", LOSSES[:3])
def test_targets_of_whole_numbers(loss, target):
    x = nn.Tensor(np.array([0.2, 0.7, 0.6]))
    assert loss(x, target).item() == loss(x, target.astype(np.float64)).item()


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(5,\).* \(5, 1\)"):
        loss(nn.Tensor(np.full((5, 1), 0.5)), np.full(5, 0.5))


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unknown_reduction_is_refused(loss):
    with pytest.raises(ValueError, match="""reduction is "mean", "sum" or "none", not 'average'"""):
        loss(nn.Tensor(np.full((5, 3), 0.5)), np.full((5, 3), 0.5), reduction="average")


@pytest.mark.parametrize("target", [[0, 3], [-1, 0], [0, -99]])
def test_a_class_that_is_none_is_refused(target):
    with pytest.raises(ValueError, match="a target is neither a class 0 to 2 nor ignore_index -100"):
        nn.cross_entropy(nn.Tensor(np.zeros((2, 3))), np.array(target))


def test_classes_in_a_shape_that_does_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\).* \(2,"):
        nn.cross_entropy(nn.Tensor(np.zeros((2, 3))), np.array([0, 1, 2]))


@pytest.mark.parametrize("p", [-1e-9, 1.001, 30])
def test_a_probability_outside_0_to_1_is_refused(p):
    with pytest.raises(ValueError, match=r"outside \[0, 1\].* binary_cross_entropy_with_logits"):
        nn.binary_cross_entropy(nn.Tensor(np.array([0.5, p])), np.array([1, 0]))

"""Losses, and the reparameterization trick: stable formulas, each a row of the table.

What they share: `reduction` is "mean" (over the elements; PyTorch's default), "sum" or "none". The names,
arguments and values are PyTorch's (torch.nn.functional), also at the edges. Where PyTorch returns nan although there is
an answer, a loss returns the answer, and its docstring says so. A target has the input's shape and is taken in the
input's dtype (PyTorch broadcasts, and promotes).

Read next: module.py.
"""

from __future__ import annotations

import math

import numpy as np

from nn.ops import abs, exp, expm1, log1p, log_softmax, maximum, mean, sigmoid, softmax, softplus, where
from nn.tensor import Tensor, astype, log, op, sum, swapaxes
from nn.threads import in_blocks


def _reduce(loss, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    return {"mean": mean, "sum": sum, "none": lambda x: x}[reduction](loss)


def _weighted(loss, weight, reduction):
    """The loss of each element times its weight, an array that broadcasts, if there is one; then reduced."""
    return _reduce(loss if weight is None else loss * np.asarray(weight, loss.dtype), reduction)


def _like(target, x, name):
    """The target in x's dtype. Its shape must be x's: to broadcast (N, 1) against (N,) is a way to learn nothing."""
    target = target if isinstance(target, Tensor) else np.asarray(target)
    if target.shape != x.shape:
        raise ValueError(f"{name}: the target's shape {target.shape} is not the input's {x.shape}")
    return target if target.dtype == x.dtype else astype(target, x.dtype)


def _times(weight, x):
    """weight * x, but 0 where the weight is 0, also if x is infinite."""
    return np.multiply(weight, x, where=weight != 0, out=np.zeros_like(x))


# -- classification -------------------------------------------------------------------------------------------


def _classes_first(x):
    """(N, K, ...) -> (K, N, ...), contiguous: over a short last axis numpy reduces ten times slower."""
    return np.ascontiguousarray(np.swapaxes(x, 0, 1))


_classes_first = op(_classes_first, lambda g, y, x: swapaxes(g, 0, 1))


def _soft_cross_entropy(x, q):
    """-sum_k q_k log softmax(x)_k over the first axis."""
    log_p = log_softmax(x, 0)
    if np.isfinite(np.minimum.reduce(log_p.real, None, initial=0)):
        return -np.add.reduce(q * log_p, 0)
    return -np.add.reduce(_times(q, log_p), 0)  # masks are slow, and kept for -inf and nan


_soft_cross_entropy = op(_soft_cross_entropy,
                         lambda g, y, x, q: g * (softmax(x, 0) * sum(q, 0) - q),
                         lambda g, y, x, q: -g * log_softmax(x, 0))


def _one_hot(target, x, ignore_index, name):
    """Classes in x's shape without the axis K -> (K, N, ...): True at the class, never for `ignore_index`; which
    examples count; and how many. K, the first axis here, is the second of x (N, K, ...).
    """
    K = x.shape[min(1, x.ndim - 1)]
    shape = x.shape[:1][:x.ndim - 1] + x.shape[2:]
    if target.shape != shape:
        raise ValueError(f"{name}: target {target.shape} is not {shape}, the input's shape without K")
    counts = target != ignore_index
    hot = (target == np.arange(K).reshape(K, *[1] * (x.ndim - 1))) & counts
    number = np.count_nonzero(counts)
    if np.count_nonzero(hot) != number:
        raise ValueError(f"{name}: a target is neither a class 0 to {K - 1} nor ignore_index {ignore_index}")
    return hot, counts, number


def cross_entropy(logits: Tensor, target, weight=None, ignore_index: int = -100, label_smoothing: float = 0.0,
                  reduction: str = "mean") -> Tensor:
    """Cross-entropy of softmax(logits), in nats.

        loss[n] = - sum_k w[k] q[n, k] log softmax(logits[n])[k]
        q = (1 - s) * target (as probabilities) + s / K           s: label_smoothing

    logits      (N, K), or (K,), or (N, K, d1, ...)
    target      classes: integers 0 to K - 1, in logits' shape without the axis K;
                or probabilities: floats in logits' shape
    weight      (K,), w, of the classes; 1 if left out

    Examples of class `ignore_index` count for nothing. The mean is over the examples, with classes weighted by
    w[target]; if all are ignored it is nan, and so is its gradient (PyTorch's gradient: 0). A logit of +inf takes all
    the probability (PyTorch: nan); logits all at -inf share it evenly, and one of -inf costs nothing where q is 0
    (PyTorch: nan for both).
    ValueError for a target that is not a class, or shapes that do not fit.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing}")
    target = target if isinstance(target, Tensor) else np.asarray(target)
    K = logits.shape[min(1, logits.ndim - 1)]
    w = None if weight is None else np.asarray(weight, logits.dtype).reshape(K, *[1] * (logits.ndim - 1))
    if target.dtype.kind in "iu":
        hot, counts, total = _one_hot(np.asarray(target), logits, ignore_index, "cross_entropy")
        q = hot.astype(logits.dtype)
        if w is not None:
            total = np.add.reduce(w * q, None, dtype=np.result_type(q, np.float32))  # 70,000 is infinite in float16
        if label_smoothing:
            q = ((1 - label_smoothing) * q + label_smoothing / K) * counts
    else:
        q = (1 - label_smoothing) * _like(target, logits, "cross_entropy") + label_smoothing / K
        q = _classes_first(q) if logits.ndim > 1 else q
        total = logits.size // K
    q = q if w is None else w * q
    if logits.ndim > 1:
        logits = _classes_first(logits)
    loss = _soft_cross_entropy(logits, q)
    if reduction != "mean":
        return _reduce(loss, reduction)
    return _divided(sum(_wide(loss)), total, loss.dtype)


def nll_loss(log_p: Tensor, target, weight=None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The negative logarithm of the probability of the target class, -w[t] log_p[n, t], in nats.

    log_p       (N, K), or (K,), or (N, K, d1, ...): logarithms of probabilities, such as of log_softmax
    target      classes: integers 0 to K - 1, in log_p's shape without the axis K; `ignore_index` counts for nothing
    weight      (K,), w, of the classes; the mean is over the examples, weighted by w[t]
    """
    hot, _, _ = _one_hot(np.asarray(target), log_p, ignore_index, "nll_loss")
    w = np.ones(len(hot), log_p.dtype) if weight is None else np.asarray(weight, log_p.dtype)
    w = np.where(hot, w.reshape(-1, *[1] * (hot.ndim - 1)), 0).astype(log_p.dtype)
    loss = -sum(where(hot, (_classes_first(log_p) if log_p.ndim > 1 else log_p) * w, 0), 0)
    if reduction != "mean":
        return _reduce(loss, reduction)
    return _divided(sum(_wide(loss)), np.add.reduce(w, None, dtype=np.result_type(w, np.float32)), loss.dtype)


def _wide(x):
    """At least float32, for a sum."""
    return astype(x, np.float32) if x.dtype == np.float16 else x


def _divided(total, count, dtype):
    """total / count in this dtype; nan for a count of 0."""
    mean = total * (1 / float(count) if count else math.nan)  # a number of Python does not decide the dtype
    return mean if mean.dtype == dtype else astype(mean, dtype)


# -- independent probabilities --------------------------------------------------------------------------------


def _bce(p, t):
    """-t log p - (1 - t) log(1 - p), logarithms held at -100."""
    if not np.all((p.real >= 0) & (p.real <= 1)):  # nan is outside, too
        raise ValueError("a probability outside [0, 1]; logits go to binary_cross_entropy_with_logits")
    with np.errstate(divide="ignore"):
        return -t * np.maximum(np.log(p), -100) - (1 - t) * np.maximum(np.log1p(-p), -100)


_bce = op(_bce,
          lambda g, y, p, t: g * (p - t) / maximum(p * (1 - p), 1e-12),
          lambda g, y, p, t: g * (maximum(log1p(-p), -100) - maximum(log(p), -100)))


def binary_cross_entropy(p: Tensor, target, reduction: str = "mean", *, weight=None) -> Tensor:
    """Cross-entropy of probabilities p, of any shape: -t log p - (1 - t) log(1 - p), in nats.

    target: in p's shape, from 0 to 1; weight: of each element, in a shape that broadcasts. As in PyTorch a logarithm is
    at least -100, and the gradient's p (1 - p) at least 1e-12, so that a probability of exactly 0 or 1 costs at most
    100; the target's gradient is held with it (PyTorch: infinite). ValueError for p or a target outside [0, 1], or
    another shape.
    """
    return _weighted(_bce(p, _probabilities(target, p, "binary_cross_entropy")), weight, reduction)


def _probabilities(target, x, name):
    """The target as `_like` gives it; ValueError if it is not from 0 to 1."""
    target = _like(target, x, name)
    values = target.data if isinstance(target, Tensor) else target
    if values.size and not (0 <= values.real.min() and values.real.max() <= 1):  # nan is outside, too
        raise ValueError(f"{name}: a target is outside [0, 1]")
    return target


def _bce_with_logits(x, t):
    """log(1 + exp(-|x|)) + max(x, 0) - x t"""
    y = np.empty(x.shape, np.result_type(x, t))
    in_blocks(_bce_of_block, *np.atleast_1d(x, t, y))
    return y


def _bce_of_block(x, t, y):
    size = np.maximum(x, -x)  # |x|, in a form that a complex step can pass
    near = np.exp(-size)
    np.log1p(near, out=near)
    with np.errstate(invalid="ignore"):
        np.subtract(np.maximum(x, 0), x * t, out=y)
    if np.isnan(np.add.reduce(y, None)):  # inf - inf, at infinite logits; masks are slow, and kept for them
        y[...] = _times(np.where(x > 0, 1 - t, t), size)
    y += near


_bce_with_logits = op(_bce_with_logits, lambda g, y, x, t: g * (sigmoid(x) - t), lambda g, y, x, t: -g * x)


def binary_cross_entropy_with_logits(logits: Tensor, target, reduction: str = "mean", *, weight=None,
                                     pos_weight=None) -> Tensor:
    """Cross-entropy of probabilities sigmoid(logits), computed from the logits, of any shape:

        -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x))  =  log(1 + exp(-|x|)) + |x| ((1 - t) if x > 0 else t)

    target: in the logits' shape, from 0 to 1; weight: of each element, in a shape that broadcasts; pos_weight: of the
    first term, likewise. Exact for logits of any size; at +-inf the loss is 0 or inf (PyTorch: nan).
    """
    target = _probabilities(target, logits, "binary_cross_entropy_with_logits")
    if pos_weight is None:
        return _weighted(_bce_with_logits(logits, target), weight, reduction)
    more = np.asarray(pos_weight, logits.dtype) - 1
    loss = (1 - target) * logits + (1 + more * target) * softplus(-logits)
    return _weighted(loss, weight, reduction)


# -- regression, and the variational autoencoder --------------------------------------------------------------


def mse_loss(x: Tensor, target, reduction: str = "mean") -> Tensor:
    """(x - target)^2, of any shape; the target in x's shape."""
    return _reduce((x - _like(target, x, "mse_loss")) ** 2, reduction)


def l1_loss(x: Tensor, target, reduction: str = "mean") -> Tensor:
    """|x - target|, of any shape; the target in x's shape."""
    return _reduce(abs(x - _like(target, x, "l1_loss")), reduction)


def huber_loss(x: Tensor, target, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| = |x - target| is at most delta, delta (|d| - delta / 2) elsewhere; of any shape, the target in
    x's shape. Huber 1964.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is positive, not {delta}")
    d = x - _like(target, x, "huber_loss")
    size = abs(d)
    return _reduce(where(size <= delta, 0.5 * d * d, delta * (size - 0.5 * delta)), reduction)


def _gaussian_kl(mean, log_var):
    """(mean^2 + exp(log_var) - 1 - log_var) / 2"""
    return 0.5 * (mean * mean + (np.expm1(log_var) - log_var))


_gaussian_kl = op(_gaussian_kl,
                  lambda g, y, mean, log_var: g * mean,
                  lambda g, y, mean, log_var: 0.5 * g * expm1(log_var))


def gaussian_kl(mean: Tensor, log_var: Tensor, reduction: str = "mean") -> Tensor:
    """KL divergence of N(mean, exp(log_var)) from N(0, 1), element by element, in nats:

        KL = (mean^2 + exp(log_var) - 1 - log_var) / 2

    mean, log_var: of one shape, e.g. (N, Z). Note the reduction: the evidence bound of an image takes the *sum*
    over its Z latents. Kingma & Welling 2014, "Auto-Encoding Variational Bayes", appendix B.
    """
    return _reduce(_gaussian_kl(mean, _like(log_var, mean, "gaussian_kl")), reduction)


def _sample(mean, log_var, noise):
    return mean + np.exp(0.5 * log_var) * noise


_sample = op(_sample,
             lambda g, y, mean, log_var, noise: g,
             lambda g, y, mean, log_var, noise: 0.5 * g * exp(0.5 * log_var) * noise)


def reparameterize(mean: Tensor, log_var: Tensor, rng: np.random.Generator) -> Tensor:
    """A sample of N(mean, exp(log_var)) through which gradients flow.

        z = mean + exp(log_var / 2) * noise,    noise from N(0, 1)

    mean, log_var, z: of one shape. The logarithm is of the variance, so the standard deviation is exp(log_var / 2).
    Kingma & Welling 2014, section 2.4.
    """
    return _sample(mean, log_var, rng.standard_normal(mean.shape).astype(mean.dtype))

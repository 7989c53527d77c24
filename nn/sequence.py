"""RNN, LSTM and GRU over a whole sequence: each one op, with back-propagation through time by hand.

The equations are those of cells.py, and a test holds the two equal in value and in every gradient. Backward goes
through the steps from the last to the first. Each step takes dh, the gradient of h[t] from the loss and from the steps
after it, turns it into da, the gradient of the step's product a = W [h; x; 1], and from there

    dh[t-1] += W_hh^T da        dx[t] = W_ih^T da        dW_hh += da h[t-1]^T,  dW_ih += da x[t]^T,  db += da

What differs from the cells is the order of the work:

- Features x batch: a step is (G H, N), so that each gate is one contiguous block.
- One product a step for everything, W [h; x; 1], with W = [W_hh, W_ih, b]: three small products cost more in
  calls than in sums.
- One tanh for all gates, since sigmoid(a) = tanh(a / 2) / 2 + 1 / 2; the halving is folded into the rows of W.
- What backward needs is kept in its activated form: s (1 - s) and 1 - y^2 cost no second exponential.
- Buffers are borrowed and written with `out=`: fresh memory can cost as much as the arithmetic, in page faults
  (LSTM, 13,604 windows by 1,024, H = 12, L = 5, forward and backward on one thread: 13 ms against 7).

Names: x (N, L, I), h0 and c0 (N, H), W_ih (G H, I), W_hh (G H, H), biases (G H,), with G gates; ended (L, N) or
None: which sequences have ended at a step. Results h (N, L, H), all hidden states, 0 after the end of a
sequence; h_n and c_n (N, H), the state after the last step of each sequence. `reverse` goes from the last step
to the first.

Read next: layers.py.
"""

from __future__ import annotations

import numpy as np

from nn.fused import fused
from nn.memory import borrow

# -- what the three have in common ----------------------------------------------------------------------------


def _fill(hx, x, h0, ended, reverse):
    """hx (L + 1, H + I + 1, N): what a step multiplies, [h before it; x; 1]. The steps write their h into the
    next row.
    """
    H, L = h0.shape[1], x.shape[1]
    hx[0, :H] = h0.T
    hx[:L, H:-1] = (x[:, ::-1] if reverse else x).transpose(1, 2, 0)
    if ended is not None:  # input after the end does not count, even if it is nan: 0 * nan is nan
        np.copyto(hx[:L, H:-1], 0, where=ended[:, None])
    hx[:L, -1] = 1


def _hold(hx, t, H, ended):
    """A sequence that has ended keeps its h."""
    if ended is not None:
        np.copyto(hx[t + 1, :H], hx[t, :H], where=ended[t])


def _results(hx, H, ended, reverse):
    """h (N, L, H) and h_n (N, H), views of hx where possible, so that unused results cost no copy."""
    h = hx[1:, :H]
    if ended is not None:
        h = np.where(ended[:, None], 0, h)
    return (h[::-1] if reverse else h).transpose(2, 0, 1), hx[-1, :H].T


def _through_time(hx, W, H, gh, gh_n, ended, reverse, step, wanted):
    """Backward through the steps, from the last: dx (N, L, I), dh0 (N, H) and dW; None for dx and dh0 if not wanted.

    `step(t, dh)` turns the gradient dh of h[t] into that of W hx[t], and returns with it what reaches h[t - 1] beside
    that product, or None.
    """
    wanted_x, wanted_h0 = wanted[:2]
    L, K, N = hx.shape[0] - 1, *hx.shape[1:]
    reach = K - 1 if wanted_x else H
    dh, dhx, dx = borrow(hx.dtype, (H, N), (reach, N), (L, reach - H, N))
    dh[...] = 0 if gh_n is None else gh_n.T
    if gh is not None:
        gh = (gh[:, ::-1] if reverse else gh).transpose(1, 2, 0)
    back, dW, dW_t = np.ascontiguousarray(W[:, :reach].T), np.zeros(W.shape, hx.dtype), np.empty(W.shape, hx.dtype)
    for t in reversed(range(L)):
        held = None
        if ended is not None:
            held = np.where(ended[t], dh, 0)
            dh[:, ended[t]] = 0
        if gh is not None:
            dh += gh[t] if ended is None else np.where(ended[t], 0, gh[t])
        da, past = step(t, dh)
        dW += np.dot(da, hx[t].T, out=dW_t)  # matmul, for so small a result, would keep other threads waiting
        if t == 0 and not (wanted_x or wanted_h0):
            break
        np.matmul(back, da, out=dhx)
        dh = dhx[:H]
        for more in (past, held):
            if more is not None:
                dh += more
        if wanted_x:
            dx[t] = dhx[H:]
    dx = dx.transpose(2, 0, 1)
    return (dx[:, ::-1] if reverse else dx) if wanted_x else None, dh.T if wanted_h0 else None, dW


def _columns(dW, H):
    """The gradients of W_ih, W_hh, b_ih, b_hh out of that of W = [W_hh, W_ih, b]."""
    return dW[:, H:-1], dW[:, :H], dW[:, -1], dW[:, -1]


# -- the three ------------------------------------------------------------------------------------------------


@fused("nn.RNNCell")
def rnn(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, ended=None, reverse=False, relu=False):
    """One layer of simple recurrent units over a whole sequence. Elman 1990.

        h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh)        or relu

    -> h (N, L, H), h_n (N, H). Backward:

        da = dh * (1 - h[t]^2)                                    or dh where h[t] > 0
    """
    N, L, _ = x.shape
    H = h0.shape[1]
    W = np.concatenate((weight_hh, weight_ih, (bias_ih + bias_hh)[:, None]), 1)
    hx, = borrow(np.result_type(x, h0, W), (L + 1, W.shape[1], N))
    _fill(hx, x, h0, ended, reverse)
    for t in range(L):
        h = hx[t + 1, :H]
        np.matmul(W, hx[t], out=h)
        np.maximum(h, 0, out=h) if relu else np.tanh(h, out=h)
        _hold(hx, t, H, ended)

    def backward(g, wanted):
        da, = borrow(hx.dtype, (H, N))

        def step(t, dh):
            h = hx[t + 1, :H]
            if relu:
                da[...] = np.where(h > 0, dh, 0)
                return da, None
            np.multiply(h, h, out=da)
            np.subtract(1, da, out=da)
            return np.multiply(da, dh, out=da), None

        dx, dh0, dW = _through_time(hx, W, H, *g, ended, reverse, step, wanted)
        return dx, dh0, *_columns(dW, H)

    return _results(hx, H, ended, reverse), backward


@fused("nn.LSTMCell")
def lstm(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, ended=None, reverse=False):
    """One layer of long short-term memory over a whole sequence.

        i, f, o = sigmoid(.)    g = tanh(.)    of    W_ih x[t] + b_ih + W_hh h[t-1] + b_hh
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(c[t])

    -> h (N, L, H), h_n (N, H), c_n (N, H). Backward, with s' = s (1 - s) for a sigmoid s:

        dc  = dc[t+1] * f[t+1] + dh * o * (1 - tanh(c[t])^2)      d[4] below holds dc[t+1] * f[t+1]
        di  = dc * g          df = dc * c[t-1]          dg = dc * i          do = dh * tanh(c[t])
        da  = di * i', df * f', dg * (1 - g^2), do * o'

    Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000. The parameters' gate order is i f g o.
    """
    N, L, _ = x.shape
    H = h0.shape[1]
    order = [*range(2 * H), *range(3 * H, 4 * H), *range(2 * H, 3 * H)]  # here i f o g: the sigmoids side by side
    W = np.concatenate((weight_hh, weight_ih, (bias_ih + bias_hh)[:, None]), 1)[order]
    half_W = W.copy()
    half_W[:3 * H] *= 0.5
    # A step's rows are i f o g c, with the c before it: [i f] * [g c] is one call, and so are both its derivatives.
    hx, steps, tanh_c, products = borrow(np.result_type(x, h0, c0, W), (L + 1, W.shape[1], N), (L + 1, 5 * H, N),
                                          (L, H, N), (2 * H, N))
    _fill(hx, x, h0, ended, reverse)
    steps[0, 4 * H:] = c0.T
    for t in range(L):
        step, c = steps[t], steps[t + 1, 4 * H:]
        a = np.matmul(half_W, hx[t], out=step[:4 * H])
        np.tanh(a, out=a)
        sigmoids = step[:3 * H]
        sigmoids *= 0.5
        sigmoids += 0.5
        if ended is not None:  # after its end a sequence takes nothing in and forgets nothing
            step[:H, ended[t]], step[H:2 * H, ended[t]] = 0, 1
        np.multiply(step[:2 * H], step[3 * H:], out=products)
        np.add(products[:H], products[H:], out=c)
        np.multiply(step[2 * H:3 * H], np.tanh(c, out=tanh_c[t]), out=hx[t + 1, :H])
        _hold(hx, t, H, ended)

    def backward(g, wanted):
        gh, gh_n, gc_n = g
        d, slope, dc, spare = borrow(hx.dtype, (5, H, N), (4 * H, N), (H, N), (H, N))
        da = d[:4].reshape(4 * H, N)
        d[4] = 0 if gc_n is None else gc_n.T  # i f o g, and the c before the step

        def step(t, dh):
            a = steps[t, :4 * H]
            i_f, o, g_c = steps[t, :2 * H].reshape(2, H, N), a[2 * H:3 * H], steps[t, 3 * H:].reshape(2, H, N)
            np.multiply(hx[t + 1, :H], tanh_c[t], out=spare)  # dc += dh o (1 - tanh(c)^2), and o tanh(c) = h
            np.subtract(o, spare, out=spare)
            np.add(d[4], np.multiply(spare, dh, out=spare), out=dc)
            np.multiply(dc, g_c, out=d[:2])
            np.multiply(dh, tanh_c[t], out=d[2])
            np.multiply(dc, i_f, out=d[3:])
            np.multiply(a, a, out=slope)  # s (1 - s) for the sigmoids, 1 - g^2 for the tanh
            np.subtract(a[:3 * H], slope[:3 * H], out=slope[:3 * H])
            np.subtract(1, slope[3 * H:], out=slope[3 * H:])
            return np.multiply(da, slope, out=da), None

        dx, dh0, dW = _through_time(hx, W, H, gh, gh_n, ended, reverse, step, wanted)
        return dx, dh0, d[4].T, *_columns(dW[order], H)

    return (*_results(hx, H, ended, reverse), steps[L, 4 * H:].T), backward


@fused("nn.GRUCell")
def gru(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, ended=None, reverse=False):
    """One layer of gated recurrent units over a whole sequence. Cho et al. 2014; the reset comes after the product.

        r, z = sigmoid(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh)                      rows in the order r z n
        n    = tanh(W_in x[t] + b_in + r * (W_hn h[t-1] + b_hn))
        h[t] = (1 - z) * n + z * h[t-1]

    -> h (N, L, H), h_n (N, H). Backward, with s' = s (1 - s), m = W_in x + b_in and q = W_hn h[t-1] + b_hn:

        dz = dh * (h[t-1] - n)          dm = dh * (1 - z) * (1 - n^2)          dr = dm * q          dq = dm * r
        da = dm, dz * z', dr * r', dq                                  and directly  dh[t-1] += dh * z
    """
    N, L, I = x.shape
    H = h0.shape[1]
    # Four blocks of rows, so that one product does: m = W_in x + b_in (nothing of h), z, r, q = W_hn h + b_hn
    # (nothing of x).
    W = np.zeros((4, H, H + I + 1), np.result_type(weight_ih, weight_hh))
    by_h, by_x = weight_hh.reshape(3, H, H), weight_ih.reshape(3, H, I)
    b_h, b_x = bias_hh.reshape(3, H), bias_ih.reshape(3, H)
    W[1:, :, :H], W[:3, :, H:-1] = by_h[[1, 0, 2]], by_x[[2, 1, 0]]
    W[:3, :, -1] = b_x[[2, 1, 0]]
    W[1:, :, -1] += b_h[[1, 0, 2]]
    W = W.reshape(4 * H, H + I + 1)
    half_W = W.copy()
    half_W[H:3 * H] *= 0.5
    hx, steps, spare = borrow(np.result_type(x, h0, W), (L + 1, H + I + 1, N), (L, 4 * H, N), (H, N))
    _fill(hx, x, h0, ended, reverse)
    for t in range(L):
        a = np.matmul(half_W, hx[t], out=steps[t])
        sigmoids = a[H:3 * H]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        m, z, r, q = a.reshape(4, H, N)
        m += np.multiply(r, q, out=spare)
        n = np.tanh(m, out=m)
        np.subtract(hx[t, :H], n, out=spare)  # h' = n + z (h - n)
        spare *= z
        np.add(n, spare, out=hx[t + 1, :H])
        _hold(hx, t, H, ended)

    def backward(g, wanted):
        d, slope, past = borrow(hx.dtype, (4, H, N), (2 * H, N), (H, N))
        da, (dm, dz, _, dq) = d.reshape(4 * H, N), d

        def step(t, dh):
            a = steps[t].reshape(4, H, N)
            n, z = a[0], a[1]
            np.subtract(hx[t, :H], n, out=dz)
            np.multiply(dz, dh, out=dz)
            np.multiply(dh, z, out=past)
            np.subtract(dh, past, out=dm)
            np.multiply(n, n, out=dq)  # dm = dh (1 - z) (1 - n^2)
            np.subtract(1, dq, out=dq)
            np.multiply(dm, dq, out=dm)
            np.multiply(dm, a[:1:-1], out=d[2:])  # dr = dm q and dq = dm r
            s = steps[t, H:3 * H]
            np.multiply(s, s, out=slope)
            np.subtract(s, slope, out=slope)
            np.multiply(da[H:3 * H], slope, out=da[H:3 * H])
            return da, past

        dx, dh0, dW = _through_time(hx, W, H, *g, ended, reverse, step, wanted)
        m, z, r, q = dW.reshape(4, H, H + I + 1)
        by_x, by_h = np.concatenate((r, z, m)), np.concatenate((r, z, q))
        return dx, dh0, by_x[:, H:-1], by_h[:, :H], by_x[:, -1], by_h[:, -1]

    return _results(hx, H, ended, reverse), backward

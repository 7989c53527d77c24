"""What a recurrent layer does day by day: its gates and its state at the end of each window.

Read next: results.py, what a run writes.
"""

from __future__ import annotations

import numpy as np


def gates(cell: str, weights: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """The gates and the state of the first layer after the last day of each window; the equations are those of
    nn/cells.py.

    cell        "rnn", "lstm" or "gru"
    weights     as in model.safetensors: "recurrent.weight_ih_l0", ...
    x           windows (T, L, 1), signed log1p of new cases
    -> {"i", "f", "o", "g", "c", "h"}, {"r", "z", "n", "h"} or {"h"}, each (T, H)
    """
    W_ih, W_hh, b_ih, b_hh = (weights[f"recurrent.{name}_l0"].astype(float)
                              for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = c = np.zeros((len(x), W_hh.shape[1]))
    for t in range(x.shape[1]):
        by_x, by_h = x[:, t] @ W_ih.T + b_ih, h @ W_hh.T + b_hh
        if cell == "rnn":
            h = np.tanh(by_x + by_h)
            found = {"h": h}
        elif cell == "lstm":
            i, f, g, o = np.split(by_x + by_h, 4, axis=1)
            i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
            c = f * c + i * g
            h = o * np.tanh(c)
            found = {"i": i, "f": f, "o": o, "g": g, "c": c, "h": h}
        else:
            (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(by_x, 3, axis=1), np.split(by_h, 3, axis=1)
            r, z = _sigmoid(r_x + r_h), _sigmoid(z_x + z_h)
            n = np.tanh(n_x + r * n_h)
            h = (1 - z) * n + z * h
            found = {"r": r, "z": z, "n": n, "h": h}
    return found


def _sigmoid(a):
    return 0.5 * np.tanh(0.5 * a) + 0.5

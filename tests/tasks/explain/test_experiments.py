"""What the text of the page says of its measurements."""

from __future__ import annotations

import numpy as np

from tasks.explain.experiments import fading, v_curve


def test_what_fades_and_what_does_not():
    ten_before = {name: values[-11] for name, values in fading().items()}
    assert all(ten_before[name] < 0.05 for name in ("RNN", "GRU", "LSTM"))
    assert all(ten_before[name] > 0.5 for name in ten_before if "bias" in name)


def test_the_curve_is_a_v_and_the_complex_step_is_exact():
    steps, central, complex_step = v_curve()
    best = np.argmin(central)
    assert 1e-7 < steps[best] < 1e-4 and 1e-13 < central[best] < 1e-8
    assert central[0] > 1e-3 and central[-1] > 0.1
    assert (complex_step[steps < 1e-8] < 1e-15).all()

"""Numbers in sentences: units, digits and signs."""

from __future__ import annotations

import pytest

from tasks.common.style import fixed
from tasks.study import numbers


@pytest.mark.parametrize("text, expected", [
    (numbers.percent(0.57646), "57.6 %"), (numbers.nats(-1.26), "−1.3 nats"), (numbers.nats(1674.75), "1674.8 nats"),
    (fixed(-0.004, 2), "0.00"), (fixed(-0.005001, 2), "−0.01"), (fixed(3, 2), "3.00"),
    (numbers.score(0.5, "accuracy"), "50.0 %"), (numbers.score(0.5, "balanced_accuracy"), "50.0 %"),
    (numbers.score(0.5, "roc_auc"), "0.500"), (numbers.difference(-0.512, "accuracy"), "−51.2 percentage points"),
    (numbers.difference(-0.0124, "roc_auc"), "−0.012"),
    (numbers.paragraph("A.", None, "", "B."), "A. B."), (numbers.paragraph(None), None),
])
def test_numbers_as_they_stand_in_a_sentence(text, expected):
    assert text == expected

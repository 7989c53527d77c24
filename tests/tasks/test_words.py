"""Numbers in sentences: units, digits and signs."""

from __future__ import annotations

import pytest

from tasks import words


@pytest.mark.parametrize("text, expected", [
    (words.percent(0.57646), "57.6 %"), (words.nats(-1.26), "−1.3 nats"), (words.nats(1674.75), "1674.8 nats"),
    (words.signed(-0.004, 2), "0.00"), (words.signed(-0.005001, 2), "−0.01"), (words.signed(3, 2), "3.00"),
    (words.level(0.5, "accuracy"), "50.0 %"), (words.level(0.5, "balanced_accuracy"), "50.0 %"),
    (words.level(0.5, "roc_auc"), "0.500"), (words.change(-0.512, "accuracy"), "−51.2 percentage points"),
    (words.change(-0.0124, "roc_auc"), "−0.012"), (words.join("A.", None, "", "B."), "A. B."), (words.join(None), None),
])
def test_numbers_as_they_stand_in_a_sentence(text, expected):
    assert text == expected

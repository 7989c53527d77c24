"""Numbers as they stand in a sentence: with their unit, to the digits that mean something.

Read next: discussion.py and image_discussion.py, whose sentences they are for.
"""

from __future__ import annotations


def join(*sentences: str | None) -> str | None:
    """One paragraph of the sentences that there are, or None."""
    return " ".join(filter(None, sentences)) or None


def signed(value: float, digits: int) -> str:
    """With a minus sign where it is negative, and none where all its digits are 0."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share, from 0 to 1."""
    return f"{100 * share:.1f} %"


def nats(value: float) -> str:
    """A loss or a divergence."""
    return f"{signed(value, 1)} nats"


def level(value: float, quantity: str) -> str:
    """A score: an accuracy is a share, an AUC a number."""
    return percent(value) if "accuracy" in quantity else signed(value, 3)


def change(value: float, quantity: str) -> str:
    """The difference of two scores."""
    return f"{signed(100 * value, 1)} percentage points" if "accuracy" in quantity else signed(value, 3)

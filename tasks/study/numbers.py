"""Numbers as they are written in a sentence: with their unit, and as many digits as mean something.

Read next: discuss_covid.py, whose sentences they are for.
"""

from __future__ import annotations

from tasks.common.style import fixed


class Paragraph(str):
    """A paragraph of a discussion: its claim, a sentence that the page shows in bold, and then the numbers for it."""

    def __new__(cls, claim: str, *rest: str | None):
        self = super().__new__(cls, " ".join(filter(None, (claim, *rest))))
        self.claim, self.rest = claim, " ".join(filter(None, rest))
        return self


def paragraph(*sentences: str | None) -> str | None:
    """The sentences that are not None, as one paragraph; None if there are none."""
    return " ".join(filter(None, sentences)) or None


def percent(share: float) -> str:
    """A share, from 0 to 1."""
    return f"{100 * share:.1f} %"


def nats(value: float) -> str:
    """A loss or a divergence."""
    return f"{fixed(value, 1)} nats"


def score(value: float, quantity: str) -> str:
    """The value of a score: an accuracy in per cent, an AUC as a number."""
    return percent(value) if "accuracy" in quantity else fixed(value, 3)


def difference(value: float, quantity: str) -> str:
    """The difference of two scores."""
    return f"{fixed(100 * value, 1)} percentage points" if "accuracy" in quantity else fixed(value, 3)

"""For the tests of reading: a user who may not read everything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@pytest.fixture
def nobody() -> Callable[[], AbstractContextManager]:
    """Within it, an ordinary user: root feels no permissions, so root becomes somebody else for the time."""

    @contextmanager
    def ordinary() -> Iterator[None]:
        root = os.geteuid() == 0
        if root:
            Path().chmod(0o777)  # the folder of the test, which is the working directory
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)

    return ordinary

"""How a command stops before its end. Here is no import, so that run.py starts at once.

Read next: run_folder.py, how the state of a training is saved.
"""

from __future__ import annotations

import signal

# Ctrl-C, `kill`, and the end of the terminal, where the system has them
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and the state is saved. Its arguments: the options with which the same command resumes."""


class Diverged(ArithmeticError):
    """A loss or a gradient is not finite; the message says in which epoch and step, and which op made it so."""

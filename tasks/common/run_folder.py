"""The folder of a run: what is in it, when it may be written to, and how a run that was stopped is resumed.

`metrics.json` is written last and marks the run as finished. Until then `checkpoint.safetensors` holds all that is
needed to resume the run: weights, the optimiser's state, the random state, the history.

Read next: tensors.py, the arrays of a checkpoint in a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data import BadInput
from data.lock import is_lock, locked
from tasks.common.files import as_json, write, write_all
from tasks.common.stops import STOP_SIGNALS, Diverged, Interrupted
from tasks.common.tensors import pack, unpack
from tasks.common.training import TrainingState


@dataclass
class RunFolder:
    """The folder `path` for a run of `config`, a dictionary of all that decides the run's numbers.

    Raises BadInput, before anything is written, if the folder cannot be written, or if it holds something that this
    run would replace: a finished or unfinished run (unless `overwrite`), a run of another configuration (with
    `resume`), or files that this program did not write. `resume` continues from the checkpoint, or starts from the
    beginning if there is none.

    With `overwrite` a finished run stays as it is while the new one trains, beside the new run's checkpoint, and
    `resume` then continues the new run. The old files are replaced when all new ones are on the disk; at that moment
    the folder counts as unfinished, so that a mixture of both never looks like a result. Other files stay.

    Used in a `with` block, in which no other process can use the folder: a second one raises BadInput.
    """

    path: Path
    config: dict
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self):
        self.path = self.path.expanduser()  # the shell leaves the ~ of --out=~/x alone
        self._check()

    def _check(self) -> None:
        path, unfinished = self.path, self.checkpoint.exists()
        if self.resume and self.overwrite:
            raise BadInput("--resume continues a run and --overwrite starts again: choose one")
        if os.path.lexists(path) and not path.is_dir():
            raise BadInput(f"--out: {path} is not a folder")
        above = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        try:
            tempfile.TemporaryFile(dir=above).close()  # permissions are not enough: a disk may be read-only
        except OSError as error:
            raise BadInput(f"--out: {path} cannot be written: {error.strerror} ({above})") from None
        left = [file for file in path.iterdir() if not is_lock(file)] if path.exists() else []
        left = {file.name for file in left} - {f"{self.checkpoint.name}.tmp"}
        if left and not (self.finished or unfinished):
            raise BadInput(f"--out: {path} is not empty and not the folder of a run: choose another")
        if self.resume and unfinished:
            saved = self._saved()[1]["config"]
            if others := [key for key in saved | self.config if saved.get(key) != self.config.get(key)]:
                raise BadInput(f"--resume: the run in {path} has another {', '.join(others)}: give the same options")
        elif self.resume and self.finished:
            raise BadInput(f"--resume: the run in {path} is finished already")
        elif unfinished and not self.overwrite:
            raise BadInput(f"--out: {path} holds an unfinished run: --resume continues it, --overwrite starts again")
        elif self.finished and not self.overwrite:
            raise BadInput(f"--out: {path} holds a finished run: --overwrite replaces it, --out DIR keeps both")

    def __enter__(self) -> RunFolder:
        with ExitStack() as stack:
            stack.enter_context(locked(self.path))
            self._check()  # again: another process may have had the folder since
            self._lock = stack.pop_all()
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Turn a Ctrl-C into Interrupted if there is a checkpoint from which this run can be resumed."""
        self._lock.close()
        if kind is KeyboardInterrupt and self._can_resume():
            raise Interrupted("--resume") from None

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").exists()

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def _saved(self) -> tuple[dict[str, np.ndarray], dict]:
        """The checkpoint: its arrays, and {"config", "rng", "columns", "step", "counts"}."""
        try:
            arrays, saved = unpack(self.checkpoint)
            if missing := {"config", "rng", "columns", "step", "counts"} - saved.keys():
                raise BadInput(f"{self.checkpoint}: is damaged (without {', '.join(sorted(missing))})")
        except BadInput as error:
            raise BadInput(f"{error}: --overwrite starts again") from None
        return arrays, saved

    def _can_resume(self) -> bool:
        try:
            return self._saved()[1]["config"] == self.config  # it may belong to the run that this one overwrites
        except BadInput:
            return False

    def restore(self, state: TrainingState, log: Callable[[str], None] = print) -> None:
        """Set the state of an untrained model to that of the checkpoint, if this is to resume a run. `log` is told from
        where training continues. Raises BadInput if the checkpoint does not fit.
        """
        if not self.resume:
            return
        if not self.checkpoint.exists():
            log(f"There is no checkpoint in {self.path}: starting from the beginning.")
            return
        arrays, saved = self._saved()
        groups = {group: {name.removeprefix(group): array for name, array in arrays.items() if name.startswith(group)}
                  for group in ("model.", "optimizer.", "history.")}
        try:
            state.model.load_state_dict(groups["model."])
            state.optimizer.load_state_dict(groups["optimizer."])
            state.rng.bit_generator.state = saved["rng"]
            state.history = pd.DataFrame(groups["history."])[saved["columns"]].to_dict("records")
            state.step, state.counts = saved["step"], saved["counts"]
        except (KeyError, ValueError, TypeError) as error:
            raise BadInput(f"{self.checkpoint}: does not fit ({error}): --overwrite starts again") from None
        epochs = len(state.history)
        log(f"Continuing after {f'step {state.step} of epoch {epochs + 1}' if state.step else f'epoch {epochs}'}.")

    def follow(self, records: Generator[dict | None, None, None], state: TrainingState,
               every: float = 5.0) -> pd.DataFrame:
        """Run the generator `records`, which is `train(state, ...)` or passes on what that yields, to its end, and
        return the history as a table. The state is saved every so many seconds, and at the end.

        On the first Ctrl-C, SIGTERM or SIGHUP the current step is finished, the state is saved, and Interrupted is
        raised. The second stops at once and leaves the last checkpoint as it is.
        """
        written = time.monotonic()
        # closing: the progress bar is gone before anything else is printed
        with closing(records), _deferred_interrupt() as interrupts:
            for _ in records:
                if interrupts:
                    break
                if time.monotonic() - written >= every:
                    self.save(state)
                    written = time.monotonic()
            self.save(state)  # the figures are drawn next, and that can be interrupted too
            if interrupts:
                raise Interrupted("--resume")
        return pd.DataFrame(state.history)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint. Raises Diverged, and leaves the last one as it is, if a number is not finite."""
        table = pd.DataFrame(state.history)
        metadata = {"config": self.config, "rng": state.rng.bit_generator.state, "columns": list(table),
                    "step": state.step, "counts": state.counts}
        arrays = {f"model.{name}": array for name, array in state.model.state_dict().items()}
        arrays |= {f"optimizer.{name}": array for name, array in state.optimizer.state_dict().items()}
        arrays |= {f"history.{name}": table[name].to_numpy() for name in table}
        if wrong := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            raise Diverged(f"after epoch {len(table)}, step {state.step}: not finite: {', '.join(wrong)}")
        write(self.checkpoint, pack(arrays, metadata))

    def finish(self, files: dict[str, str | bytes], metrics: dict) -> None:
        """Write all results, `metrics.json` last, and remove the checkpoint. Raises Diverged, with nothing written, if
        a metric is not finite.
        """
        write_all(self.path, {**files, **run_files(self.config, metrics)}, mark="metrics.json")
        self.checkpoint.unlink(missing_ok=True)


def run_files(config: dict, metrics: dict) -> dict[str, str]:
    """The two files that every finished run has, `metrics.json` last. Raises Diverged if a metric is not finite."""
    try:
        return {"config.json": json.dumps(config, indent=2) + "\n", "metrics.json": as_json(metrics)}
    except ValueError as error:
        raise Diverged(f"a metric is not finite: {error}") from None


@contextmanager
def _deferred_interrupt() -> Iterator[list]:
    """Inside, the first Ctrl-C, or another signal to stop, is only added to the list that is yielded; the second is the
    usual KeyboardInterrupt.
    """
    interrupts = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield interrupts
        return

    def defer(number, frame):
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)
        print("\nStopping after this step; Ctrl-C again stops now.", file=sys.stderr)

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # nohup ignores SIGHUP
    for number in heard:
        signal.signal(number, defer)
    try:
        yield interrupts
    finally:
        for number in heard:
            signal.signal(number, before[number])

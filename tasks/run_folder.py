"""The folder of a run: what is in it, when it may be written to, and how a run that was stopped goes on.

Every file is written beside and renamed into place. `metrics.json` comes last and marks the run as finished;
until then `checkpoint.safetensors` holds all that is needed to go on: weights, the optimiser's state, the
random state, the history.

Read next: covid.py.
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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy

from data import BadInput
from nn import Module, Optimizer
from tasks.training import Diverged


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and the same command goes on with what is saved. Its arguments: the options to add to it."""


def write(path: Path, content: str | bytes) -> None:
    """Put content into a file; at every moment it is whole, either the old one or the new one."""
    write_all(path.parent, {path.name: content})


def write_all(folder: Path, files: dict[str, str | bytes], mark: str | None = None) -> None:
    """Put files into a folder. All are on the disk, with .tmp behind their names, before the first is renamed: a full
    disk changes nothing. `mark`, the last of them, says that the others are complete: an old one is removed before
    the first of them is replaced. BadInput if the folder cannot be written.
    """
    beside = {name: folder / f"{name}.tmp" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, content in files.items():
                with open(beside[name], "wb") as file:
                    file.write(content.encode() if isinstance(content, str) else content)
                    file.flush()
                    os.fsync(file.fileno())
            if mark:
                (folder / mark).unlink(missing_ok=True)
            for name in files:
                os.replace(beside[name], folder / name)
            if os.name == "posix":  # the new names are on the disk when the folder is
                number = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
        finally:
            for path in beside.values():
                path.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); what was saved before is as it was") from None


@dataclass
class RunFolder:
    """The folder `path` for a run of `config`, a dictionary of all that decides the run's numbers.

    Raises BadInput, before anything is written, if the folder cannot be written, or if it holds something that this
    run would replace: a finished run or an unfinished one (unless `overwrite`), another configuration (with
    `resume`), or files that are none of ours. `resume` goes on from the checkpoint; without one it starts.

    A finished run that is overwritten stays as it is while the new one trains, beside the new one's checkpoint, and
    `resume` then goes on with the new one. Its files are replaced when all the new ones are on the disk, and in
    that moment the folder is unfinished: no mixture of both looks like a result. Files of other names stay.
    """

    path: Path
    config: dict
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self):
        path, unfinished = self.path, self.checkpoint.exists()
        if self.resume and self.overwrite:
            raise BadInput("--resume goes on and --overwrite starts again: give one of them")
        if os.path.lexists(path) and not path.is_dir():
            raise BadInput(f"--out: {path} is not a folder")
        above = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        try:
            tempfile.TemporaryFile(dir=above).close()  # permissions do not tell all: a disk may be read-only
        except OSError as error:
            raise BadInput(f"--out: {path} cannot be written: {error.strerror} ({above})") from None
        left = {file.name for file in path.iterdir()} - {f"{self.checkpoint.name}.tmp"} if path.exists() else set()
        if left and not (self.finished or unfinished):
            raise BadInput(f"--out: {path} is not empty and not the folder of a run: choose another")
        if self.resume and unfinished:
            saved = self._saved()["config"]
            if others := [key for key in saved | self.config if saved.get(key) != self.config.get(key)]:
                raise BadInput(f"--resume: the run in {path} has another {', '.join(others)}: give it the same options")
        elif self.resume and self.finished:
            raise BadInput(f"--resume: the run in {path} is finished already")
        elif unfinished and not self.overwrite:
            raise BadInput(f"--out: {path} holds an unfinished run: --resume goes on, --overwrite starts again")
        elif self.finished and not self.overwrite:
            raise BadInput(f"--out: {path} holds a finished run: --overwrite replaces it, --out DIR keeps both")

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind, error, trace) -> None:
        """A Ctrl-C that finds a checkpoint of this run is an Interrupted: the run can go on."""
        if kind is KeyboardInterrupt and self._can_go_on():
            raise Interrupted("--resume") from None

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").exists()

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def _saved(self) -> dict:
        """What the checkpoint says about itself: {"config": ..., "rng": ..., "columns": ..., "step": ...}."""
        try:
            with safetensors.safe_open(self.checkpoint, "numpy") as file:
                saved = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            if missing := {"config", "rng", "columns", "step"} - saved.keys():
                raise ValueError(f"without {', '.join(sorted(missing))}")
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise BadInput(f"{self.checkpoint}: is damaged ({error}): --overwrite starts again") from None
        return saved

    def _can_go_on(self) -> bool:
        try:
            return self._saved()["config"] == self.config  # it may be of the run that this one overwrites
        except BadInput:
            return False

    def restore(self, model: Module, optimizer: Optimizer, rng: np.random.Generator,
                log: Callable[[str], None] = print) -> tuple[list[dict], int]:
        """Set model, optimiser and generator to where the run was stopped. Returns the history of its whole epochs,
        and how many steps of the next one were done; [], 0 for a fresh start. BadInput if the checkpoint does not fit.
        """
        if not self.resume:
            return [], 0
        if not self.checkpoint.exists():
            log(f"There is no checkpoint in {self.path}: starting from the beginning.")
            return [], 0
        saved, arrays = self._saved(), safetensors.numpy.load_file(self.checkpoint)
        parts = {part: {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
                 for part in ("model.", "optimizer.", "history.")}
        try:
            model.load_state_dict(parts["model."])
            optimizer.load_state_dict(parts["optimizer."])
            rng.bit_generator.state = saved["rng"]
            history = pd.DataFrame(parts["history."])[saved["columns"]].to_dict("records")
        except (KeyError, ValueError, TypeError) as error:
            raise BadInput(f"{self.checkpoint}: does not fit ({error}): --overwrite starts again") from None
        step = f"step {saved['step']} of epoch {len(history) + 1}" if saved["step"] else f"epoch {len(history)}"
        log(f"Going on after {step}.")
        return history, saved["step"]

    def follow(self, records: Generator[dict | None, None, None], history: list[dict], step: int, model: Module,
               optimizer: Optimizer, rng: np.random.Generator, every: float = 5.0) -> pd.DataFrame:
        """Go through what `train` yields, adding records to the history, and return it as a table. The state is saved
        every so many seconds, and at the end.

        The first Ctrl-C is waited with until a step is done: then the state is saved, and Interrupted raised. The
        second stops at once, with the last checkpoint as it is.
        """
        written = time.monotonic()
        with closing(records), _patience() as asked_to_stop:  # closing: the bar is gone before anything else is said
            for record in records:
                step = step + 1 if record is None else 0
                if record is not None:
                    history.append(record)
                if asked_to_stop:
                    break
                if time.monotonic() - written >= every:
                    self.save(history, step, model, optimizer, rng)
                    written = time.monotonic()
            self.save(history, step, model, optimizer, rng)  # drawing the figures can be stopped, too
            if asked_to_stop:
                raise Interrupted("--resume")
        return pd.DataFrame(history)

    def save(self, history: list[dict], step: int, model: Module, optimizer: Optimizer,
             rng: np.random.Generator) -> None:
        """Write a checkpoint: all that decides how training goes on after so many steps beyond the history. Diverged,
        with the last one as it is, if a number in it is not finite.
        """
        table = pd.DataFrame(history)
        metadata = {"config": self.config, "rng": rng.bit_generator.state, "columns": list(table), "step": step}
        arrays = {f"model.{name}": array for name, array in model.state_dict().items()}
        arrays |= {f"optimizer.{name}": array for name, array in optimizer.state_dict().items()}
        arrays |= {f"history.{name}": table[name].to_numpy() for name in table}
        if wrong := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            raise Diverged(f"after epoch {len(history)}, step {step}: not finite: {', '.join(wrong)}")
        metadata = {key: json.dumps(value) for key, value in metadata.items()}
        write(self.checkpoint, safetensors.numpy.save(arrays, metadata))

    def finish(self, files: dict[str, str | bytes], metrics: dict) -> None:
        """Write all results, `metrics.json` last, and drop the checkpoint. Diverged, with nothing written, if a metric
        is not finite.
        """
        try:
            numbers = json.dumps(metrics, indent=2, allow_nan=False)
        except ValueError as error:
            raise Diverged(f"a metric is not finite: {error}") from None
        last = {"config.json": json.dumps(self.config, indent=2) + "\n", "metrics.json": numbers + "\n"}
        write_all(self.path, files | last, mark="metrics.json")
        self.checkpoint.unlink(missing_ok=True)


@contextmanager
def _patience() -> Iterator[list]:
    """Inside, the first Ctrl-C is only noted, in the list; the second is the usual KeyboardInterrupt."""
    noted = []
    if threading.current_thread() is not threading.main_thread():  # no other may have a handler of signals
        yield noted
        return

    def note(number, frame):
        if noted:
            raise KeyboardInterrupt
        noted.append(number)
        print("\nStopping after this step; Ctrl-C again stops now.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)

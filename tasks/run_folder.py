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
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy

from data import BadInput
from nn import Module, Optimizer


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and there is a checkpoint from which the run can go on."""


def write(path: Path, content: str | bytes) -> None:
    """Put content into a file; at every moment it is whole, either the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        if os.name == "posix":  # the new name is on the disk when the folder is
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        beside.unlink(missing_ok=True)


@dataclass
class RunFolder:
    """The folder `path` for a run of `config`, a dictionary of all that decides the run's numbers.

    Raises BadInput, before anything is written, if the folder holds something that this run would replace: a
    finished run or an unfinished one (unless `overwrite`), another configuration (with `resume`), or files that
    are none of ours.
    """

    path: Path
    config: dict
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self):
        path, saved = self.path, self._saved()
        if path.exists() and not path.is_dir():
            raise BadInput(f"--out: {path} is a file, not a folder")
        above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not os.access(above, os.W_OK):
            raise BadInput(f"--out: {path} cannot be written: no permission in {above}")
        left = {file.name for file in path.iterdir()} - {self.checkpoint.name + ".tmp"} if path.exists() else set()
        if left and not (self.finished or saved):
            raise BadInput(f"--out: {path} is not empty and not the folder of a run: choose another")
        if self.resume and saved and saved["config"] != self.config:
            others = [key for key in self.config if saved["config"].get(key) != self.config[key]]
            raise BadInput(f"--resume: the run in {path} has another {', '.join(others)}: give it the same options")
        if self.resume and self.finished and not saved:
            raise BadInput(f"--resume: the run in {path} is finished already")
        if not (self.resume or self.overwrite):
            if self.finished:
                raise BadInput(f"--out: {path} holds a finished run: --overwrite replaces it, --out DIR keeps both")
            if saved:
                raise BadInput(f"--out: {path} holds an unfinished run: --resume goes on, --overwrite starts again")

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind, error, trace) -> None:
        """A Ctrl-C that finds a checkpoint is an Interrupted: the run can go on."""
        if kind is KeyboardInterrupt and self.checkpoint.exists():
            raise Interrupted from None

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").exists()

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def _saved(self) -> dict | None:
        """What a checkpoint says about itself: {"config": ..., "rng": ...}."""
        if not self.checkpoint.is_file():
            return None
        try:
            with safetensors.safe_open(self.checkpoint, "numpy") as file:
                return {key: json.loads(value) for key, value in file.metadata().items()}
        except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
            raise BadInput(f"{self.checkpoint}: is damaged ({error}): remove it to start again") from None

    def restore(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> tuple[list[dict], int]:
        """Set model, optimiser and generator to where the run was stopped. Returns the history of its whole epochs,
        and how many steps of the next one were done; [], 0 for a fresh start.
        """
        saved = self._saved()
        if not (self.resume and saved):
            return [], 0
        arrays = safetensors.numpy.load_file(self.checkpoint)
        parts = {part: {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
                 for part in ("model.", "optimizer.", "history.")}
        model.load_state_dict(parts["model."])
        optimizer.load_state_dict(parts["optimizer."])
        rng.bit_generator.state = saved["rng"]
        return pd.DataFrame(parts["history."])[saved["columns"]].to_dict("records"), saved["step"]

    def follow(self, records: Iterable[dict | None], history: list[dict], step: int, model: Module,
               optimizer: Optimizer, rng: np.random.Generator, every: float = 5.0) -> pd.DataFrame:
        """Go through what `train` yields, adding records to the history, and return it as a table. The state is saved
        every so many seconds, and at the end.

        The first Ctrl-C is waited with until a step is done: then the state is saved, and Interrupted raised. The
        second stops at once, with the last checkpoint as it is.
        """
        written = time.monotonic()
        with _patience() as asked_to_stop:
            for record in records:
                step = step + 1 if record is None else 0
                if record is not None:
                    history.append(record)
                if asked_to_stop or time.monotonic() - written >= every:
                    self.save(history, step, model, optimizer, rng)
                    written = time.monotonic()
                if asked_to_stop:
                    raise Interrupted
            self.save(history, step, model, optimizer, rng)  # drawing the figures can be stopped, too
        return pd.DataFrame(history)

    def save(self, history: list[dict], step: int, model: Module, optimizer: Optimizer,
             rng: np.random.Generator) -> None:
        """Write a checkpoint: all that decides how training goes on after so many steps beyond the history."""
        table = pd.DataFrame(history)
        metadata = {"config": self.config, "rng": rng.bit_generator.state, "columns": list(table), "step": step}
        arrays = {f"model.{name}": array for name, array in model.state_dict().items()}
        arrays |= {f"optimizer.{name}": array for name, array in optimizer.state_dict().items()}
        arrays |= {f"history.{name}": table[name].to_numpy() for name in table}
        metadata = {key: json.dumps(value) for key, value in metadata.items()}
        write(self.checkpoint, safetensors.numpy.save(arrays, metadata))

    def finish(self, files: dict[str, str | bytes], metrics: dict) -> None:
        """Write all results, `metrics.json` last, and drop the checkpoint."""
        for name, content in files.items():
            write(self.path / name, content)
        write(self.path / "config.json", json.dumps(self.config, indent=2) + "\n")
        write(self.path / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        self.checkpoint.unlink(missing_ok=True)


@contextmanager
def _patience() -> Iterator[list]:
    """Inside, the first Ctrl-C is only noted, in the list; the second is the usual KeyboardInterrupt."""
    noted = []

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

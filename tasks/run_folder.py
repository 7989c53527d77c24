"""The folder of a run: what is in it, when it may be written to, and how a run that was stopped goes on.

Every file is written beside and renamed into place. `metrics.json` comes last and marks the run as finished;
until then `checkpoint.safetensors` holds all that is needed to go on: weights, the optimiser's state, the
random state, the history.

Read next: covid.py.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy

from data import BadInput
from nn import Module, Optimizer


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and the state is saved."""


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
        self._state, self._written = None, time.monotonic()
        path, saved = self.path, self._saved()
        if path.exists() and not path.is_dir():
            raise BadInput(f"--out: {path} is a file, not a folder")
        above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not os.access(above, os.W_OK):
            raise BadInput(f"--out: {path} cannot be written: no permission in {above}")
        if path.exists() and any(path.iterdir()) and not (self.finished or saved):
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

    def restore(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> list[dict]:
        """Set model, optimiser and generator to where the run was stopped, and return its history; [] for a
        fresh start.
        """
        saved = self._saved()
        if not (self.resume and saved):
            return []
        arrays = safetensors.numpy.load_file(self.checkpoint)
        parts = {part: {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
                 for part in ("model.", "optimizer.", "history.")}
        model.load_state_dict(parts["model."])
        optimizer.load_state_dict(parts["optimizer."])
        rng.bit_generator.state = saved["rng"]
        return pd.DataFrame(parts["history."])[saved["columns"]].to_dict("records")

    def follow(self, records: Iterable[dict], history: list[dict], model: Module, optimizer: Optimizer,
               rng: np.random.Generator) -> pd.DataFrame:
        """Add training's records to the history, keeping the state after each; returns the history as a table.

        At Ctrl-C it raises Interrupted with the state saved, or KeyboardInterrupt where there is none yet.
        """
        try:
            for record in records:
                history.append(record)
                self.keep(history, model, optimizer, rng)
        except KeyboardInterrupt:
            self.interrupt()
        return pd.DataFrame(history)

    def keep(self, history: list[dict], model: Module, optimizer: Optimizer, rng: np.random.Generator,
             every: float = 5.0) -> None:
        """Note the state after an epoch, and write it to the checkpoint if the last time is so many seconds ago.

        What is saved is always the state after a whole epoch, so that a run that goes on repeats the one that
        was not stopped.
        """
        arrays = {f"model.{k}": v for k, v in model.state_dict().items()}
        arrays |= {f"optimizer.{k}": v for k, v in optimizer.state_dict().items()}
        self._state = arrays, list(history), rng.bit_generator.state
        if time.monotonic() - self._written >= every:
            self.save()

    def interrupt(self) -> NoReturn:
        """At Ctrl-C: save the state that was noted last and raise Interrupted; KeyboardInterrupt if there is
        none yet.
        """
        if self._state is None:
            raise KeyboardInterrupt
        self.save()
        raise Interrupted

    def save(self) -> None:
        """Write the state that was noted last to the checkpoint."""
        arrays, history, rng = self._state
        table = pd.DataFrame(history)
        metadata = {"config": self.config, "rng": rng, "columns": list(table)}
        arrays = arrays | {f"history.{name}": table[name].to_numpy() for name in table}
        metadata = {key: json.dumps(value) for key, value in metadata.items()}
        write(self.checkpoint, safetensors.numpy.save(arrays, metadata))
        self._written = time.monotonic()

    def finish(self, files: dict[str, str | bytes], metrics: dict) -> None:
        """Write all results, `metrics.json` last, and drop the checkpoint."""
        for name, content in files.items():
            write(self.path / name, content)
        write(self.path / "config.json", json.dumps(self.config, indent=2) + "\n")
        write(self.path / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        self.checkpoint.unlink(missing_ok=True)

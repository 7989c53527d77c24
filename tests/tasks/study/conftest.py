"""A tiny study on simulated cases and noise, by two processes, that several files of tests look at."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from data import faces
from tasks.study import command, jobs
from tasks.study.jobs import StudyOptions


def tiny_grid(folder, patch):
    """Few short runs in place of the grid; the options that choose them."""
    (folder / "noise").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (24, 32, 32), np.uint8)):
        Image.fromarray(pixels).save(folder / "noise" / f"{i}.png")
    few = {"EPOCHS": 3, "SPLITS": ("time",), "SEEDS": (0,), "WEIGHTS": ("learned",),
           "QUICK_SWEEP": (3.0,), "QUICK_DIVISOR": 100}
    patch.setattr(faces, "CACHE", folder / "cache")
    for name, value in few.items():
        patch.setattr(jobs, name, value)
    return StudyOptions(quick=True, cells=("gru",), L=(3, 4), workers=2, csv="simulated",
                        images=str(folder / "noise"), out=folder / "study")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "page", lambda found: "the page")
    return tiny_grid(tmp_path, monkeypatch)


def start(options, **others):
    """Run the study; what `run` returns, and what was said."""
    said = io.StringIO()
    with np.errstate(all="ignore"):  # as in run.py
        done = command.run(dataclasses.replace(options, **others), Console(file=said, width=200))
    return done, said.getvalue()


def folders(out):
    return {path.name: path for path in out.iterdir() if path.is_dir()}


def content(folder):
    """The bytes of a run's files, without the times in them."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["history.csv"] = pd.read_csv(folder / "history.csv").drop(columns="seconds").to_csv()
    files["metrics.json"] = {**json.loads(files["metrics.json"]), "seconds_per_epoch": None}
    return files


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny study by two workers: its options, what `run` returned, what was said, and what the page was made of."""
    shown, page = [], command.page
    with pytest.MonkeyPatch.context() as patch:
        options = tiny_grid(tmp_path_factory.mktemp("finished"), patch)
        patch.setattr(command, "page", lambda found: shown.append(found) or page(found))
        done, said = start(options)
    return options, done, said, shown

"""The study command: a tiny grid on simulated cases and noise, in real processes, which is stopped and goes on."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from data import BadInput
from tasks.covid import train as covid
from tasks.study import command as study
from tasks.vae import results as vae_results
from tasks.vae import train as vae
from tests.tasks.study.conftest import content, folders, start
from tests.tasks.study.test_workers import job, sleep

ROOT = Path(__file__).parents[3]
FILES = {"config.json", "history.csv", "metrics.json", "model.safetensors"}


def test_every_run_has_a_folder_and_a_place_on_the_page(finished):
    options, done, said, (shown,) = finished
    assert done is True
    runs = folders(options.out)
    assert sorted(re.sub("-[0-9a-f]{8}$", "", name) for name in runs) == sorted([
        "covid-gru-L3-time-seed-0", "covid-gru-L4-time-seed-0", "vae-kl-learned", "vae-kl-1-per-channel",
        "vae-kl-3"])
    for name, folder in runs.items():
        kind = {"probabilities.csv"} if name.startswith("covid") else {f"{name}.png" for name in vae_results.TITLES}
        assert {path.name for path in folder.iterdir()} == FILES | kind
    assert [run.config["L"] for run in shown.covid] == [3, 4]
    assert [(run.config["kl"], run.config["per_channel"]) for run in shown.vae] == [("learned", False), (1, True)]
    assert [run.config["kl"] for run in shown.sweep] == [3] and "Why large weights silence the code" in (
        options.out / "index.html").read_text()
    assert shown.failed == {} and shown.cases.counts.simulated
    assert {path.name for path in options.out.iterdir()} == {*runs, "faces.html", "index.html", "study.json"}
    assert "5/5 runs, 0 s left" in said and "5 of 5 runs are on the page" in said


def test_the_page_says_how_it_was_made_and_that_the_cases_are_simulated(finished):
    options, _, _, (shown,) = finished
    made = shown.provenance
    assert made == json.loads((options.out / "study.json").read_text())
    assert made["command"] == ("python run.py study --quick --cells gru --L 3 4 --workers 2 --csv simulated "
                               f"--images {options.images} --out {options.out}")
    assert made["seeds"] == [0] and made["workers"] == 2 and made["kept"] == 0 and made["seconds"] > 0
    assert made["versions"]["numpy"] == np.__version__ and made["versions"]["python"] == sys.version.split()[0]
    page = (options.out / "index.html").read_text()
    assert "simulated" in page and np.__version__ in page


def test_a_run_has_the_numbers_of_the_command_for_one_run(finished):
    options, *_ = finished
    alone = Console(file=io.StringIO())
    with np.errstate(all="ignore"):
        covid.run(covid.CovidOptions(cell="gru", L=4, csv="simulated", epochs=3, out=Path("covid")), alone)
        vae.run(vae.VaeOptions(kl="learned", images=options.images, epochs=15, out=Path("vae")), alone)
    runs = folders(options.out)
    for name, out in (("covid-gru-L4-time-seed-0", Path("covid")), ("vae-kl-learned", Path("vae"))):
        folder, = [path for run, path in runs.items() if re.fullmatch(f"{name}-[0-9a-f]{{8}}", run)]
        found, expected = content(folder), content(out)
        found["metrics.json"].pop("two_sample", None)  # only the study looks at samples beside images
        tables = {file for file in found if not file.endswith(".png")}
        assert {file: found[file] for file in tables} == {file: expected[file] for file in tables}


def test_the_pictures_are_bare_grids(finished):
    options, *_ = finished
    for name, rows, columns in (("reconstructions", 4, 10), ("prior_samples", 5, 10), ("posterior_samples", 6, 10),
                                ("interpolation", 6, 10), ("traversal", 8, 9)):
        folder, = options.out.glob("vae-kl-learned-*")
        with Image.open(folder / f"{name}.png") as picture:
            pixels = np.asarray(picture)
        assert pixels.shape == (rows * 34 - 2, columns * 34 - 2, 3)
        assert (pixels[32:34] == 255).all() and (pixels[:, 32:34] == 255).all()


def test_neither_the_number_of_workers_nor_the_order_changes_a_number(finished, tiny, monkeypatch):
    options, work = finished[0], study.work
    monkeypatch.setattr(study, "work", lambda jobs, *others: work(
        [dataclasses.replace(job, cost=1 / job.cost) for job in jobs], *others))  # the other way round
    assert start(options, workers=1, out=tiny.out)[0] is True
    assert {name: content(path) for name, path in folders(tiny.out).items()} == {
        name: content(path) for name, path in folders(options.out).items()}


@pytest.mark.parametrize("only, sequences, images", [("covid", 2, 0), ("vae", 0, 3)])
def test_what_is_finished_is_kept_and_one_study_can_be_left_out(finished, tiny, monkeypatch, only, sequences, images):
    shutil.copytree(finished[0].out, tiny.out)
    shown = []
    monkeypatch.setattr(study, "page", lambda found: shown.append(found) or "the page")
    monkeypatch.setattr(study, "work", lambda *arguments: pytest.fail("nothing is left to do"))
    done, said = start(tiny, only=only, images=finished[0].images)
    assert done is True and (tiny.out / "index.html").read_text() == "the page"
    assert (len(shown[0].covid), len(shown[0].vae + shown[0].sweep)) == (sequences, images)
    assert (shown[0].cases is None) == (only == "vae")
    assert f"{sequences + images} runs, {sequences + images} of them finished before." in said


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.fixture
def in_a_thread(monkeypatch):
    """In place of processes, which take a second to start. A list of how many were asked for."""
    counts = []
    monkeypatch.setattr(study, "processes", lambda count: counts.append(count) or ThreadPoolExecutor(1))
    return counts


def test_a_run_that_fails_does_not_stop_the_others(tiny, in_a_thread, monkeypatch):
    shown = []
    monkeypatch.setattr(study, "page", lambda found: shown.append(found) or "the page")
    done, said = start(tiny, only="covid", L=(3, 500))
    assert done is False
    assert [run.config["L"] for run in shown[0].covid] == [3]
    (name, why), = shown[0].failed.items()
    assert name == "covid-gru-L500-time-seed-0" and "500" in why and "\n" not in why
    assert f"FAILED  {name}: {why}\n" in said and "1 of 2 runs are on the page" in said
    assert not list(tiny.out.glob("*L500*"))


@pytest.mark.parametrize("prepare, says", [
    (lambda out: out.write_text(""), "is a file, not a folder"),
    (lambda out: (out / "photos").mkdir(parents=True), "not the folder of a study"),
])
def test_a_folder_that_is_no_study_s_is_refused_and_left_alone(tiny, prepare, says):
    prepare(tiny.out)
    before = sorted(tiny.out.parent.rglob("*"))
    with pytest.raises(BadInput, match=says):
        start(tiny, only="covid")
    assert sorted(tiny.out.parent.rglob("*")) == before


@pytest.mark.parametrize("name, damage, says", [
    ("metrics.json", "{", "is damaged"),
    ("history.csv", "", "is damaged"),
    ("config.json", "{}", "config.json is not that of the run"),
])
def test_a_run_that_was_changed_is_not_shown(finished, tiny, name, damage, says):
    shutil.copytree(finished[0].out, tiny.out)
    folder = sorted(tiny.out.glob("covid-gru-L3-*"))[0]
    (folder / name).write_text(damage)
    with pytest.raises(BadInput, match=says) as error:
        start(tiny, only="covid")
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("options, says", [
    ({"workers": 0}, "--workers"), ({"until": "yesterday"}, "until"), ({"csv": "missing.csv"}, "missing.csv"),
    ({"images": "missing"}, "missing"),
])
def test_a_wrong_option_writes_nothing(tiny, options, says):
    with pytest.raises(BadInput, match=says):
        start(tiny, **options)
    assert not tiny.out.exists()


def three_jobs(seconds):
    return [job(sleep, "a", cost=2), job(sleep, "b", seconds=seconds), job(sleep, "c", seconds=seconds)]


SCRIPT = """
import signal
import sys
from pathlib import Path
from rich.console import Console
from tasks.study import command as study
from tasks.common.stops import Interrupted
from tasks.study.jobs import StudyOptions
from tests.tasks.study.test_command import three_jobs

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    study.sequence_jobs = lambda options, log: (three_jobs(seconds=100), None)
    try:
        study.run(StudyOptions(only="covid", workers=2, out=Path("study")), Console())
    except Interrupted as stop:
        sys.exit(f"Interrupted{stop.args}")
"""


def starting(process):
    process.stdout.readline()  # so many runs, of which so many are finished
    time.sleep(0.3)


def at_work(process):
    while not list(Path("study").glob("a-*/metrics.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("when, stop, status, complaint", [
    # Ctrl-C, which the workers hear, too
    (starting, lambda process: os.killpg(process.pid, signal.SIGINT), 1, r"Interrupted\(\)\n"),
    # multiprocessing may have something to say
    (at_work, lambda process: process.kill(), -signal.SIGKILL, ".*"),
], ids=["Ctrl-C", "killed"])
def test_a_study_that_is_stopped_leaves_no_process_and_goes_on(tiny, in_a_thread, monkeypatch, when, stop, status,
                                                               complaint):
    Path("script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, "script.py"], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    when(process)
    stop(process)
    said, complaints = process.communicate(timeout=20)  # which ends when nobody is left that could say something
    assert process.returncode == status and re.fullmatch(complaint, complaints, re.DOTALL), (said, complaints)
    kept = {path: path.stat().st_mtime_ns for path in Path("study").glob("*/metrics.json")}
    assert {path.parent.name[0] for path in kept} == (set() if when is starting else {"a"})
    assert not Path("study", "index.html").exists()

    monkeypatch.setattr(study, "sequence_jobs", lambda options, log: (three_jobs(seconds=0), None))
    done, said = start(tiny, only="covid", out=Path("study"))
    assert done is True and f"3 runs, {len(kept)} of them finished before." in said
    assert len(folders(Path("study"))) == 3 and all(path.stat().st_mtime_ns == when for path, when in kept.items())

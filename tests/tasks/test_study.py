"""The study command: a tiny grid on simulated cases and noise, in real processes, one of which is killed; and on a real
Dask cluster, of which a worker is killed."""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from data import BadInput, faces
from tasks import covid, report, study, vae, vae_results
from tasks.study import Job, StudyOptions
from tasks.training import Diverged

ROOT = Path(__file__).resolve().parents[2]
FILES = {"config.json", "history.csv", "metrics.json", "model.safetensors"}


@contextmanager
def tiny_grid(folder, **constants):
    """Few short runs in place of the grid; the options that choose them."""
    (folder / "noise").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (24, 32, 32), np.uint8)):
        Image.fromarray(pixels).save(folder / "noise" / f"{i}.png")
    few = {"CELLS": ("gru",), "LENGTHS": (3, 4), "SPLITS": ("time",), "SEEDS": (0,), "WEIGHTS": ("learned",),
           "HURRY": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "CACHE", folder / "cache")
        for name, value in (few | constants).items():
            patch.setattr(study, name, value)
        yield StudyOptions(quick=True, workers=2, csv="simulated", images=str(folder / "noise"), out=folder / "study")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", lambda found: "the page")
    with tiny_grid(tmp_path) as options:
        yield options


def start(options, **others):
    """Run the study; what `run` returns, and what was said."""
    said = io.StringIO()
    with np.errstate(all="ignore"):  # as in run.py
        done = study.run(StudyOptions(**{**vars(options), **others}), Console(file=said, width=200))
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
    shown, page = [], report.page
    with tiny_grid(tmp_path_factory.mktemp("finished")) as options, pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "page", lambda found: shown.append(found) or page(found))
        done, said = start(options)
    return options, done, said, shown


# -- the grid -----------------------------------------------------------------------------------------------------


def test_the_grid_is_that_of_the_homework():
    jobs, cases = study.sequence_jobs(StudyOptions(csv="simulated"), lambda line: None)
    grid = {(job.options.cell, job.options.L, job.options.split, job.options.seed) for job in jobs}
    assert grid == {(cell, L, split, seed) for cell in ("rnn", "lstm", "gru") for L in (3, 5, 7, 9, 10, 15, 20, 30)
                    for split in ("time", "random") for seed in (0, 1, 2)}
    assert len(jobs) == len({job.folder for job in jobs}) == 144 and {job.options.epochs for job in jobs} == {300}
    first, *_, last = sorted((-job.cost, job.options.cell, job.options.L) for job in jobs)
    assert first[1:] == ("lstm", 30) and last[1:] == ("rnn", 3)
    assert cases.counts.simulated and set(cases.kept) < set(cases.correlations) and cases.threshold == 0.5

    quick, _ = study.sequence_jobs(StudyOptions(csv="simulated", quick=True), lambda line: None)
    assert len(quick) == 48 and {(job.options.epochs, job.options.seed) for job in quick} == {(100, 0)}
    assert not {job.folder for job in quick} & {job.folder for job in jobs}


def test_the_images_are_learned_with_every_weight(monkeypatch):
    drawn = np.zeros((700, 64, 64, 3), np.uint8)
    monkeypatch.setattr(vae, "load_drawn_faces", lambda log: (drawn, None))
    jobs = study.image_jobs(StudyOptions(), lambda line: None)
    assert [(job.options.kl, job.options.per_channel) for job in jobs] == [
        (0, False), (1, False), (100, False), ("learned", False), ("anneal", False), (1, True)]
    assert {job.options.epochs for job in jobs} == {375}  # 1,500 steps of 128 images
    assert len({job.folder for job in jobs}) == 6
    quick = study.image_jobs(StudyOptions(quick=True), lambda line: None)
    assert {job.options.epochs for job in quick} == {125}


def test_a_folder_is_named_after_the_configuration_and_the_data():
    def folder(**config):
        return Job("a", {"L": 5, "data_sha256": "x"} | config, None, None, None, 1).folder

    assert folder() == folder() and folder().startswith("a-")
    assert len({folder(), folder(L=6), folder(data_sha256="y")}) == 3


# -- a whole study ------------------------------------------------------------------------------------------------


def test_every_run_has_a_folder_and_a_place_on_the_page(finished):
    options, done, said, (shown,) = finished
    assert done is True
    runs = folders(options.out)
    assert sorted(re.sub("-[0-9a-f]{8}$", "", name) for name in runs) == sorted([
        "covid-gru-L3-time-seed-0", "covid-gru-L4-time-seed-0", "vae-kl-learned", "vae-kl-1-per-channel"])
    for name, folder in runs.items():
        kind = {"probabilities.csv"} if name.startswith("covid") else {f"{name}.png" for name in vae_results.TITLES}
        assert {path.name for path in folder.iterdir()} == FILES | kind
    assert [run.config["L"] for run in shown.covid] == [3, 4]
    assert [(run.config["kl"], run.config["per_channel"]) for run in shown.vae] == [("learned", False), (1, True)]
    assert shown.failed == {} and shown.cases.counts.simulated
    assert {path.name for path in options.out.iterdir()} == {*runs, "index.html", "study.json"}
    assert "4/4 runs, 0 s left" in said and "4 of 4 runs are on the page" in said


def test_the_page_says_how_it_was_made_and_that_the_cases_are_simulated(finished):
    options, _, _, (shown,) = finished
    made = shown.made
    assert made == json.loads((options.out / "study.json").read_text())
    assert made["command"] == (f"python run.py study --quick --workers 2 --csv simulated --images {options.images} "
                               f"--out {options.out}")
    assert made["seeds"] == [0] and made["workers"] == 2 and made["kept"] == 0 and made["seconds"] > 0
    assert made["versions"]["numpy"] == np.__version__ and made["versions"]["python"] == sys.version.split()[0]
    page = (options.out / "index.html").read_text()
    assert "simulated" in page and np.__version__ in page


def test_a_run_has_the_numbers_of_the_command_for_one_run(finished):
    options, *_ = finished
    alone = Console(file=io.StringIO())
    with np.errstate(all="ignore"):
        covid.run(covid.Covid(cell="gru", L=4, csv="simulated", epochs=3, out=Path("covid")), alone)
        vae.run(vae.Vae(kl="learned", images=options.images, epochs=15, out=Path("vae")), alone)
    runs = folders(options.out)
    for name, out in (("covid-gru-L4-time-seed-0", Path("covid")), ("vae-kl-learned", Path("vae"))):
        folder, = [path for run, path in runs.items() if re.fullmatch(f"{name}-[0-9a-f]{{8}}", run)]
        found, expected = content(folder), content(out)
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


@pytest.mark.parametrize("only, sequences, images", [("covid", 2, 0), ("vae", 0, 2)])
def test_what_is_finished_is_kept_and_one_study_can_be_left_out(finished, tiny, monkeypatch, only, sequences, images):
    shutil.copytree(finished[0].out, tiny.out)
    shown = []
    monkeypatch.setattr(report, "page", lambda found: shown.append(found) or "the page")
    monkeypatch.setattr(study, "work", lambda *arguments: pytest.fail("nothing is left to do"))
    done, said = start(tiny, only=only, images=finished[0].images)
    assert done is True and (tiny.out / "index.html").read_text() == "the page"
    assert (len(shown[0].covid), len(shown[0].vae)) == (sequences, images)
    assert (shown[0].cases is None) == (only == "vae")
    assert f"{sequences + images} runs, of which {sequences + images} are finished already." in said


# -- what goes wrong ----------------------------------------------------------------------------------------------


def fail(options, data):
    raise RuntimeError("first\nsecond")


def die(options, data):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(options, data):
    time.sleep(options.seconds)
    return {"config.json": json.dumps({"name": data}), "history.csv": "epoch\n1\n", "metrics.json": "{}"}


def job(train, name, cost=1.0, seconds=0.0):
    return Job(name, {"name": name}, train, SimpleNamespace(seed=0, seconds=seconds), name, cost)


@pytest.fixture
def in_a_thread(monkeypatch):
    """In place of processes, which take a second to start. A list of how many were asked for."""
    counts = []
    monkeypatch.setattr(study, "processes", lambda count: counts.append(count) or ThreadPoolExecutor(1))
    return counts


def test_a_run_that_fails_does_not_stop_the_others(tiny, in_a_thread, monkeypatch):
    monkeypatch.setattr(study, "LENGTHS", (3, 500))
    shown = []
    monkeypatch.setattr(report, "page", lambda found: shown.append(found) or "the page")
    done, said = start(tiny, only="covid")
    assert done is False
    assert [run.config["L"] for run in shown[0].covid] == [3]
    (name, why), = shown[0].failed.items()
    assert name == "covid-gru-L500-time-seed-0" and "500" in why and "\n" not in why
    assert f"FAILED  {name}: {why}\n" in said and "1 of 2 runs are on the page" in said
    assert not list(tiny.out.glob("*L500*"))


def test_an_error_of_our_own_is_one_line(tiny, in_a_thread):
    failed = study.work([job(fail, "a"), job(sleep, "b")], tiny, Console(file=io.StringIO()))
    assert failed == {"a": "RuntimeError: first second"}
    assert set(study.finished([job(sleep, "b")], tiny.out)) == {"b"}


@pytest.mark.parametrize("error, words", [
    (BadInput("a.csv: no"), "a.csv: no"), (Diverged("epoch 3"), "epoch 3"), (KeyError("x"), "KeyError: 'x'"),
    (CancelledError(), "the connection to the cluster was lost"),
])
def test_the_reason_is_said_in_words(error, words):
    assert study.reason(error) == words


def test_a_worker_that_is_killed_leaves_what_is_finished(tiny):
    jobs = [job(sleep, "a", cost=3), job(die, "b", cost=2), job(sleep, "c", seconds=60)]
    failed = study.work(jobs, StudyOptions(workers=1, out=tiny.out), Console(file=io.StringIO()))
    assert set(failed) == {"b", "c"} and all("terminated abruptly" in why for why in failed.values())
    assert set(study.finished(jobs, tiny.out)) == {"a"}


def test_long_runs_are_begun_first(tiny, in_a_thread):
    jobs = [job(sleep, f"{i}", cost=cost) for i, cost in enumerate((1, 3, 2))]
    study.work(jobs, StudyOptions(workers=1, out=tiny.out), Console(file=io.StringIO()))
    made = sorted(jobs, key=lambda job: (tiny.out / job.folder / "metrics.json").stat().st_mtime_ns)
    assert [job.name for job in made] == ["1", "2", "0"]
    assert in_a_thread == [1]


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
from tasks import study
from tasks.run_folder import Interrupted
from tests.tasks.test_study import three_jobs

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    study.sequence_jobs = lambda options, log: (three_jobs(seconds=100), None)
    try:
        study.run(study.StudyOptions(only="covid", workers=2, out=Path("study")), Console())
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
    assert done is True and f"3 runs, of which {len(kept)} are finished already." in said
    assert len(folders(Path("study"))) == 3 and all(path.stat().st_mtime_ns == when for path, when in kept.items())


# -- what is said meanwhile ---------------------------------------------------------------------------------------


def test_elsewhere_than_on_a_terminal_there_are_ten_lines():
    said = io.StringIO()
    jobs = [job(sleep, f"{i}") for i in range(144)]
    shown = study.Shown(jobs, Console(file=said, width=80))
    for each in jobs:
        shown.done(each)
    lines = said.getvalue().splitlines()
    assert len(lines) == 10 and lines[-1] == "144/144 runs, 0 s left"


def test_the_time_left_follows_from_what_the_runs_cost(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(study.time, "monotonic", lambda: clock[0])
    said = io.StringIO()
    console = Console(file=said, width=80, force_terminal=True)
    jobs = [job(sleep, "long", cost=3), job(sleep, "short", cost=1)]
    shown = study.Shown(jobs, console)
    with shown.bar:
        clock[0] += 600
        shown.done(jobs[0])
        assert shown.bar.tasks[0].description == "1/2 runs, 3 min left" and shown.bar.tasks[0].percentage == 75
        clock[0] += 200
        shown.done(jobs[1])
        assert shown.bar.tasks[0].finished
    assert "2/2 runs, 0 s left" in said.getvalue()
    assert not re.search(r"left *\n", said.getvalue())  # the bar is all


# -- a cluster ----------------------------------------------------------------------------------------------------


@contextmanager
def dask(kind, *arguments, folder=ROOT):
    """A scheduler or a worker in a process of its own; `folder` is where it looks for modules."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", kind, "--no-dashboard", "--scheduler-file", "scheduler.json", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(folder=ROOT):
    """The address of a scheduler on this machine."""
    with dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-jupyter", folder=folder):
        while not Path("scheduler.json").exists():
            time.sleep(0.02)
        yield json.loads(Path("scheduler.json").read_text())["address"]


def worker():
    return dask("worker", "--nthreads", "1", "--no-nanny")


def test_a_cluster_that_loses_a_worker_loses_no_run(finished, tiny):
    with scheduler() as address, worker() as lost, worker() as other:
        def lose():
            while not list(tiny.out.glob("*/metrics.json")):
                time.sleep(0.01)
            lost.kill()

        watching = threading.Thread(target=lose)
        watching.start()
        done, _ = start(tiny, scheduler=address, images=finished[0].images)
        watching.join()
        assert done is True and lost.wait() == -signal.SIGKILL and other.poll() is None
    assert {name: content(path) for name, path in folders(tiny.out).items()} == {
        name: content(path) for name, path in folders(finished[0].out).items()}
    assert json.loads((tiny.out / "study.json").read_text())["workers"] == address


@pytest.mark.parametrize("folder, says", [(ROOT, "has no workers: start some"), ("/", "lacks this project")])
def test_a_cluster_that_cannot_work_is_refused(folder, says):
    with scheduler(folder) as address:
        with pytest.raises(BadInput, match=f"{address}.* {says}"), study.cluster(address, patience=1):
            pass


@pytest.mark.parametrize("address, says", [("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
                                           ("somewhere", "somewhere is no address such as tcp://host:8786")])
def test_an_address_where_there_is_no_cluster_is_refused(address, says):
    with pytest.raises(BadInput, match=says), study.cluster(address, patience=1):
        pass

"""The command line, as a person meets it: in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import nn
import run
from tasks.common.stops import Interrupted
from tests.children import CHECKPOINT, OUT, Child, often, results

RUN = Path(__file__).parent.parent / "run.py"


@pytest.mark.parametrize("arguments, says", [
    (["covid", "--L", "500"], "windows of 500 days"),
    (["covid", "--L", "0"], "--L: 0"),
    (["covid", "--L", "many"], "--L"),
    (["covid", "--hidden", "0"], "--hidden: 0"),
    (["covid", "--lr", "nan"], "--lr: nan"),
    (["covid", "--threshold", "2"], "--threshold: 2.0"),
    (["covid", "--cell", "cnn"], "--cell"),
    (["covid", "--until", "yesterday"], "yesterday"),
    (["covid", "--csv", "no-such-file.csv"], "no-such-file.csv"),
    (["covid", "--depth", "3"], "--depth"),
    (["covid", "--resume", "--overwrite"], "choose one"),
    (["nonsense"], "nonsense"),
    ([], "covid"),
])
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(arguments, says, capsys):
    options = ["--csv", "simulated"] if arguments[:1] == ["covid"] and "--csv" not in arguments else []
    assert run.main([*arguments, *options]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and error.startswith("run.py: ")
    assert not list(Path().iterdir())


def test_help_says_what_each_command_does_without_importing_it():
    code = "import sys, run; sys.exit(run.main(['--help']) or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=RUN.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command, (_, options) in run.COMMANDS.items():
        assert f"  {command:9}  {run.load(options).__doc__.splitlines()[0]}\n" in done.stdout


def test_help_is_not_an_error():
    child = Child("covid", "--help")
    assert child.wait() == 0 and "--threshold" in child.output


def finish(command, *options, before=None):
    child = Child(*command, *options, before=before)
    assert child.wait() == 0, child.error
    assert child.error == ""
    return results(OUT)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("straight") / "out"


@pytest.fixture
def straight(studies, kept):
    """The folder of the sequence study when nothing stops it."""
    if not kept.exists():
        finish(studies["covid"])
        shutil.move(OUT, kept)
    return kept


def test_a_run_is_not_replaced_unless_asked_to(studies, straight):
    shutil.copytree(straight, OUT)
    again = Child(*studies["covid"], "--seed", "1")
    assert again.wait() == 2 and "--overwrite" in again.error
    assert results() == results(straight)
    after = finish(studies["covid"], "--seed", "1", "--overwrite")
    assert after.keys() == results(straight).keys()
    assert after["model.safetensors"] != results(straight)["model.safetensors"]


# -- Ctrl-C -----------------------------------------------------------------------------------------------------

WAIT = "\nStopping after this step; Ctrl-C again stops now.\n"
NOTHING = "\nStopped; nothing was saved, so there is nothing to resume.\n"


def goes_on(command):
    return f"\nStopped; the state is saved. To continue: python run.py {' '.join(command)} --resume\n"


def test_ctrl_c_finishes_the_step_saves_says_how_to_go_on_and_leaves_a_clean_terminal(studies):
    ours, theirs = pty.openpty()
    command = [*studies["covid"], "--epochs", "1000000"]
    process = subprocess.Popen([sys.executable, RUN, *command], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # it is how a terminal ends
        while part := os.read(ours, 10_000):
            if b"train loss" not in text and b"train loss" in text + part:
                process.send_signal(signal.SIGINT)
            text += part
    os.close(ours)
    assert process.wait(60) == 130
    text = text.decode().replace("\r\n", "\n")
    assert WAIT.strip() in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") > 0  # the cursor is shown again
    assert text.endswith(goes_on(command)) and "\x1b" not in text[-len(goes_on(command)):]
    assert list(OUT.iterdir()) == [CHECKPOINT] and safetensors.numpy.load_file(CHECKPOINT)["optimizer.steps"] > 0


def test_the_advice_after_ctrl_c_resumes_and_never_starts_again(monkeypatch, capsys):
    def stop(options, console):
        raise Interrupted("--resume")

    monkeypatch.setattr(run, "parse", lambda arguments: (stop, None))
    for given in (["--overwrite"], ["--resume"], []):
        assert run.main(["covid", *given, "--L", "5"]) == 130
        assert capsys.readouterr().err == goes_on(["covid", "--L", "5"])


@pytest.mark.parametrize("module, status", [("tyro", -signal.SIGINT), ("numpy.linalg", 130)])
def test_ctrl_c_while_the_program_starts_is_no_traceback(module, status):
    """At the imports of run.py itself, and at those of the command."""
    process = subprocess.Popen([sys.executable, "-X", "importtime", RUN, "covid"], stderr=subprocess.PIPE, text=True)
    while f" {module}" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in error


def interrupted_at(path, number):
    """Ctrl-C comes as a file with this in its name is opened, for the so many-th time."""
    numbers = itertools.count(1)

    def count(event, args):
        if event == "open" and path in str(args[0]) and next(numbers) == number:
            os.kill(os.getpid(), signal.SIGINT)

    often()
    sys.addaudithook(count)


def test_ctrl_c_again_and_again_loses_nothing(studies, straight):
    command, resume = studies["covid"], []
    for path, number, says in [
            ("checkpoint.safetensors.tmp", 10, WAIT),  # of the 61: one after each step and record, one at the end
            ("checkpoint.safetensors.tmp", 50, WAIT),  # the last
            (".ttf", 1, ""),  # figures are drawn
            ("metrics.json.tmp", 1, "")]:
        child = Child(*command, *resume, before=partial(interrupted_at, path, number))
        assert child.wait() == 130
        assert child.error == says + goes_on(command)
        assert list(OUT.iterdir()) == [CHECKPOINT]
        resume = ["--resume"]
    assert finish(command, "--resume") == results(straight)


def test_ctrl_c_before_anything_was_saved(studies):
    program = f"""
import runpy, sys, tests.test_run
tests.test_run.interrupted_at("cases.csv", 1)
runpy.run_path({str(RUN)!r}, run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", program, *studies["covid"]], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(RUN.parent)})
    assert done.returncode == 130
    assert done.stderr == NOTHING and not OUT.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_save_and_say_how_to_go_on(studies, number):
    command = [*studies["covid"], "--epochs", "1000000"]
    process = subprocess.Popen([sys.executable, RUN, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))  # nohup ignores it
    while "train loss" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error == WAIT + goes_on(command)
    assert list(OUT.iterdir()) == [CHECKPOINT]


def test_a_signal_that_is_ignored_stays_ignored(studies):
    """Under nohup a run goes on when the terminal is closed."""
    process = subprocess.Popen([sys.executable, RUN, *studies["covid"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    while "train loss" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0 and error == "" and (OUT / "metrics.json").exists()


def slow_steps():
    def step(self):
        print("a step")
        time.sleep(60)

    nn.Adam.step = step


def test_ctrl_c_twice_stops_now(studies):
    child = Child(*studies["vae"], before=slow_steps)
    child.wait_for(lambda: "a step" in child.output)
    os.kill(child.pid, signal.SIGINT)
    child.wait_for(lambda: child.error == WAIT)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait() == 130
    assert child.error == WAIT + NOTHING and not OUT.exists()


@pytest.mark.parametrize("command", ["gradcheck", "bench"])
def test_ctrl_c_where_nothing_is_saved(command, monkeypatch, capsys):
    place, options = run.COMMANDS[command]
    run.load(options)
    monkeypatch.setattr(place.replace(":", "."), lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert run.main([command]) == 130
    assert capsys.readouterr().err == NOTHING


# -- numbers ----------------------------------------------------------------------------------------------------


def test_a_training_that_diverges_stops_with_one_line_and_keeps_the_last_checkpoint(studies):
    child = Child(*studies["vae"], "--lr", "10", "--kl", "1", before=often)
    assert child.wait() == 1
    assert re.fullmatch(r"run.py: epoch 1, step \d+: the loss or a gradient is not finite; first \w+ of \(.*\)\. "
                        r"What was saved before is as it was; a smaller --lr may help\n", child.error)
    assert all(np.isfinite(array).all() for array in safetensors.numpy.load_file(CHECKPOINT).values())


def test_no_thread_says_more_about_it(monkeypatch):
    def overflow(options, console):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(np.exp, np.float32([1000])).result() == np.inf

    monkeypatch.setattr("tasks.gradcheck.run", overflow)
    assert run.main(["gradcheck"]) == 0  # a warning would be an error here


@pytest.mark.parametrize("study", ["covid", "vae"])
def test_the_same_seed_gives_the_same_bytes_elsewhere(studies, study):
    here = finish(studies[study])
    Path("elsewhere").mkdir()
    command = [re.sub("^(cases.csv|pictures)$", r"../\1", argument) for argument in studies[study]]
    env = {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "OPENBLAS_NUM_THREADS": "2", "LC_ALL": "C",
           "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, RUN, *command], cwd="elsewhere", env=os.environ | env, capture_output=True)
    assert done.returncode == 0, done.stderr
    there = results(Path("elsewhere", "out"))
    assert here.pop("config.json") != there.pop("config.json")  # the data have another name
    assert here == there


def test_a_closed_output_is_no_traceback_and_the_home_folder_is_meant(studies):
    """A `~` behind `--out=` is left alone by the shell."""
    home = Path("home")
    home.mkdir()
    command = [argument for argument in studies["covid"] if argument not in ("--out", "out")]
    done = subprocess.run(f"{shlex.join([sys.executable, str(RUN), *command])} --out='~/out' >&-", shell=True,
                          stderr=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(home.resolve())})
    assert done.returncode == 0 and done.stderr == ""
    assert (home / "out" / "metrics.json").exists() and not Path("~").exists()


@pytest.mark.parametrize("command", ["covid --help", "exercise", "covid --csv simulated --epochs 2"])
def test_who_reads_one_line_alone_is_told_nothing_more(command):
    done = subprocess.run(f"{shlex.quote(sys.executable)} {shlex.quote(str(RUN))} {command} | head -1", shell=True,
                          capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def set_columns(width):
    os.environ["COLUMNS"] = f"{width}"


@pytest.mark.parametrize("study", ["covid", "vae"])
def test_a_narrow_terminal_wraps_the_table_and_cuts_no_number(studies, study):
    narrow, wide = (Child(*studies[study], "--epochs", "1", "--out", f"{width}", before=partial(set_columns, width))
                    for width in (40, 200))
    assert narrow.wait() == wide.wait() == 0 and "…" not in narrow.output
    number = re.compile(r"\d+\.\d+")
    assert number.findall(narrow.output.partition("test  ")[2]) == number.findall(wide.output.partition("test  ")[2])


def test_gradcheck_prints_its_table():
    done = Child("gradcheck")
    assert done.wait() == 0, done.output + done.error
    assert "lstm" in done.output.lower() and "WRONG" not in done.output

"""The command line, as a person meets it: in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent / "run.py"
SHORT = ["covid", "--csv", "simulated", "--L", "3", "--hidden", "4"]


def run(*arguments):
    return subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True)


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
    (["nonsense"], "nonsense"),
    ([], "covid"),
])
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(arguments, says):
    options = [] if "--csv" in arguments or not arguments or arguments == ["nonsense"] else ["--csv", "simulated"]
    done = run(*arguments, *options)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("run.py: ")
    assert not list(Path().iterdir())


def test_help_is_not_an_error():
    done = run("covid", "--help")
    assert done.returncode == 0 and "--threshold" in done.stdout


def test_a_run_is_not_replaced_unless_asked_to():
    assert run(*SHORT, "--epochs", "2").returncode == 0
    folder, = Path("runs").iterdir()
    before = (folder / "history.csv").read_bytes()
    again = run(*SHORT, "--epochs", "2")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    assert (folder / "history.csv").read_bytes() == before
    assert run(*SHORT, "--epochs", "2", "--overwrite").returncode == 0
    assert (folder / "history.csv").read_bytes() != before  # the seconds differ


def test_ctrl_c_saves_and_says_how_to_go_on():
    straight = run(*SHORT, "--epochs", "60", "--out", "straight")
    assert straight.returncode == 0, straight.stderr

    process = subprocess.Popen([sys.executable, "-u", RUN, *SHORT, "--epochs", "60", "--out", "stopped"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while "epoch 6/" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip().endswith(f"python run.py {' '.join(SHORT)} --epochs 60 --out stopped --resume")
    assert [path.name for path in Path("stopped").iterdir()] == ["checkpoint.safetensors"]

    resumed = run(*SHORT, "--epochs", "60", "--out", "stopped", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for name in ("model.safetensors", "probabilities.csv"):
        assert Path("stopped", name).read_bytes() == Path("straight", name).read_bytes()
    assert not Path("stopped", "checkpoint.safetensors").exists()


def test_gradcheck_prints_its_table():
    done = run("gradcheck")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lstm" in done.stdout.lower() and "WRONG" not in done.stdout

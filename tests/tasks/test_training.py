"""The training loop, the run's folder, and the progress that people see."""

import io
import json
import os
import re
import signal

import numpy as np
import pytest
from rich.console import Console

import nn
from data import BadInput
from tasks.covid import Covid
from tasks.options import check_ranges, default_folder, identity
from tasks.progress import show
from tasks.run_folder import Interrupted, RunFolder, write
from tasks.training import Diverged, train


def problem():
    """A small regression: model, optimiser, batches of two parts each, loss."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 5, rng=rng), nn.Dropout(0.2, rng=rng), nn.Linear(5, 1, rng=rng))
    x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    parts = [(x[:5], y[:5]), (x[5:], y[5:])]
    optimizer = nn.Adam(model.parameters(), 0.01)

    def loss(part):
        return nn.mse_loss(model(nn.Tensor(part[0])), part[1], reduction="sum") / 8

    return model, optimizer, rng, parts, loss


def test_parts_of_a_batch_add_up_to_one_step():
    model, optimizer, rng, parts, loss = problem()
    model.eval()  # no dropout: both ways see the same network
    before = optimizer.data.copy()
    whole = [tuple(np.concatenate(xs) for xs in zip(*parts, strict=True))]
    for batch in (parts, whole):
        optimizer.data[...] = before
        optimizer.load_state_dict({"steps": 0, "mean": 0 * before, "square": 0 * before})
        list(train(model, optimizer, lambda epoch, batch=batch: [batch], loss, dict, epochs=1, rng=rng))
        model.eval()
        assert optimizer.steps == 1
        if batch is parts:
            in_parts = optimizer.data.copy()
    np.testing.assert_allclose(in_parts, optimizer.data, rtol=1e-5)
    assert not np.allclose(in_parts, before)


def test_records_number_the_epochs_and_evaluate_in_eval_mode():
    model, optimizer, rng, parts, loss = problem()
    modes, asked = [], []
    yielded = list(train(model, optimizer, lambda epoch: asked.append(epoch) or [parts, parts], loss,
                         lambda: modes.append(model.training) or {"loss": 1.5}, epochs=5, rng=rng, start=2, skip=1))
    assert [record and record["epoch"] for record in yielded] == [None, 3, None, None, 4, None, None, 5]
    assert asked == [3, 4, 5]
    assert modes == [False] * 3 and model.training
    assert optimizer.steps == 5
    assert all(record["loss"] == 1.5 and record["seconds"] > 0 for record in yielded if record)


@pytest.mark.parametrize("where, says", [
    (lambda out: nn.log(out - out), "log of (5, 1)"),  # -inf
    (lambda out: nn.sqrt(nn.relu(out) * 0), "backward through sqrt: the gradient of its argument (5, 1)"),
])
def test_numbers_that_go_wrong_stop_training_before_the_step_and_name_the_op(where, says):
    model, optimizer, rng, parts, loss = problem()
    calls = []

    def bad(part):
        calls.append(part)
        value = loss(part)
        return value + nn.sum(where(model(nn.Tensor(part[0])))) if len(calls) in (7, 8, 9) else value

    before = []
    with np.errstate(all="ignore"), pytest.raises(Diverged, match=re.escape(says)) as caught:
        for _ in train(model, optimizer, lambda epoch: [parts, parts], bad, dict, epochs=5, rng=rng):
            before.append(optimizer.data.copy())
    assert "epoch 2, step 2: " in str(caught.value)
    np.testing.assert_array_equal(optimizer.data, before[-1])


# -- the folder of a run ----------------------------------------------------------------------------------------


def fit(folder, epochs, stop_after=None):
    """Train two steps an epoch, with a Ctrl-C during step `stop_after`; returns the model's state and the history."""
    model, optimizer, rng, parts, loss = problem()
    history, step = folder.restore(model, optimizer, rng)
    losses = []

    def counted(part):
        losses.append(part)
        if len(losses) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(part)

    def batches(epoch):
        order = np.random.default_rng(epoch).permutation(2)
        return [[parts[i]] for i in order]

    records = train(model, optimizer, batches, counted, dict, epochs, rng, len(history), step)
    with folder:
        history = folder.follow(records, history, step, model, optimizer, rng)
    return model.state_dict(), history


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_a_run_that_was_stopped_goes_on_bit_for_bit_dropout_and_shuffling_included(tmp_path, capsys, stop_after):
    straight, _ = fit(RunFolder(tmp_path / "a", {"x": 1}), 5)
    with pytest.raises(Interrupted):
        fit(RunFolder(tmp_path / "b", {"x": 1}), 5, stop_after)
    resumed, history = fit(RunFolder(tmp_path / "b", {"x": 1}, resume=True), 5)
    assert list(history["epoch"]) == [1, 2, 3, 4, 5]
    assert {name: array.tobytes() for name, array in resumed.items()} == {n: a.tobytes() for n, a in straight.items()}


def test_the_second_ctrl_c_stops_at_once(tmp_path, capsys):
    folder = RunFolder(tmp_path / "run", {})
    model, optimizer, rng, parts, loss = problem()

    def impatient(part):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")

    records = train(model, optimizer, lambda epoch: [parts], impatient, dict, 1, rng)
    with pytest.raises(KeyboardInterrupt) as caught, folder:
        folder.follow(records, [], 0, model, optimizer, rng)
    assert not isinstance(caught.value, Interrupted) and not folder.path.exists()  # there was nothing to save yet

    folder.save([], 0, model, optimizer, rng)
    records = train(model, optimizer, lambda epoch: [parts], impatient, dict, 1, rng)
    with pytest.raises(Interrupted), folder:
        folder.follow(records, [], 0, model, optimizer, rng)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_is_written_when_it_is_time(tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    model, optimizer, rng, *_ = problem()
    for every, there in ((1e9, False), (0, True)):
        saved = []
        records = (saved.append(folder.checkpoint.exists()) for _ in range(3))
        folder.follow(records, [], 0, model, optimizer, rng, every)
        assert saved[1] == there and folder.checkpoint.exists()
        folder.checkpoint.unlink()


def stopped(path):
    with pytest.raises(Interrupted):
        fit(RunFolder(path, {"x": 1}), 5, stop_after=2)


def refused(message, path, config=None, **options):
    before = sorted((p, p.read_bytes()) for p in path.rglob("*") if p.is_file())
    with pytest.raises(BadInput, match=message):
        RunFolder(path, config or {"x": 1}, **options)
    assert sorted((p, p.read_bytes()) for p in path.rglob("*") if p.is_file()) == before


def test_what_a_user_has_is_not_replaced(tmp_path, capsys):
    run = tmp_path / "run"
    stopped(run)
    refused("unfinished run: --resume", run)
    refused("has another x:", run, {"x": 2}, resume=True)
    RunFolder(run, {"x": 2}, overwrite=True)
    folder = RunFolder(run, {"x": 1}, resume=True)
    folder.finish({"a.txt": "text", "b.bin": b"\x00"}, {"accuracy": 0.5})
    assert (run / "a.txt").read_text() == "text" and (run / "b.bin").read_bytes() == b"\x00"
    assert json.loads((run / "metrics.json").read_text()) == {"accuracy": 0.5}
    assert json.loads((run / "config.json").read_text()) == {"x": 1}
    assert sorted(p.name for p in run.iterdir()) == ["a.txt", "b.bin", "config.json", "metrics.json"]
    refused("finished run: --overwrite", run)
    refused("finished already", run, resume=True)
    RunFolder(run, {"x": 1}, overwrite=True)

    own = tmp_path / "photographs"
    own.mkdir()
    (own / "config.json").write_text("a user's own")
    refused("not empty and not the folder of a run", own, overwrite=True)
    (tmp_path / "file").write_text("")
    refused("is a file", tmp_path / "file")


def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path, capsys):
    stopped(tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    for damaged in (whole[:100], b"", b"not a checkpoint"):
        checkpoint.write_bytes(damaged)
        refused("is damaged", tmp_path / "run", resume=True)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


# -- progress and options -----------------------------------------------------------------------------------------


def shown(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    records = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(41, 81)]
    steps = [step for record in records for step in (None, record)]
    assert list(show(iter(steps), 40, 80, lambda r: f"loss {r['loss']:.3f}", console)) == steps
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = shown(terminal=False).splitlines()
    assert 4 <= len(lines) <= 11
    assert lines[-1] == "epoch 80/80  loss 0.013  0 s left"
    assert "\x1b" not in "".join(lines)


def test_a_bar_on_a_terminal():
    text = shown(terminal=True)
    assert "\x1b[" in text and "80/80" in text and "loss 0.013" in text


def test_the_folders_name_holds_what_is_not_at_its_default():
    config = Covid(cell="gru", L=7, seed=3, csv="/some where/käse 1.csv", split="random", resume=True)
    name = default_folder(config, "covid-gru-L7", "cell", "L")
    assert str(name) == "runs/covid-gru-L7-csv-käse_1-split-random-seed-3"
    assert "resume" not in identity(config) and identity(config)["seed"] == 3


@pytest.mark.parametrize("wrong", [{"lr": float("nan")}, {"lr": -1.0}, {"L": 0}, {"threshold": 2.0}])
def test_an_option_out_of_its_range_is_refused_by_name(wrong):
    (name, value), = wrong.items()
    with pytest.raises(BadInput, match=f"--{name}: {value}"):
        check_ranges(Covid(**wrong), lr=(0, 1), L=(1, 5), threshold=(-1, 1))
    check_ranges(Covid(), lr=(0, 1), L=(1, 5), threshold=(-1, 1))

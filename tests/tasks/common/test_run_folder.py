"""The folder of a run: stopped and resumed, damaged, and never replaced unasked."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

import nn
from data import BadInput
from tasks.common.run_folder import RunFolder
from tasks.common.stops import Diverged, Interrupted
from tasks.common.training import TrainingState, train
from tests.tasks.common.problem import problem


def fit(folder, epochs, stop_after=None):
    """Train two steps an epoch, with a Ctrl-C during step `stop_after`; returns the model's state and the history."""
    state, batch, loss = problem()
    folder.restore(state)
    losses = []

    def counted(micro_batch):
        losses.append(micro_batch)
        if len(losses) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(micro_batch)

    def batches(epoch):
        order = np.random.default_rng(epoch).permutation(2)
        return [[batch[i]] for i in order]

    with folder:
        history = folder.follow(train(state, batches, counted, None, epochs), state)
    return state.model.state_dict(), history


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
    state, batch, loss = problem()

    def impatient(micro_batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt) as caught, folder:
        folder.follow(train(state, lambda epoch: [batch], impatient, None, 1), state)
    assert not isinstance(caught.value, Interrupted) and not folder.path.exists()  # there was nothing to save yet

    folder.save(state)
    folder.resume = True
    with pytest.raises(Interrupted), folder:
        folder.follow(train(state, lambda epoch: [batch], impatient, None, 1), state)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_is_written_when_it_is_time(tmp_path):
    folder = RunFolder(tmp_path / "run", {})
    state, _, _ = problem()
    for every, there in ((1e9, False), (0, True)):
        saved = []
        records = (saved.append(folder.checkpoint.exists()) for _ in range(3))
        folder.follow(records, state, every)
        assert saved[1] == there and folder.checkpoint.exists()
        folder.checkpoint.unlink()


def stopped(path, config=None):
    with pytest.raises(Interrupted):
        fit(RunFolder(path, config or {"x": 1}), 5, stop_after=2)


def files(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def refused(message, path, config=None, **options):
    before = files(path.parent)
    with pytest.raises(BadInput, match=message):
        fit(RunFolder(path, config or {"x": 1}, **options), 5)
    assert files(path.parent) == before


def test_what_a_user_has_is_not_replaced(tmp_path, capsys):
    run = tmp_path / "run"
    stopped(run)
    refused("unfinished run: --resume", run)
    refused("has another x:", run, {"x": 2}, resume=True)
    refused("has another y:", run, {"x": 1, "y": 2}, resume=True)
    refused("has another x, y:", run, {"y": 2}, resume=True)
    refused("choose one", run, resume=True, overwrite=True)
    RunFolder(run, {"x": 2}, overwrite=True)
    folder = RunFolder(run, {"x": 1}, resume=True)
    folder.finish({"a.txt": "text", "b.bin": b"\x00"}, {"accuracy": 0.5})
    assert (run / "a.txt").read_text() == "text" and (run / "b.bin").read_bytes() == b"\x00"
    assert json.loads((run / "metrics.json").read_text()) == {"accuracy": 0.5}
    assert json.loads((run / "config.json").read_text()) == {"x": 1}
    assert sorted(p.name for p in run.iterdir()) == ["a.txt", "b.bin", "config.json", "metrics.json"]
    refused("finished run: --overwrite", run)
    refused("finished already", run, resume=True)

    own = tmp_path / "photographs"
    own.mkdir()
    (own / "config.json").write_text("a user's own")
    refused("not empty and not the folder of a run", own, overwrite=True)


def test_an_old_run_stays_until_the_new_one_is_finished(tmp_path, capsys):
    run = tmp_path / "run"
    RunFolder(run, {"x": 1}).finish({"a.txt": "old"}, {"x": 1})
    (run / "notes.txt").write_text("a user's own")
    old = files(run)
    with pytest.raises(Interrupted):
        fit(RunFolder(run, {"x": 2}, overwrite=True), 5, stop_after=2)
    folder = RunFolder(run, {"x": 2}, resume=True)
    assert files(run) == old | {folder.checkpoint: folder.checkpoint.read_bytes()}
    refused("unfinished run: --resume continues", run, {"x": 2})
    fit(folder, 5)
    folder.finish({"a.txt": "new"}, {"x": 2})
    assert {path.name: content for path, content in files(run).items()} == {
        "a.txt": b"new", "notes.txt": b"a user's own", "config.json": b'{\n  "x": 2\n}\n',
        "metrics.json": b'{\n  "x": 2\n}\n'}


@pytest.mark.parametrize("spoil", [
    lambda data: data[:100],
    lambda data: data[:-1],
    lambda data: b"",
    lambda data: b"not a checkpoint",
    lambda data: save({"model.0.weight": np.zeros(3)}),
    lambda data: save(load(data), {"config": "x"}),
    *(lambda data, key=key: save(load(data), {k: v for k, v in metadata(data).items() if k != key})
      for key in ("config", "rng", "columns", "step", "sha256")),
    *(lambda data, name=name: save({k: v for k, v in load(data).items() if k != name}, metadata(data))
      for name in ("model.0.weight", "optimizer.steps", "optimizer.mean", "history.epoch")),
    lambda data: save(load(data) | {"model.2.weight": np.zeros((1, 6), np.float32)}, metadata(data)),
    lambda data: save(load(data) | {"optimizer.mean": np.zeros(7, np.float32)}, metadata(data)),
    *(lambda data, rng=rng: save(load(data), metadata(data) | {"rng": rng})
      for rng in ("null", '{"bit_generator": "MT19937"}')),
])
def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path, capsys, spoil):
    run = tmp_path / "run"
    straight = fit(RunFolder(tmp_path / "straight", {"x": 1}), 5)[0]
    with pytest.raises(Interrupted):
        fit(RunFolder(run, {"x": 1}), 5, stop_after=3)
    checkpoint = run / "checkpoint.safetensors"
    checkpoint.write_bytes(spoil(checkpoint.read_bytes()))
    refused("checkpoint.safetensors: (is damaged|does not fit) .*: --overwrite starts again", run, resume=True)
    again, _ = fit(RunFolder(run, {"x": 1}, overwrite=True), 5)
    assert all(np.array_equal(again[name], straight[name]) for name in straight)


def test_no_flipped_bit_of_a_checkpoint_is_trained_from(tmp_path, capsys):
    straight = fit(RunFolder(tmp_path / "straight", {"x": 1}), 5)[0]
    stopped(tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    whole, harmless = checkpoint.read_bytes(), 0
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*rng.integers(0, 64, 20), *rng.integers(64, 8 * header, 150),
              *rng.integers(8 * header, 8 * len(whole), 150)]
    for place in places:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        checkpoint.write_bytes(flipped)
        try:
            again, _ = fit(RunFolder(tmp_path / "run", {"x": 1}, resume=True), 5)
        except BadInput as error:
            assert "checkpoint.safetensors" in str(error) or "--resume: the run in" in str(error)
            continue
        harmless += 1  # a blank in the header, say
        assert all(np.array_equal(again[name], straight[name]) for name in straight)
    assert harmless < 20


def metadata(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length])["__metadata__"]


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    refused("file is not a folder", tmp_path / "file")
    refused("link is not a folder", tmp_path / "link")
    refused("file/run cannot be written: Not a directory", tmp_path / "file" / "run")
    with pytest.raises(BadInput, match="/proc/run cannot be written: No such file"):
        RunFolder(Path("/proc/run"), {})


def test_ctrl_c_is_told_to_go_on_only_where_that_would_work(tmp_path, capsys):
    """What is there while nothing is saved yet: a checkpoint of the run that is overwritten, or a damaged one."""
    stopped(tmp_path / "run")
    for config, kind in (({"x": 1}, Interrupted), ({"x": 2}, KeyboardInterrupt)):
        with pytest.raises(KeyboardInterrupt) as caught, RunFolder(tmp_path / "run", config, overwrite=True):
            raise KeyboardInterrupt
        assert caught.type is kind
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(KeyboardInterrupt) as caught, RunFolder(tmp_path / "run", {"x": 1}, overwrite=True):
        raise KeyboardInterrupt
    assert caught.type is KeyboardInterrupt


def test_where_a_run_goes_on_is_said(tmp_path, capsys):
    def said(path, resume=True):
        lines = []
        RunFolder(tmp_path / path, {"x": 1}, resume).restore(problem()[0], lines.append)
        return lines

    assert said("run", resume=False) == []
    assert said("run") == [f"There is no checkpoint in {tmp_path / 'run'}: starting from the beginning."]
    stopped(tmp_path / "run")
    assert said("run") == ["Continuing after step 2 of epoch 1."]
    state = dataclasses.replace(problem()[0], history=[{"epoch": 1}])
    RunFolder(tmp_path / "run", {"x": 1}, overwrite=True).save(state)
    assert said("run") == ["Continuing after epoch 1."]


def test_numbers_that_are_not_finite_are_not_kept(tmp_path):
    state = dataclasses.replace(problem()[0], step=2)
    folder = RunFolder(tmp_path / "run", {"x": 1})
    folder.save(state)
    before = files(tmp_path)
    state.optimizer.square[3] = np.inf
    with pytest.raises(Diverged, match="after epoch 0, step 2: not finite: optimizer.square"):
        folder.save(state)
    with pytest.raises(Diverged, match="a metric is not finite"):
        folder.finish({"a.txt": "text"}, {"test": {"accuracy": float("nan")}})
    assert files(tmp_path) == before


def test_a_run_can_be_followed_in_any_thread(tmp_path):
    """A worker of a cluster trains in a thread, which may not handle signals."""
    straight, _ = fit(RunFolder(tmp_path / "a", {"x": 1}), 3)
    with ThreadPoolExecutor(1) as pool:
        threaded, _ = pool.submit(fit, RunFolder(tmp_path / "b", {"x": 1}), 3).result()
    assert all(np.array_equal(threaded[name], straight[name]) for name in straight)


def test_a_checkpoint_of_another_model_is_refused(tmp_path, capsys):
    """Whole, and of the same options: as after an edit of the code."""
    with pytest.raises(Interrupted):
        fit(RunFolder(tmp_path, {"x": 1}), 5, stop_after=3)
    model = nn.Linear(3, 1)
    other = TrainingState(model, nn.Adam(model.parameters()), np.random.default_rng(0))
    with pytest.raises(BadInput, match="checkpoint.safetensors: does not fit .*: --overwrite starts again"):
        RunFolder(tmp_path, {"x": 1}, resume=True).restore(other)


@pytest.mark.parametrize("every, saves", [(1e4, 1), (0.0, 11)])
def test_the_state_is_saved_every_so_many_seconds_and_at_the_end(tmp_path, monkeypatch, every, saves):
    seen = []
    monkeypatch.setattr(RunFolder, "save", lambda self, state: seen.append(len(state.history)))
    state, batch, loss = problem()
    with RunFolder(tmp_path, {}) as folder:
        folder.follow(train(state, lambda epoch: [batch], loss, None, 5), state, every)
    assert len(seen) == saves and seen[-1] == 5


def test_a_folder_that_another_process_has_used_since_is_refused(tmp_path):
    ours = RunFolder(tmp_path / "run", {"x": 1})  # free when it is first looked at
    fit(RunFolder(tmp_path / "run", {"x": 2}), 2)
    with pytest.raises(BadInput, match="holds an unfinished run"), ours:
        pass

"""The bench: what it compares, how it takes turns, what its floor counts. How fast anything is, no test says."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import multiprocessing
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import nn
from data import BadInput
from data.windows import make_windows, split_windows
from tasks.bench import command as bench
from tasks.bench import peers, report
from tasks.bench import workloads as bench_works
from tasks.bench.command import Mismatch
from tasks.bench.server import Server, Setting
from tasks.bench.workloads import Autoencoder, Chain, Recurrent
from tasks.covid.train import MICRO_BATCH

SMALL = [Recurrent("a", "rnn", 70, 3), Recurrent("a", "lstm", 70, 3), Recurrent("a", "gru", 70, 3),
         Recurrent("c", "lstm", 20, 4, 3, 5), Autoencoder("d", 6, 10, 5, 2), Chain("e", 10)]

every_work = pytest.mark.parametrize("work", SMALL, ids=lambda work: work.name)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """What is measured here is made up, or of no interest."""
    monkeypatch.setattr(bench, "PAUSE_SECONDS", 0)


# -- taking turns -------------------------------------------------------------------------------------------------


def test_all_have_their_turn_in_every_round():
    order, clock = [], itertools.count()

    def turn(name):
        return lambda: order.append(name) or next(clock)

    assert bench.race({"ours": turn("ours"), "theirs": turn("theirs")}, 3) == {"ours": [0, 2, 4], "theirs": [1, 3, 5]}
    assert order == ["ours", "theirs"] * 3


def worker(seconds, loss=2.0, grad=1.0):
    """A library that takes so many seconds a step, one after the other and then from the start."""
    seconds = itertools.cycle(seconds)

    def answer(request, *args):
        if request == "load":
            return loss, {"w": np.full(3, grad, np.float32)}, 0.5
        return next(seconds) if request == "turn" else 0.25

    return answer


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians(monkeypatch):
    monkeypatch.setattr(bench, "PAIRS", 3)
    monkeypatch.setattr(bench, "TRIALS", 3)
    # After three steps to warm up, and three trials: pairs 1 and 6, 4 and 8, 5 and 5.
    workers = {Setting("nn", 0, 1): worker([9] * 6 + [1, 4, 5]), Setting("Peer", 0, 1): worker([9] * 6 + [6, 8, 5])}
    row = bench.measure(Chain("e"), workers)
    assert row["libraries"]["Peer"]["ratio"]["median"] == 2  # of 6, 2, 1; the medians are 6 and 4
    assert row["libraries"]["nn"]["ms"] == {"median": 4000, "low": 2500, "high": 4500}
    assert row["floor_ms"] == 250


def test_each_library_runs_in_its_best_setting():
    workers = {Setting("nn", 0, 1): worker([3]), Setting("nn", 0, 2): worker([2]),
               Setting("JAX", 0, 1): worker([8]), Setting("JAX", 1, 1): worker([4]), Setting("JAX", 1, 2): worker([5])}
    libraries = bench.measure(Chain("e"), workers)["libraries"]
    assert libraries["nn"]["setting"] == "2" and libraries["JAX"]["setting"] == "1, unrolled"
    assert libraries["JAX"]["ratio"] == {"median": 2, "low": 2, "high": 2}


def test_what_a_library_does_not_do_is_left_out():
    workers = {Setting("nn", 0, 1): worker([1]), Setting("JAX", 0, 1): lambda *request: None}
    assert bench.measure(Chain("e"), workers)["libraries"].keys() == {"nn"}


def test_beside_a_process_the_quiet_times_are_kept_and_the_pairs_are_run_beside_it(monkeypatch):
    monkeypatch.setattr(bench, "PAIRS", 3)
    running = []

    @contextlib.contextmanager
    def beside():
        running.append(True)
        yield
        running.clear()

    def slower(seconds):
        quiet = worker([seconds])
        return lambda *request: quiet(*request) * (4 if running else 1) if request[0] == "turn" else quiet(*request)

    workers = {Setting("nn", 0, 1): slower(2), Setting("Peer", 0, 1): slower(6)}
    ours, theirs = bench.measure(Chain("e"), workers, beside)["libraries"].values()
    assert ours["quiet_ms"]["median"] == 2000 and ours["ms"]["median"] == 8000
    assert theirs["quiet_ms"]["median"] == 6000 and theirs["ratio"]["median"] == 3
    assert running == []


def test_the_process_beside_computes_and_ends():
    with bench.busy_process():
        busy, = (child for child in multiprocessing.active_children() if child.name.startswith("Spawn"))
        first = cpu_seconds(busy.pid)
        time.sleep(0.5)
        assert cpu_seconds(busy.pid) > first
    assert not busy.is_alive()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11])


def test_the_grid_is_dealt_out_and_every_network_counts_once(monkeypatch):
    asked, wrong = [], "none"

    class Fake:
        def __init__(self, setting):
            self.setting = setting

        def ask(self, request, works, count):
            asked.append((self.setting.library, [work.L for work in works]))
            done = Future()
            done.set_result(sum(work.L for work in works) * (3 if self.setting.library == "PyTorch" else 1))
            return done

        def __call__(self, request, work):
            if request == "load":
                return work.L, {"w": np.full(3, self.setting.library != wrong, np.float32)}, 0.1
            return 0.5

        def close(self):
            pass

    monkeypatch.setattr(bench, "Worker", Fake)
    monkeypatch.setattr(bench, "CORES", 2)
    row = bench.measure_grid([Recurrent("g", "rnn", 70, L) for L in (1, 2, 3, 4, 5)], ["nn", "PyTorch"])
    assert asked[:4] == [("nn", [1, 3, 5]), ("nn", [2, 4]), ("PyTorch", [1, 3, 5]), ("PyTorch", [2, 4])]
    assert row["libraries"]["nn"]["ms"]["median"] == 7500 and row["libraries"]["PyTorch"]["ratio"]["median"] == 3
    assert row["floor_ms"] == 1250 and row["work"] == "grid of 5 networks"
    wrong = "PyTorch"
    with pytest.raises(Mismatch, match="the gradient of w in PyTorch differs"):
        bench.measure_grid([Recurrent("g", "rnn", 70, 2)], ["nn", "PyTorch"])


def test_an_epoch_adds_up_the_steps_of_all_networks():
    server = Server(Setting("nn", 0, 1))
    ticks = itertools.count()
    works = [Recurrent("g", "rnn", 70, 2), Recurrent("g", "gru", 70, 3)]
    server.turn = lambda count: (next(ticks), server.steps.check()[0])[0] + count
    assert server.epoch(works, 5) == 0 + 1 + 2 * 5
    assert len(server.grid) == 2 and server.epoch(works, 5) == 2 + 3 + 2 * 5


def test_the_grid_is_that_of_the_study():
    """The windows of the real file, of 82 days, as `prepare` counts them; 179 countries are kept."""
    days = pd.date_range("2020-01-22", periods=82)
    rng = np.random.default_rng(0)
    new_cases = pd.DataFrame(rng.integers(0, 9, (82, 179)), days, [f"c{i}" for i in range(179)]).iloc[1:]
    for L in (5, 30):
        train, _ = split_windows(make_windows(new_cases, L), "time", 0)
        assert {work.N for work in bench_works.GRID if work.L == L} == {len(train)}
    assert len(bench_works.GRID) == 24


# -- the same work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs, what", [
    (worker([1], grad=1.01), "the gradient of w"), (worker([1], loss=2.01), "the loss"),
    (worker([1], grad=np.nan), "the gradient of w"), (worker([1], loss=np.nan), "the loss"),
])
def test_a_mismatch_says_which(theirs, what):
    workers = {Setting("nn", 0, 1): worker([1]), Setting("Peer", 0, 2): theirs}
    with pytest.raises(Mismatch, match=rf"chain of 1,000 ops: {what} in Peer \(2\) differs"):
        bench.measure(Chain("e"), workers)


@pytest.mark.parametrize("grads", [{}, {"v": np.ones(3, np.float32)}, {"w": np.ones(3)}, {"w": np.ones(2, np.float32)}])
def test_gradients_of_other_names_types_or_shapes_are_a_mismatch(grads):
    with pytest.raises(Mismatch):
        bench.compare(Chain("e"), "Peer", (1.0, {"w": np.ones(3, np.float32)}), (1.0, grads))


@every_work
def test_ours_checks_the_gradients_that_the_parameters_have_in_one_batch(work):
    loss, grads = work.ours(2).check()
    reference = peers_by_hand(work)
    assert loss == pytest.approx(reference[0], rel=1e-6)
    assert grads.keys() == reference[1].keys() == bench_works.parameters(work).keys()
    for name, g in grads.items():
        np.testing.assert_allclose(g, reference[1][name], rtol=1e-4, atol=1e-5)


def peers_by_hand(work):
    """Loss and gradients of the pure functions that JAX, autograd and MyGrad are given, by nn's plain ops."""
    class Namespace:
        tanh, exp, log, log1p, maximum, abs = map(staticmethod, (nn.tanh, nn.exp, nn.log, nn.log1p, nn.maximum, nn.abs))
        sum = staticmethod(nn.sum)

    class Parameter(nn.Tensor):
        T = property(lambda self: self.mT)

    loss, arrays = peers.pure(work)
    p = {name: Parameter(array, requires_grad=True) for name, array in bench_works.parameters(work).items()}
    value = loss(Namespace, peers.loop, p, *map(nn.Tensor, arrays))
    value.backward()
    return value.item(), {name: tensor.grad for name, tensor in p.items()}


@every_work
def test_a_step_trains(work):
    steps = work.ours(2)
    first, _ = steps.check()
    for _ in range(20):
        steps.step()
    last, _ = steps.check()
    assert last == first if isinstance(work, Chain) else last < first


@pytest.mark.parametrize("library", peers.LIBRARIES)
@every_work
def test_an_installed_peer_does_the_same(library, work):
    module, idioms = peers.LIBRARIES[library]
    pytest.importorskip(module, reason=f"{library} is not installed")
    for idiom in idioms:
        steps = idiom(work, 1)
        if steps is not None:
            ours, theirs = work.ours(2), steps.check()
            bench.compare(work, library, ours.check(), theirs)


def test_adam_of_the_peers_is_nns(rng):
    p, grads = rng.standard_normal((2, 5)), rng.standard_normal((4, 2, 5))
    parameter = nn.Parameter(p, np.float64)
    optimizer = nn.Adam([parameter], bench_works.LR)
    state = {"w": (p, np.zeros_like(p), np.zeros_like(p))}
    for t, g in enumerate(grads, 1):
        optimizer.zero_grad()
        parameter.grad = g
        optimizer.step()
        state = peers.adam(np, t, state, {"w": g})
    np.testing.assert_allclose(state["w"][0], parameter.data, rtol=1e-12)


# -- the floor ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work, flops", [
    # rows (I + H + 1) forward and for dW, and rows H for dh; then the linear layer's three products
    (Recurrent("a", "lstm", 2048, 5), 2 * 2048 * (5 * (48 * 14 * 2 + 48 * 12) + 3 * 12 * 2)),
    (Recurrent("b", "rnn", 64, 30), 2 * 64 * (30 * (12 * 14 * 2 + 12 * 12) + 3 * 12 * 2)),
    (Recurrent("a", "gru", 13_604, 5), 2 * 13_604 * (5 * (36 * 14 * 2 + 36 * 12) + 3 * 12 * 2)),
    (Autoencoder("d"), 2 * 128 * (2 * 3072 * 400 + 3 * (2 * 400 * 20 + 20 * 400 + 400 * 3072))),  # no dx of the images
    (Chain("e"), 0),
], ids=lambda value: getattr(value, "name", None))
def test_flops(work, flops):
    assert bench_works.flops(work) == pytest.approx(flops)


def test_the_floor_adds_up_what_was_measured(monkeypatch):
    monkeypatch.setattr(bench_works, "shortest", lambda function: 1.0)
    work = Recurrent("a", "lstm", 2 * MICRO_BATCH, 5)  # two blocks, five steps, three products; three more
    whole = 2 * 5 * 3 + 2 * 3 + 2 * 5 + 2  # and tanh a step, exp a block
    assert bench_works.floor(work) == pytest.approx(whole)
    assert bench_works.floor(work, threads=2) == pytest.approx(whole / 2)
    assert bench_works.floor(Recurrent("b", "lstm", 64, 5), threads=2) == pytest.approx(5 * 3 + 3 + 5 + 1)


def test_the_shortest_run_counts(monkeypatch):
    now = itertools.accumulate([0, 0, 5, 0, 3, 0, 4, 0, 20, 0, 6, 99])  # between looks at the clock: five runs
    monkeypatch.setattr(bench_works.time, "perf_counter", lambda: next(now))
    assert bench_works.shortest(lambda: None, seconds=15) == 3


# -- the command --------------------------------------------------------------------------------------------------


def command(only, monkeypatch):
    """Run the command on small works and with no peer installed; returns its verdict and what it printed."""
    absent = {library: (f"no_{module}", idioms) for library, (module, idioms) in peers.LIBRARIES.items()}
    monkeypatch.setattr(bench, "LIBRARIES", absent)
    monkeypatch.setattr(bench, "WORKS", SMALL[-1:])
    monkeypatch.setattr(bench, "GROWTH", [Recurrent("f", "lstm", 10, 2)])
    monkeypatch.setattr(bench, "THREADS", [1])
    monkeypatch.setattr(bench, "TURN_SECONDS", 0.001)
    console = Console(file=io.StringIO(), width=150)
    verdict = bench.run(bench.BenchOptions(only=only), console)
    return verdict, console.file.getvalue()


def test_the_whole_command(tmp_path, monkeypatch):
    verdict, printed = command(("e", "f"), monkeypatch)
    assert verdict is True
    assert "PyTorch is left out: No module named 'no_torch'" in printed and "chain of 10 ops" in printed
    folder = tmp_path / "runs" / "bench"
    assert {path.name for path in folder.iterdir()} == {"bench.json", "bench.png"}
    results = json.loads((folder / "bench.json").read_text())
    assert results.keys() == {"machine", "pairs", "rows", "growth"} and results["pairs"] == 15
    row, = results["rows"]
    assert row.keys() == {"part", "work", "gflop", "floor_ms", "libraries"}
    assert row["libraries"]["nn"]["ratio"] == {"median": 1, "low": 1, "high": 1}
    assert row["libraries"]["nn"]["setting"] == "1" and row["floor_ms"] > 0
    size, = results["growth"]
    assert size["N"] == 10 and size["L"] == 2 and size["data_mb"] > 0 and size["beyond_mb"] > 0
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_mismatch_is_the_verdict_and_nothing_is_written(tmp_path, monkeypatch):
    def differ(*args):
        raise Mismatch("the gradient of w in Peer [1] differs")

    monkeypatch.setattr(bench, "compare", differ)
    verdict, printed = command(("e",), monkeypatch)
    assert verdict is False
    assert "WRONG  the gradient of w in Peer [1] differs" in printed
    assert not (tmp_path / "runs").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="--out: .*file is a file"):
        bench.run(bench.BenchOptions(out=tmp_path / "file"), Console(file=io.StringIO()))


def test_an_error_in_a_worker_is_one_here():
    worker = bench.Worker(Setting("nn", 0, 1))
    with pytest.raises(RuntimeError, match="TypeError: 'NoneType' object is not callable|AttributeError"):
        worker("turn", 1)  # nothing is loaded
    worker.close()


def row(ratios):
    return {"work": "a step", "floor_ms": 1.0, "libraries": {
        name: {"ms": {"median": r, "low": r, "high": r}, "ratio": {"median": r, "low": r, "high": r}, "setting": "1"}
        for name, r in {"nn": 1.0, **ratios}.items()}}


def test_the_chart_shows_each_ratio_at_its_work():
    rows = [row({"PyTorch": 3.0, "JAX": 2.0}), row({"PyTorch": 0.5})]
    figure = report.chart(rows, {"processor": "P", "cores": 2, "date": "today"})
    axes, = figure.axes
    dots = {container.get_label(): container.lines[0].get_xydata().tolist() for container in axes.containers}
    assert dots == {"PyTorch": [[3, 0], [0.5, 1]], "JAX": [[2, 0]]}


def test_the_table_has_a_line_for_each_peer_and_ours_once():
    console = Console(file=io.StringIO(), width=80)
    console.print(report.ratio_table([row({"PyTorch": 3.0, "JAX": 2.0}), row({})]))
    words = [line.split() for line in console.file.getvalue().splitlines()]
    ours, floor = ["a", "step", "nn", "1", "1"], ["(floor)", "1", "1.00"]
    assert [line for line in words if line][-6:] == [
        ours, ["PyTorch", "3", "1", "3", "3-3"], ["JAX", "2", "1", "2", "2-2"], floor, ours, floor]


# -- the readme ---------------------------------------------------------------------------------------------------


def results():
    """A whole bench, made up: the grid takes 0.1 s an epoch here and 0.3 s there."""
    step, beside, grid = (row({"PyTorch": 3.0}) for _ in range(3))
    for r in beside["libraries"].values():
        r["quiet_ms"] = {"median": r["ms"]["median"] / 2}
    grid["libraries"]["nn"]["ms"]["median"], grid["libraries"]["PyTorch"]["ms"]["median"] = 100.0, 300.0
    where = {"processor": "P", "cores": 2, "date": "today", "versions": {"numpy": "2.4"}}
    rows = [dict(r, part=part) for r, part in ((step, "a"), (beside, "h"), (grid, "g"))]
    return {"machine": where, "pairs": 15, "rows": rows, "growth": []}


def test_one_command_puts_the_results_into_the_readme(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    (folder / "bench.json").write_text(json.dumps(results()))
    (tmp_path / "README.md").write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    for _ in range(2):  # the marks are still there
        assert report.into_readme(folder, tmp_path) == [tmp_path / "README.md", tmp_path / report.CHART]
        text = (tmp_path / "README.md").read_text()
        machine = "2 cores of a processor P, today; numpy 2.4; medians of 15 pairs."
        assert text.startswith(f"before\n{report.BEGIN}{machine}")
        assert text.endswith(f"{report.END}after\n") and "old" not in text
        assert "| | ours, ms | PyTorch | times the floor |\n|---|---|---|---|\n| a step | 1 | 3 | 1.0 |\n" in text
        assert "all 300 epochs take: ours 30 s, PyTorch 90 s" in text and "without it: ours 2.0, PyTorch 2.0" in text
        assert (tmp_path / report.CHART).read_bytes().startswith(b"\x89PNG")


def test_the_readme_has_both_marks_once():
    text = (report.ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1 and text.index(report.BEGIN) < text.index(report.END)


@pytest.mark.parametrize("content", [None, "{", json.dumps({"machine": {}, "rows": []}),
                                     json.dumps(dict(results(), rows=results()["rows"][:1]))])
def test_without_the_results_of_a_whole_bench_the_readme_stays(content, tmp_path):
    if content is not None:
        (tmp_path / "bench.json").write_text(content)
    (tmp_path / "README.md").write_text(f"{report.BEGIN}old\n{report.END}")
    with pytest.raises(BadInput, match="does not hold the bench.json of a whole bench"):
        report.into_readme(tmp_path, tmp_path)
    assert "old" in (tmp_path / "README.md").read_text() and not (tmp_path / ".pictures").exists()


def test_the_command_for_the_readme_measures_nothing(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(bench, "into_readme", lambda out: seen.append(out) or [Path("README.md"), Path("chart.png")])
    monkeypatch.setattr(bench, "measure", None)
    console = Console(file=io.StringIO(), width=150)
    assert bench.run(bench.BenchOptions(out=tmp_path, readme=True), console) is True
    assert seen == [tmp_path] and "README.md and chart.png" in console.file.getvalue()

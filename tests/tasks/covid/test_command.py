"""The command: a network is trained as by train.run, and that of a finished run is asked about other days."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data import BadInput
from tasks.common.tensors import pack
from tasks.covid import command, train


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a short run on simulated data."""
    out = tmp_path_factory.mktemp("covid") / "run"
    options = command.CovidCommand(cell="gru", L=3, csv="simulated", epochs=2, hidden=4, out=out)
    command.run(options, Console(file=io.StringIO()))
    return out


def test_the_options_that_train_nothing_are_no_part_of_a_run(finished):
    options = train.CovidOptions(cell="gru", L=3, csv="simulated", epochs=2, hidden=4)
    config = json.loads((finished / "config.json").read_text())
    assert config == train.run_config(options, train.read(options, lambda line: None)) and "predict" not in config


def test_a_saved_network_is_asked_about_another_day_and_another_file(finished, capsys):
    asked = command.CovidCommand(predict=finished, csv="simulated", out=Path("same"))
    command.run(asked, Console(width=200))
    same = pd.read_csv("same/probabilities.csv", keep_default_na=False)
    np.testing.assert_allclose(same["probability"], pd.read_csv(finished / "probabilities.csv")["probability"])
    assert "simulated" in Path("same/world_map.svg").read_text() and {path.name for path in Path("same").iterdir()} == {
        "probabilities.csv", "world_map.svg"}

    days = [f"2020-03-{day:02}" for day in range(1, 9)]
    rows = pd.DataFrame([["Peru", *range(1, 9)], ["Chad", 1, 2, 4, 5, 9, 11, 12, 20]])
    rows.to_csv("own.csv", index=False, header=["Country/Region", *days])
    command.run(command.CovidCommand(predict=finished, csv="own.csv", until="2020-03-06"), Console(width=200))
    out, = Path("runs").iterdir()
    assert out.name == "predict-run-2020-03-06" and len(pd.read_csv(out / "probabilities.csv")) == 2
    said = capsys.readouterr().out
    assert "More new cases on 2020-03-07 than the day before?" in said and " %  Peru" in said
    with pytest.raises(BadInput, match="exists: --overwrite replaces"):
        command.run(command.CovidCommand(predict=finished, csv="own.csv", until="2020-03-06"), Console())


@pytest.mark.parametrize("spoil, says", [
    (lambda run: shutil.rmtree(run), "model.safetensors: is damaged .*No such file"),
    (lambda run: (run / "config.json").write_text("{}"), "is not the folder of a run of this study .'cell'"),
    (lambda run: (run / "config.json").unlink(), "is not the folder of a run of this study .*No such file"),
    (lambda run: (run / "model.safetensors").write_bytes(pack({"a": np.zeros(3)})), "is not the folder of a run"),
    (lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-1]), "is damaged"),
])
def test_what_is_no_run_is_not_asked(finished, spoil, says):
    shutil.copytree(finished, "run")
    spoil(Path("run"))
    with pytest.raises(BadInput, match=says):
        command.run(command.CovidCommand(predict=Path("run"), csv="simulated"), Console())
    assert not Path("runs").exists()

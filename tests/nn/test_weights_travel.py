"""Weights are data: PyTorch reads what nn saves and nn what PyTorch saves, unchanged; nothing is ever pickled.

tests/reference/record_weights.py, by hand, let PyTorch save a model and answer questions. It also loads nn's weights
in PyTorch; here, where there is no PyTorch, nn's file has to have PyTorch's names, shapes, types and bytes.

Read next: test_module.py.
"""

from __future__ import annotations

import ast
import json
import pickle
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors
import safetensors.numpy

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference"
all_layers = SimpleNamespace(**runpy.run_path(str(REFERENCE / "all_layers.py")))  # no package: run by hand, too
WEIGHTS = REFERENCE / "weights.safetensors"
with safetensors.safe_open(REFERENCE / "answers.safetensors", "np") as file:
    ANSWERS, INFO = {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["info"])


def contents(path):
    """{name: its type, its shape, its bytes} of a safetensors file."""
    return {name: (tensor["dtype"], tensor["shape"], bytes(tensor["data"]))
            for name, tensor in safetensors.deserialize(Path(path).read_bytes())}


def test_what_pytorch_saved_answers_the_same_in_nn():
    model = all_layers.Everything()
    model.load(WEIGHTS)
    said = all_layers.answers(model, **all_layers.questions())
    assert said.keys() == ANSWERS.keys()
    for name, tensor in said.items():
        assert tensor.dtype == np.float32
        np.testing.assert_allclose(tensor.data, ANSWERS[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_nn_saves_is_what_pytorch_saved():
    model = all_layers.Everything()
    model.load(WEIGHTS)
    model.save("model.safetensors")
    assert contents("model.safetensors") == contents(WEIGHTS)
    assert list(model.state_dict()) == INFO["state_dict"]


def test_there_and_back_again_every_bit_is_kept():
    model, other = all_layers.Everything(seed=1), all_layers.Everything(seed=2)
    special = np.array([-0.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)
    model.layers["RNN 3 5 1 False True"].bias_ih_l0.data[...] = special
    model.save("model.safetensors")
    other.load("model.safetensors")
    other.save("other.safetensors")
    assert contents("other.safetensors") == contents("model.safetensors") != contents(WEIGHTS)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_another_type_come_in_the_models(dtype):
    arrays = safetensors.numpy.load_file(WEIGHTS)
    safetensors.numpy.save_file({name: a.astype(dtype) for name, a in arrays.items()}, "other.safetensors")
    model = all_layers.Everything()
    model.load("other.safetensors")
    for name, p in model.named_parameters():
        assert p.dtype == np.float32
        np.testing.assert_allclose(p.data, arrays[name], rtol=1e-3, atol=1e-4, err_msg=name)


class Bomb:
    def __reduce__(self):
        return open, ("bang", "w")


@pytest.mark.parametrize("damaged", [
    pickle.dumps({"weight": Bomb()}), WEIGHTS.read_bytes()[:-1], WEIGHTS.read_bytes()[:7], b""],
    ids=["a pickle", "cut short", "cut in the header", "empty"])
def test_what_is_no_safetensors_file_is_refused_and_not_run(damaged):
    model = all_layers.Everything()
    before = model.state_dict()
    Path("model.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match="model.safetensors: is not a safetensors file"):
        model.load("model.safetensors")
    assert not Path("bang").exists()
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


# -- nothing is pickled ---------------------------------------------------------------------------------------

PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib.dump", "joblib.load",
           "torch.save", "torch.load"}
PICKLING = {"read_pickle", "to_pickle"}  # of pandas


def pickling(source: str) -> set[str]:
    """What in a source would write or read a pickle."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & PICKLES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)} & PICKLES
        elif isinstance(node, ast.Attribute):
            found |= {ast.unparse(node)} & PICKLES | {node.attr} & PICKLING
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found |= set() if ast.unparse(node.value) == "False" else {"allow_pickle"}
    return found


@pytest.mark.parametrize("path", [ROOT / "run.py", *(path for part in ("nn", "tasks", "data")
                                                     for path in sorted((ROOT / part).glob("**/*.py")))],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_pickled(path):
    assert not pickling(path.read_text())


@pytest.mark.parametrize("source, found", [
    ("import os, pickle", {"pickle"}), ("from pickle import dumps", {"pickle"}), ("import dill as d", {"dill"}),
    ("np.load(path, allow_pickle=True)", {"allow_pickle"}), ("np.load(path, allow_pickle=flag)", {"allow_pickle"}),
    ("np.load(path, allow_pickle=False)", set()), ("joblib.dump(model, path)", {"joblib.dump"}),
    ("from joblib import Parallel, load", {"joblib.load"}), ("from joblib import Parallel", set()),
    ("def f():\n  import torch\n  return torch.load('x')", {"torch.load"}), ("frame.to_pickle('x')", {"to_pickle"}),
    ("pd.read_pickle('x')", {"read_pickle"}), ("model.save(path); model.load(path)", set())])
def test_a_pickle_is_seen(source, found):
    assert pickling(source) == found

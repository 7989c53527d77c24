"""The picture of the house, held against the imports: who may know whom, and how long a file may be."""

from __future__ import annotations

import ast
import graphlib
import io
import re
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What each part may import of the house: run.py -> tasks -> data and nn, which do not know each other.
PICTURE = {
    "run": {"tasks", "data"},
    "tasks": {"tasks", "data", "nn"},
    "data": {"data"},
    "nn": {"nn"},
}

# What each package of tasks may import of tasks; gradcheck.py imports nothing of it.
PICTURE_OF_TASKS = {
    "common": {"common"},
    "covid": {"common", "covid"},
    "vae": {"common", "vae"},
    "study": {"common", "covid", "vae", "study"},
    "bench": {"common", "covid", "vae", "bench"},
    "exercise": {"common", "exercise"},
    "explain": {"common", "explain"},
    "gradcheck": set(),
}

# What each file of nn may import of nn.
PICTURE_OF_NN = {
    "backward": set(),
    "recording": set(),
    "tensor": {"backward", "recording"},
    "ops": {"tensor", "threads"},
    "losses": {"tensor", "ops", "threads"},
    "module": {"tensor"},
    "draw": {"backward", "module", "tensor"},
    "cells": {"tensor", "ops", "module"},
    "fused": {"backward", "recording", "tensor"},
    "memory": set(),
    "threads": set(),
    "sequence": {"fused", "memory"},
    "layers": {"tensor", "ops", "module", "sequence"},
    "optim": {"module", "tensor", "threads"},
    "batches": set(),
    "anomaly": {"backward", "fused", "tensor"},
    "gradcheck": {"module", "tensor"},
}

NN_NEEDS = {"numpy", "safetensors"}  # and nothing else but the standard library
OPTIONAL = {"torch", "jax", "autograd", "mygrad", "dask"}  # these alone may be imported inside a function
LINES_OF_CODE = 320  # beyond about 300 a file is two ideas; docstrings, comments and blank lines are not counted

PATHS = [ROOT / "run.py", *sorted(path for part in ("nn", "tasks", "data") for path in (ROOT / part).glob("**/*.py"))]
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in PATHS}


def imports(source: str, nodes=None) -> set[str]:
    """The modules that a source imports: "nn.ops" for `import nn.ops`, `from nn import ops`."""
    found = set()
    for node in ast.walk(ast.parse(source)) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; say which package"
            full = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in FILES else node.module for name in full}
    return found


def imports_inside_functions(source: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return imports(source, [node for function in functions for node in ast.walk(function)])


def wrong_arrows(name: str, source: str) -> set[str]:
    """The imports of the file `name` that are not in the picture."""
    part, _, file = name.partition(".")
    of_the_house = {module for module in imports(source) if module.split(".")[0] in PICTURE}
    wrong = {module for module in of_the_house if module.split(".")[0] not in PICTURE[part]}
    if part == "nn" and file != "__init__":
        wrong |= of_the_house - {f"nn.{other}" for other in PICTURE_OF_NN[file]}
    if part == "tasks" and file != "__init__":
        allowed = PICTURE_OF_TASKS[file.split(".")[0]]
        of_tasks = {module for module in of_the_house if module.split(".")[0] == "tasks"}
        wrong |= {module for module in of_tasks if (module.split(".") + [""])[1] not in allowed}
    return wrong


def lines_of_code(source: str) -> int:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {line for node in nodes for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code = {line for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in blank
            for line in range(token.start[0], token.end[0] + 1)}
    return len(code - docstrings)


every_file = pytest.mark.parametrize("name", FILES)


@every_file
def test_every_import_is_an_arrow_of_the_picture(name):
    assert not wrong_arrows(name, FILES[name].read_text())


@every_file
def test_nothing_is_imported_inside_a_function_but_what_is_optional(name):
    inside = imports_inside_functions(FILES[name].read_text())
    assert {module.split(".")[0] for module in inside} <= OPTIONAL


@every_file
def test_a_file_is_one_idea(name):
    assert lines_of_code(FILES[name].read_text()) <= LINES_OF_CODE


@every_file
def test_a_file_opens_with_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(FILES[name].read_text())) or not FILES[name].read_text().strip()


def test_every_file_of_nn_is_in_the_picture():
    assert set(PICTURE_OF_NN) | {"__init__"} == {name.removeprefix("nn.") for name in FILES if name.startswith("nn.")}


def test_every_package_of_tasks_is_in_the_picture():
    assert set(PICTURE_OF_TASKS) | {"__init__"} == {name.split(".")[1] for name in FILES if name.startswith("tasks.")}


def test_every_file_of_tasks_has_its_tests_in_the_same_place():
    """tests/tasks mirrors tasks: a file of tests belongs to a file of the package of that name."""
    for path in (ROOT / "tests" / "tasks").glob("*/test_*.py"):
        assert path.parent.name in PICTURE_OF_TASKS, path


def reading_path(start: Path) -> list[Path]:
    """The files from one "Read next" to the next."""
    path = [start]
    while (found := re.search(r"^Read next: ([\w/.]+\.py)", path[-1].read_text(), re.MULTILINE)):
        name = found[1]
        following = ROOT / name if name.startswith(("tasks/", "data/", "nn/")) else path[-1].parent / name
        assert following.exists(), f"{path[-1]} says to read {name} next"
        assert following not in path, f"{path[-1]} leads back to {name}"
        path.append(following)
    return path


def test_read_next_is_one_path_through_tasks_and_data():
    path = reading_path(ROOT / "run.py")
    written = {path for name, path in FILES.items() if not name.startswith("nn.") and path.name != "__init__.py"}
    assert written - set(path) == set()


def test_nn_needs_numpy_and_safetensors_alone():
    sources = [path.read_text() for name, path in FILES.items() if name.startswith("nn.")]
    needed = {module.split(".")[0] for source in sources for module in imports(source)}
    assert needed - set(sys.stdlib_module_names) - {"nn"} == NN_NEEDS


def test_no_circle_of_imports():
    graph = {name: {module for module in imports(path.read_text()) if module in FILES} for name, path in FILES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError


@pytest.mark.parametrize("name, source, wrong", [
    ("nn.ops", "import tasks", {"tasks"}),
    ("nn.ops", "from data.covid import read", {"data.covid"}),
    ("nn.ops", "from nn import losses", {"nn.losses"}),
    ("nn.ops", "def f():\n    from nn.losses import mse_loss", {"nn.losses"}),
    ("nn.ops", "import nn", {"nn"}),
    ("nn.ops", "from nn import Tensor", {"nn"}),
    ("nn.ops", "from nn.tensor import Tensor\nimport numpy as np", set()),
    ("nn.__init__", "from nn.ops import exp", set()),
    ("data.covid", "import nn.ops", {"nn.ops"}),
    ("data.covid", "import tasks.common.training\nfrom data import BadInput", {"tasks.common.training"}),
    ("tasks.covid.train", "import run, nn, data", {"run"}),
    ("run", "from nn import Tensor\nfrom tasks import covid", {"nn"}),
])
def test_a_wrong_arrow_is_seen(name, source, wrong):
    assert wrong_arrows(name, source) == wrong


def test_an_import_inside_a_function_is_seen():
    source = "import io\nclass A:\n  def f(self):\n    if self:\n      import pandas.io\nasync def g():\n  import torch"
    assert imports_inside_functions(source) == {"pandas.io", "torch"}


def test_lines_of_code_leaves_words_out():
    source = '"""One\ntwo."""\n\n# three\nx = 1  # four\n\n\ndef f():\n    """Five."""\n    return """six\nseven"""\n'
    assert lines_of_code(source) == 4

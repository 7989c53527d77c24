"""The command line. `python run.py COMMAND --help` explains each command.

Exit status: 0 done; 1 a check failed (gradcheck) or a training diverged; 2 the input or an option is wrong;
130 interrupted, with the state saved.

Read next: tasks/__init__.py, where each command begins.
"""

from __future__ import annotations

import signal
import sys

if sys.version_info < (3, 10):  # noqa: UP036 (an older Python reaches this line and fails at the imports)
    sys.exit("run.py: Python 3.10 or later is needed; this is Python " + sys.version.split()[0])

if __name__ != "run":  # the program, or a worker that it started: Ctrl-C during the imports must not print a traceback
    ready = signal.signal(signal.SIGINT, signal.SIG_DFL)

import ast
import contextlib
import dataclasses
import difflib
import importlib
import io
import itertools
import os
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path

import tyro
from rich.console import Console

from data import BadInput
from tasks.common.stops import STOP_SIGNALS, Diverged, Interrupted

COMMANDS = {  # the function, and the class of its options; a command imports only what it uses
    "covid": ("tasks.covid.command:run", "tasks.covid.command:CovidCommand"),
    "vae": ("tasks.vae.train:run", "tasks.vae.train:VaeOptions"),
    "study": ("tasks.study.command:run", "tasks.study.jobs:StudyOptions"),
    "gradcheck": ("tasks.gradcheck:run", "tasks.gradcheck:GradcheckOptions"),
    "bench": ("tasks.bench.command:run", "tasks.bench.command:BenchOptions"),
    "explain": ("tasks.explain.command:run", "tasks.explain.command:ExplainOptions"),
    "exercise": ("tasks.exercise.command:run", "tasks.exercise.command:ExerciseOptions"),
}


def load(place: str):
    """The object at "module:name"."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def parse(arguments: list[str]) -> tuple[Callable, object]:
    """The command named first, and its options. Raises BadInput, in one line, in place of the boxes of tyro."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(overview())
        raise SystemExit(0)
    if not arguments or arguments[0] not in COMMANDS:
        what = f"there is no command {arguments[0]}" if arguments else "a command is missing"
        near = difflib.get_close_matches(" ".join(arguments[:1]), COMMANDS, 1)
        there_is = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise BadInput(f"{what}; {there_is} (python run.py --help says what each does)")
    (run, options), printed = map(load, COMMANDS[arguments[0]]), io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return run, tyro.cli(options, prog=f"run.py {arguments[0]}", args=arguments[1:],
                                 config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        raise BadInput(complaint(printed.getvalue(), arguments, options)) from None


def overview() -> str:
    """What each command does: the first line of the docstring of its options, read without an import."""
    lines = ["usage: python run.py COMMAND [OPTIONS]", "",
             "A deep-learning library from nothing but numpy, and the studies that run on it.", ""]
    for command, (_, options) in COMMANDS.items():
        module, name = options.split(":")
        source = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        kind, = (node for node in ast.parse(source).body if getattr(node, "name", None) == name)
        lines.append(f"  {command:9}  {ast.get_docstring(kind).splitlines()[0]}")
    return "\n".join([*lines, "", "python run.py COMMAND --help explains the options of a command."])


def complaint(box: str, arguments: list[str], options: type) -> str:
    """tyro's box about wrong arguments in one line, with the nearest name and where to find the right ones."""
    # Below the title: a rule, if the box is drawn in ASCII; a paragraph that says what is wrong; a rule or an empty
    # line; more of it.
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    text = itertools.dropwhile(lambda line: not line.strip("─-"), lines)
    wrong = " ".join(itertools.takewhile(lambda line: line.strip("─-"), text))
    known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]
    words = [word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--")]
    near = [match for word in words if word not in known for match in difflib.get_close_matches(word, known, 1)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{wrong}{hint} (python run.py {arguments[0]} --help lists what there is)"


def quiet() -> int:
    """The exit status where the output was closed; what is still in its buffer goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def main(arguments: list[str]) -> int:
    try:
        run, options = parse(arguments)
        with warnings.catch_warnings():  # training checks itself that its numbers are finite, and says so in one line
            warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)  # from any thread
            return 1 if run(options, Console()) is False else 0
    except BadInput as error:
        message = str(error)
    except BrokenPipeError:  # as by `| head -1`: nobody reads on
        return quiet()
    except OSError as error:  # a disk that is full, a folder that was removed
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    except Interrupted as stop:
        same = [argument for argument in arguments if argument not in ("--resume", "--overwrite")]
        again = shlex.join([*same, *stop.args])
        print(f"\nStopped; the state is saved. To continue: python run.py {again}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nStopped; nothing was saved, so there is nothing to resume.", file=sys.stderr)
        return 130
    except Diverged as error:
        print(f"run.py: {error}. What was saved before is as it was; a smaller --lr may help", file=sys.stderr)
        return 1
    except MemoryError as error:
        message = f"there is not enough memory: {error}"
    print(f"run.py: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    signal.signal(signal.SIGINT, ready)
    for number in STOP_SIGNALS[1:]:  # SIGTERM and SIGHUP stop as Ctrl-C does
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    if sys.stdout is None:  # closed, as by `>&-`
        sys.stdout = open(os.devnull, "w")
    sys.stdout.reconfigure(errors="backslashreplace")  # a name may contain characters the terminal cannot show
    sys.exit(main(sys.argv[1:]))

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

import contextlib
import difflib
import io
import itertools
import os
import shlex
import warnings

import tyro
from rich.console import Console

from data import BadInput
from tasks import gradcheck
from tasks.bench import command as bench
from tasks.common.run_folder import STOP_SIGNALS, Interrupted
from tasks.common.training import Diverged
from tasks.covid import train as covid
from tasks.exercise import command as exercise
from tasks.explain import command as explain
from tasks.study import command as study
from tasks.study.jobs import StudyOptions
from tasks.vae import train as vae

COMMANDS = {
    "covid": (covid.CovidOptions, covid.run),
    "vae": (vae.VaeOptions, vae.run),
    "study": (StudyOptions, study.run),
    "gradcheck": (gradcheck.GradcheckOptions, gradcheck.run),
    "bench": (bench.BenchOptions, bench.run),
    "explain": (explain.ExplainOptions, explain.run),
    "exercise": (exercise.ExerciseOptions, exercise.run),
}


def parse(arguments: list[str]):
    """The options of the command named first. Raises BadInput, in one line, in place of the boxes of tyro."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.extras.subcommand_cli_from_dict(
                {name: options for name, (options, _) in COMMANDS.items()}, prog="run.py", args=arguments,
                description="A deep-learning library from nothing but numpy, and the studies that run on it.",
                config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        raise BadInput(complaint(printed.getvalue(), arguments)) from None


def complaint(box: str, arguments: list[str]) -> str:
    """tyro's box about wrong arguments in one line, with the nearest name and where to find the right ones."""
    # Below the title: a rule, if the box is drawn in ASCII; a paragraph that says what is wrong; a rule or an empty
    # line; more of it.
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    text = itertools.dropwhile(lambda line: not line.strip("─-"), lines)
    wrong = " ".join(itertools.takewhile(lambda line: line.strip("─-"), text))
    command = [name for name in arguments[:1] if name in COMMANDS]
    options = COMMANDS[command[0]][0].__dataclass_fields__ if command else ()
    known = [f"--{name.replace('_', '-')}" for name in options] or list(COMMANDS)
    words = [word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--")]
    near = [match for word in (words if command else arguments[:1]) if word not in known
            for match in difflib.get_close_matches(word, known, 1)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{wrong}{hint} ({' '.join(['python run.py', *command, '--help'])} lists what there is)"


def main(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        run = next(run for kind, run in COMMANDS.values() if isinstance(options, kind))
        with warnings.catch_warnings():  # training checks itself that its numbers are finite, and says so in one line
            warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)  # from any thread
            return 1 if run(options, Console()) is False else 0
    except BadInput as error:
        message = str(error)
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

"""The command line: `python run.py COMMAND --help` says the rest.

Exit status: 0 done; 1 a check failed (gradcheck) or a training diverged; 2 the input or an option is wrong;
130 interrupted, with the state saved.
"""

from __future__ import annotations

import signal

if __name__ != "run":  # the program, or a worker that it started: Ctrl-C in the second of the imports is no traceback
    ready = signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import io
import itertools
import shlex
import sys
import warnings

import tyro
from rich.console import Console

from data import BadInput
from tasks import bench, covid, gradcheck, study, vae
from tasks.run_folder import Interrupted
from tasks.training import Diverged

COMMANDS = {
    "covid": (covid.Covid, covid.run),
    "vae": (vae.Vae, vae.run),
    "study": (study.StudyOptions, study.run),
    "gradcheck": (gradcheck.Gradcheck, gradcheck.run),
    "bench": (bench.Bench, bench.run),
}


def parse(arguments: list[str]):
    """The options of the command named first. BadInput, in one line, in place of tyro's box of several."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                {name: options for name, (options, _) in COMMANDS.items()}, prog="run.py", args=arguments,
                description="A deep-learning library from nothing but numpy, and the studies that run on it.",
                config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        # Under its title: a rule, if the box is drawn in ASCII; a paragraph that says what is wrong; a rule or an empty
        # line; more of it.
        lines = [line.strip("│| ") for line in complaint.getvalue().splitlines()[1:]]
        text = itertools.dropwhile(lambda line: not line.strip("─-"), lines)
        what = " ".join(itertools.takewhile(lambda line: line.strip("─-"), text))
        known = [name for name in arguments[:1] if name in COMMANDS]
        help = " ".join(["python run.py", *known, "--help"])
        raise BadInput(f"{what} ({help} says what there is)") from None


def main(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        run = next(run for kind, run in COMMANDS.values() if isinstance(options, kind))
        with warnings.catch_warnings():  # what is not finite is found by training itself, and said in one line
            warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)  # from any thread
            return 1 if run(options, Console()) is False else 0
    except BadInput as error:
        message = str(error)
    except OSError as error:  # a disk that is full, a folder that went away
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    except Interrupted as stop:
        same = [argument for argument in arguments if argument not in ("--resume", "--overwrite")]
        again = shlex.join([*same, *stop.args])
        print(f"\nStopped; the state is saved. To go on: python run.py {again}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nStopped; there is nothing to go on with.", file=sys.stderr)
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
    sys.stdout.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal has not
    sys.exit(main(sys.argv[1:]))

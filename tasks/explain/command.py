"""A page that plays forward and backward passes step by step.

Read next: trace.py, where the steps come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from data import BadInput
from tasks.common.files import write
from tasks.explain.chapters import Chapter, chapters, played
from tasks.explain.page import page


@dataclass(frozen=True)
class ExplainOptions:
    """Make a page that plays back-propagation step by step: ten chapters, or an expression of your own."""

    code: str | None = None
    """Python to play instead of the chapters, with the names of nn and np: "x = Tensor(2.0, True); tanh(x) * x"."""
    file: Annotated[Path | None, tyro.conf.arg(aliases=["-c"])] = None
    """A file with such Python."""
    out: Path = Path("runs", "explain")
    """The folder of the page."""


def run(options: ExplainOptions, console: Console) -> None:
    """Write index.html. Raises BadInput for code that cannot be played, with nothing written."""
    if options.code is not None and options.file is not None:
        raise BadInput("--code and --file: give one of them")
    code, where = options.code, "--code"
    if options.file is not None:
        where = str(options.file)
        try:
            code = options.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--file: {where} cannot be read ({error})") from None
    made = chapters() if code is None else [Chapter("Your expression", [played(code, "", where=where)])]
    path = options.out.expanduser() / "index.html"
    write(path, page(made))
    console.print(f"{path}: open it in a browser.", soft_wrap=True, highlight=False)

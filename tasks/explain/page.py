"""The page: chapters in page.html, the look in page.css, the players in player.js. All in one file, without a request.

Read next: tasks/exercise/command.py, pieces of nn to write yourself.
"""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2

from tasks.common.style import png
from tasks.explain.chapters import Chapter


def page(chapters: list[Chapter]) -> str:
    """The HTML of the chapters."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )
    templates.filters["as_image"] = lambda figure: f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}"
    return templates.get_template("page.html").render(chapters=chapters)

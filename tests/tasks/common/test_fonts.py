"""Characters that matplotlib's own font lacks: another font of the machine, or one line on stderr."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
from matplotlib.text import Text

from tasks.common import fonts
from tasks.common.style import canvas, png

FOLDER = Path(matplotlib.get_data_path(), "fonts", "ttf")
RARE = "\u20d2"  # is in STIXGeneral, which comes with matplotlib, but not in DejaVu Sans


@pytest.fixture
def machine(monkeypatch):
    """A function that says which fonts the machine has."""
    def forget():
        for function in (fonts._families, fonts._say_once):
            function.cache_clear()

    forget()
    yield lambda *paths: monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: list(map(str, paths)))
    forget()


def families(title):
    """The fonts of the title of a figure that was drawn; the tests' filter makes each warning an error."""
    figure, _ = canvas(title)
    assert png(figure).startswith(b"\x89PNG")
    text, = (text for text in figure.findobj(Text) if text.get_text() == title)
    return text.get_fontfamily()


def test_a_font_of_the_machine_is_used_where_it_is_needed(machine, capsys):
    machine(FOLDER / "cmr10.ttf", FOLDER / "LastResortHE-Regular.ttf", FOLDER / "STIXGeneral.ttf")
    assert families(f"{RARE} and Peru") == ["DejaVu Sans", "STIXGeneral"]
    assert "STIXGeneral" not in families("Peru")
    assert capsys.readouterr() == ("", "")


def test_where_there_is_none_it_is_said_once_and_drawn_all_the_same(machine, capsys, tmp_path):
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    machine(FOLDER / "cmr10.ttf", tmp_path / "damaged.ttf")
    for title in (f"{RARE} and Peru", "\u20dd", RARE):
        assert families(title) == ["DejaVu Sans"]
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and error.startswith("No font on this machine has all the characters")

"""Names in any script: figures use a font of the machine that has the characters which matplotlib's own font lacks.

Read next: machine.py, the processor that the measurements belong to.
"""

from __future__ import annotations

import functools
import sys
import warnings

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

OWN = "DejaVu Sans"  # comes with matplotlib


def set_fonts(figure: Figure) -> None:
    """Add fonts to the texts of a figure that need them. What no font has is drawn as a box, which is said once, in one
    line on stderr.
    """
    texts = figure.findobj(Text)
    letters = {letter for text in texts for letter in text.get_text()} - {"\n"}
    lacking = letters - _characters(font_manager.findfont(OWN))
    if not lacking:
        return
    families = _families("".join(sorted(lacking)))
    for text in texts:
        if lacking.intersection(text.get_text()):
            text.set_fontfamily([OWN, *families])


@functools.cache
def _families(lacking: str) -> tuple[str, ...]:
    """Fonts of this machine that together have the characters `lacking`, or as many of them as possible."""
    rest, families = set(lacking), []
    for path in sorted(font_manager.findSystemFonts()):
        try:
            found = rest & _characters(path)
            if found and "LastResort" not in path:
                font_manager.fontManager.addfont(path)
                families.append(font_manager.FontProperties(fname=path).get_name())
                rest -= found
        except (OSError, RuntimeError):  # not a font that matplotlib can use
            continue
        if not rest:
            break
    if rest:
        _say_once()
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")  # matplotlib would say it for each character
    return tuple(families)


@functools.cache
def _say_once() -> None:
    print("No font on this machine has all the characters of these names; figures show boxes in their place. Any font "
          "that has them will do, such as Noto Sans CJK for Chinese.", file=sys.stderr)


@functools.lru_cache(1)
def _characters(path: str) -> set[str]:
    return set(map(chr, FT2Font(path).get_charmap()))

"""The widths of the characters of a font in a PDF, read with PDFium."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, byref, c_float
from typing import Any

# The least and the most that a character is wide, relative to its size. Chinese letters have a width of 1.
_NARROWEST, _WIDEST = 0.4, 0.75
_SAMPLE = "imMW.0-ealn"
_MIN_SAMPLE = 4


class Fonts:
    """The fonts of one page. PDFium may free a font with its page."""

    def __init__(self, text_page: Any) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._handle = text_page.raw
        self._advances: dict[int, float] = {}

    def advance_at(self, index: int) -> float:
        """`advance_of` the font of a character of the page."""
        font = self._raw.FPDFTextObj_GetFont(self._raw.FPDFText_GetTextObject(self._handle, index))
        if not font:
            return 0.0
        key = addressof(font.contents)
        if key not in self._advances:
            self._advances[key] = advance_of(lambda character: self._width(font, character))
        return self._advances[key]

    def _width(self, font: Any, character: str) -> float:
        width = c_float()
        found = self._raw.FPDFFont_GetGlyphWidth(font, ord(character), 1.0, byref(width))
        return width.value if found else 0.0


def advance_of(width_of: Callable[[str], float]) -> float:
    """The width of the characters of a font of size 1; 0.0 if they are of several widths.

    `width_of` gives the width of a character, and 0.0 for one that the font does not contain.
    """
    advance, found = 0.0, 0
    for character in _SAMPLE:
        width = width_of(character)
        if width <= 0:
            continue
        if found and abs(width - advance) > 0.002:
            return 0.0
        advance, found = width, found + 1
    return advance if found >= _MIN_SAMPLE and _NARROWEST <= advance <= _WIDEST else 0.0

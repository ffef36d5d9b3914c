"""Code listings and drawings in characters on a PDF page: lines in a font whose characters are all of one width.

Their line ends and the spaces before and between their words say something, so they are kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from retrieval.conversion.pdf.line import Line
from retrieval.conversion.pdf.words import HYPHEN, LOWER_START, SENTENCE_END, Word
from retrieval.conversion.raised import without_markers

# How far a word may be beside its column, relative to the width of a character.
_OFF_GRID = 0.15
# Relative to the size of the text.
_NEAR = 1.4
_MAX_GAP = 3.5
_MAX_BLANK_LINES = 2
_MAX_COLUMNS = 400
# In a document with a larger share of such characters they say nothing: it was written with a typewriter's font.
_TYPEWRITER = 0.85


def is_typewritten(words: Iterable[Word]) -> bool:
    """Whether most characters of a document, of which these are the first words, are of one width."""
    total = fixed = 0
    for word in words:
        total += len(word.text)
        fixed += len(word.text) if word.advance else 0
    return fixed > _TYPEWRITER * total


def keep_grid(words: Sequence[Word]) -> None:
    """Set the advance of the words of a printed line to 0.0 unless all of them stand in columns of characters.

    The number of a line in a listing may be in another font.
    """
    first = next((word for word in words if word.advance), None)
    if first is None:
        return
    start = words.index(first)
    is_listing = start == 0 or (start == 1 and len(words) > 1 and words[0].text.isdecimal())
    for word in words[start:]:
        columns = (word.left - first.left) / first.advance
        is_listing &= abs(columns - round(columns)) <= _OFF_GRID and not word.is_rtl
        is_listing &= abs(word.size - first.size) <= _OFF_GRID * first.size
    last = words[-1]
    is_listing &= abs((last.right - last.left) / first.advance - _cells(last.text)) < 0.5
    for word in words:
        word.advance = first.advance if is_listing else 0.0


def leave_words_in_prose(lines: Sequence[Line]) -> None:
    """Make a line of prose of one that has words in such a font only because its paragraph was wrapped there."""
    for number, line in enumerate(lines):
        if not line.advance:
            continue
        before = lines[number - 1] if number else None
        after = lines[number + 1] if number + 1 < len(lines) else None
        if (before and before.advance) or (after and after.advance):
            continue
        goes_on = before is not None and _is_beside(before, line) and not SENTENCE_END.search(before.text)
        if goes_on or (after is not None and _is_beside(line, after) and LOWER_START.match(after.text)):
            line.advance = 0.0


def is_one_listing(line: Line, following: Line) -> bool:
    """Whether two lines of code are of one listing."""
    drop = line.base - following.base
    return abs(line.advance - following.advance) < 0.01 * line.advance and 0 < drop <= _MAX_GAP * line.size


def listing_text(lines: Sequence[Line]) -> str:
    """The lines of a listing with the spaces before and between their words, and with its empty lines."""
    left, advance = min(line.left for line in lines), lines[0].advance
    pitch = min((one.base - two.base for one, two in pairwise(lines)), default=0.0)
    written = [_line_text(lines[0], left, advance)]
    for one, two in pairwise(lines):
        empty = round((one.base - two.base) / pitch) - 1
        written += [""] * min(empty, _MAX_BLANK_LINES)
        written.append(_line_text(two, left, advance))
    return "\n".join(written)


def _line_text(line: Line, left: float, advance: float) -> str:
    text, width = "", 0
    for number, word in enumerate(line.words):
        column = min(round((word.left - left) / advance), _MAX_COLUMNS)
        least = width + 1 if number and word.spaces else width
        column = max(column, least)
        plain = without_markers(word.text).replace(HYPHEN, "-")
        text += " " * (column - width) + plain
        width = column + _cells(plain)
    return text


def _cells(text: str) -> int:
    """The number of columns that a text takes: two for a Chinese character."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _is_beside(above: Line, below: Line) -> bool:
    """Whether two lines are as near as those of a paragraph, and begin at the same place."""
    near = 0 < above.base - below.base <= _NEAR * max(above.size, below.size)
    return near and abs(above.left - below.left) < 0.5 * below.size

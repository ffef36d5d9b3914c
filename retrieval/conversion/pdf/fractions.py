"""Fractions of displayed formulas: what stands above and below a bar becomes one text with a slash."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from retrieval.conversion.pdf.rows import read_rows
from retrieval.conversion.pdf.rules import Rules
from retrieval.conversion.pdf.words import Word

# A page without such a word has no formula.
_OPERATOR = re.compile("[=≈≡≤≥<>+−×·±∓-]")
_EQUALS = re.compile("[=≈≡≤≥]")
# In points: bars, and how far the text of a fraction may reach beyond its bar.
_SHORTEST, _LONGEST, _BEYOND = 3.0, 300.0, 1.5
# Relative to the size of the text: the height of a bar above the base line of the formula, the distance of base lines
# from the bar, and the distance of what stands beside it. The base line of a large sign, such as a sum, is at its top.
_AXIS_LEAST, _AXIS_MOST = 0.12, 0.45
_ABOVE_MOST, _BELOW_MOST = 1.35, 1.75
_BESIDE = 1.2
# The wider part fills its bar.
_FILLED = 0.6
_MAX_BARS = 200


def join_fractions(words: list[Word], rules: Callable[[], Rules]) -> list[Word]:
    """The upright words of a page with each fraction as one word. `rules` reads the ruled lines of the page."""
    if not any(_EQUALS.search(word.text) for word in words):
        return words
    bars = [bar for bar in rules().across if _SHORTEST <= bar[2] - bar[1] <= _LONGEST]
    if len(bars) > _MAX_BARS:
        return words
    # The bars within a fraction are shorter than its own.
    for y, left, right in sorted(bars, key=lambda bar: bar[2] - bar[1]):
        words = _join(words, y, left, right)
    return words


def _join(words: list[Word], y: float, left: float, right: float) -> list[Word]:
    near = [word for word in words if word.turn == 0 and word.left < right + 30 and word.right > left - 30]
    inside = [word for word in near if word.left >= left - _BEYOND and word.right <= right + _BEYOND]
    main = _beside(near, y, left, right)
    if main is None:
        return words
    above = [word for word in inside if 0 < word.base - y <= _ABOVE_MOST * main.size]
    below = [word for word in inside if 0 < y - word.base <= _BELOW_MOST * main.size]
    if not above or not below:
        return words
    if max(map(_width, (above, below))) < _FILLED * (right - left):
        return words
    text = f"{_part(above)}/{_part(below)}"
    first = min(above, key=words.index)
    fraction = Word(text, left, right, main.base, main.size, spaces=1, breaks=True)
    gone = set(map(id, (*above, *below)))
    joined: list[Word] = []
    for word in words:
        if word is first:
            joined.append(fraction)
        if id(word) not in gone:
            joined.append(word)
    return joined


def _beside(near: Sequence[Word], y: float, left: float, right: float) -> Word | None:
    """The operator beside a bar, at whose height it is drawn; None if there is none."""
    return next(
        (
            word
            for word in near
            if _AXIS_LEAST * word.size <= y - word.base <= _AXIS_MOST * word.size
            and (0 <= left - word.right + 1 <= _BESIDE * word.size or 0 <= word.left - right + 1 <= _BESIDE * word.size)
            and _OPERATOR.search(word.text)
        ),
        None,
    )


def _width(words: Sequence[Word]) -> float:
    return max(word.right for word in words) - min(word.left for word in words)


def _part(words: list[Word]) -> str:
    """The text above or below a bar, in brackets if it has several words."""
    rows = [row for rows in read_rows(words).values() for row in rows]
    text = " ".join(line.text for row in rows for line in row.lines())
    return f"({text})" if " " in text else text

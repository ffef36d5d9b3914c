"""Where a text may be cut: between sentences, between words, and at last between characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

Span = tuple[int, int]

_OPENING = "\"'“”‘«(\\[「『（【"
_CLOSING = "\"'“”’»)\\]」』）】"
# A sentence ends at . ! ? … before white space and something that can begin a sentence, or at CJK
# punctuation, after which no space is written; closing quotes and brackets go with it.
_SENTENCE_END = re.compile(rf"[.!?…]+[{_CLOSING}]*(?=\s+[{_OPENING}]*[^\s{_OPENING}a-z])|[。｡！？；]+[{_CLOSING}]*")
_CJK_PAUSES = "，、："
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|no|nos|vs|fig|figs|eq|sec|art|cf|al|approx|e\.g|i\.e|inc|ltd|co|"
    r"jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|[a-z])\.$",
    re.IGNORECASE,
)


_FIRST_TRY = 64  # characters


def sentences(text: str, span: Span) -> list[Span]:
    """The sentences of a span, white space between them in none of them."""
    start, end = span
    spans: list[Span] = []
    for match in _SENTENCE_END.finditer(text, start, end):
        if match.group().startswith(".") and _ABBREVIATION.search(text[max(start, match.end() - 12) : match.end()]):
            continue
        spans.extend(trimmed(text, (start, match.end())))
        start = match.end()
    spans.extend(trimmed(text, (start, end)))
    return spans


def pieces_that_fit(text: str, span: Span, fits: Callable[[Span], bool]) -> Iterator[Span]:
    """Cuts a span that holds no sentence boundary: as much as fits, at a space or a CJK comma where there is one.

    `fits` need not be monotonic, but must allow one character; if it does not, one is taken all the same.
    """
    rest = trimmed(text, span)
    while rest:
        start, end = rest[0]
        cut = _longest_prefix(text, (start, end), fits)
        yield from trimmed(text, (start, cut))
        rest = trimmed(text, (cut, end))


def trimmed(text: str, span: Span) -> list[Span]:
    """The span without white space at either end; an empty list if that leaves nothing."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return [(start, end)] if start < end else []


def _longest_prefix(text: str, span: Span, fits: Callable[[Span], bool]) -> int:
    start, end = span
    # Doubling from a small size on, since counting the tokens of all that is left would cost the square
    # of its length.
    size = _FIRST_TRY
    while start + size < end and fits((start, start + size)):
        size *= 2
    if start + size >= end and fits(span):
        return end
    low, high = start + 1, min(start + size, end)
    while low < high:
        middle = (low + high + 1) // 2
        if fits((start, middle)):
            low = middle
        else:
            high = middle - 1
    at_pause = _last_pause(text, start, low)
    cut = at_pause if at_pause is not None else _between_characters(text, start, low)
    while cut > start + 1 and not fits((start, cut)):
        cut = _between_characters(text, start, cut - 1)
    return cut


def _last_pause(text: str, start: int, limit: int) -> int | None:
    """The last place at or before `limit` with white space after it or a CJK comma before it that leaves at
    least half of what would fit."""
    for position in range(limit, start + (limit - start) // 2, -1):
        if position < len(text) and (text[position].isspace() or text[position - 1] in _CJK_PAUSES):
            return position
    return None


def _between_characters(text: str, start: int, cut: int) -> int:
    """Moves a cut back so that no accent or joined emoji is parted from what it belongs to."""
    position = cut
    while position > start + 1 and position < len(text) and _belongs_to_previous(text, position):
        position -= 1
    return position if position > start else cut


def _belongs_to_previous(text: str, position: int) -> bool:
    character = text[position]
    return (
        unicodedata.combining(character) != 0
        or unicodedata.category(character) in {"Mn", "Mc", "Me", "Cf"}
        or text[position - 1] == "\u200d"
    )

"""Cuts inside a long sentence: between clauses or words, or between characters if necessary."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

from retrieval.splitting.scripts import CJK_COMMAS
from retrieval.splitting.sentences import Span, trimmed

_FIRST_SIZE = 64  # characters
# Cuts one character before the other that are tried where a shorter piece may have more tokens than a longer one.
_SHORTER_TRIES = 16
_MAX_CHARACTERS_PER_TOKEN = 16


def pieces_that_fit(text: str, span: Span, fits: Callable[[Span], bool]) -> Iterator[Span]:
    """Cut a span into the longest pieces that fit, at white space or a CJK comma where possible.

    `fits` need not be monotonic. A piece has at least one character, even if that does not fit.
    """
    rest = trimmed(text, span)
    while rest:
        start, end = rest[0]
        cut = _longest_prefix(text, (start, end), fits)
        yield from trimmed(text, (start, cut))
        rest = trimmed(text, (cut, end))


def last_that_fits(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The last number from `low` to `high` that fits, by bisection; `low` without a test."""
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def shortened(text: str, fits: Callable[[str], bool], max_tokens: int) -> str:
    """The text, or as much of its start as fits before "…"; "" if nothing does.

    A text with very many characters for `max_tokens` is not tried as a whole, because counting takes time.
    """
    longest = _MAX_CHARACTERS_PER_TOKEN * max_tokens
    if not text or (len(text) <= longest and fits(text)):
        return text
    length = last_that_fits(0, min(len(text) - 1, longest), lambda length: fits(text[:length].rstrip() + "…"))
    return text[:length].rstrip() + "…" if length else ""


def _longest_prefix(text: str, span: Span, fits: Callable[[Span], bool]) -> int:
    start, end = span
    # Start small and double: counting the tokens of the whole rest for every piece would take quadratic time.
    size = _FIRST_SIZE
    while start + size < end and fits((start, start + size)):
        size *= 2
    if start + size >= end and fits(span):
        return end
    longest = last_that_fits(start + 1, min(start + size, end), lambda cut: fits((start, cut)))
    cut = _last_pause(text, start, longest) or _between_characters(text, start, longest)
    tries = _SHORTER_TRIES
    while cut > start + 1 and not fits((start, cut)):
        # Not much shorter at first; then by halves, so that many accents do not each take a try.
        tries -= 1
        shorter = cut - 1 if tries > 0 else start + (cut - start) // 2
        cut = max(start + 1, _between_characters(text, start, shorter))
    return cut


def _last_pause(text: str, start: int, limit: int) -> int | None:
    """The last position before white space or after a CJK comma in the second half up to `limit`."""
    for position in range(limit, start + (limit - start) // 2, -1):
        if position < len(text) and (text[position].isspace() or text[position - 1] in CJK_COMMAS):
            return position
    return None


def _between_characters(text: str, start: int, cut: int) -> int:
    """Move a cut back so that it does not separate an accent or a joined emoji from its base character.

    Not if there is no other place since the start: a run of accents would become pieces of one character each.
    """
    for position in range(cut, start, -1):
        if position == len(text) or not _belongs_to_previous(text, position):
            return position
    return cut


def _belongs_to_previous(text: str, position: int) -> bool:
    character = text[position]
    marks = {"Mn", "Mc", "Me", "Cf"}
    return bool(
        unicodedata.combining(character) or unicodedata.category(character) in marks or text[position - 1] == "\u200d"
    )

"""The logical order of words on a line with Arabic or Hebrew, from their visual order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from retrieval.conversion.pdf.words import Word

_LETTER = re.compile(r"[^\W\d_]")


def logical_order(words: Sequence[Word]) -> tuple[list[Word], bool]:
    """The words of a line, given from left to right, as they are read, and whether the line runs to the left.

    A line runs in the direction of the words at both of its ends, or if they differ, of most of its letters. Within it,
    runs of the other direction are turned round.
    """
    letters = [len(_LETTER.findall(word.text)) * (1 if word.is_rtl else -1) for word in words]
    ends = {one > 0 for one in (letters[0], letters[-1]) if one}
    is_rtl = sum(letters) >= 0 if len(ends) != 1 else ends == {True}
    groups: list[list[Word]] = []
    for word in words:
        if groups and not word.spaces and not word.is_rtl:
            # A raised number stays at its word.
            groups[-1].append(word)
        else:
            groups.append([word])
    for group in groups:
        # Each keeps a space before it, whichever neighbour it had.
        group[0].spaces = max(1, group[0].spaces)
    ordered = groups[::-1] if is_rtl else groups
    _turn_runs(ordered, _is_ltr if is_rtl else _is_rtl)
    return [word for group in ordered for word in group], is_rtl


def _is_rtl(group: Sequence[Word]) -> bool:
    return any(word.is_rtl for word in group)


def _is_ltr(group: Sequence[Word]) -> bool:
    return not _is_rtl(group) and _has_letters(group)


def _has_letters(group: Sequence[Word]) -> bool:
    return any(_LETTER.search(word.text) is not None for word in group)


def _turn_runs(groups: list[list[Word]], is_other: Callable[[Sequence[Word]], bool]) -> None:
    """Turn each run of words of the other direction round, with the numbers and signs between them."""
    start = 0
    while start < len(groups):
        if not is_other(groups[start]):
            start += 1
            continue
        end = last = start
        while end < len(groups) and (is_other(groups[end]) or not _has_letters(groups[end])):
            last = end if is_other(groups[end]) else last
            end += 1
        groups[start : last + 1] = groups[start : last + 1][::-1]
        start = last + 1

"""The printed rows of a PDF page: words on one base line, cut where a gap separates columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from retrieval.conversion.pdf.bidi import logical_order
from retrieval.conversion.pdf.line import Line
from retrieval.conversion.pdf.listings import keep_grid
from retrieval.conversion.pdf.words import Word
from retrieval.conversion.raised import lowered, raised

# Relative to the size of the text.
_SMALLER = 0.87
_RAISED_LEAST, _RAISED_MOST, _LOWERED_MOST = 0.08, 0.85, 0.5
_SAME_BASE = 0.25
_NEAR = 0.35
_WIDE_GAP = 1.8
_MAYBE_GAP, _MAYBE_ALIGNED_GAP = 0.9, 0.45
_ALIGNED = 0.15
_SPACE = 0.6
_ROWS_AROUND = 3
_MAX_SCRIPT_CHARACTERS = 8
# What stands before the text of a list entry or heading, at some distance.
_LABEL = re.compile(
    r"(?:[•◦▪‣∙●○■·–*-]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivxlIVXL]{1,6}[.)]|§+\s?\d+[a-z]?|\[[x ]?\]|\ufdd0.*\ufdd3)"
)
_NUMBER_LABEL = re.compile(r"\d{1,3}(?:\.\d{1,3})+\.?")


@dataclass(slots=True)
class _Run:
    """Words one after the other on a base line."""

    words: list[Word]
    base: float
    size: float
    order: int = 0

    @property
    def left(self) -> float:
        return min(word.left for word in self.words)

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)


@dataclass(slots=True)
class Row:
    """All words on one base line, from left to right. `cuts` are the places of gaps between columns."""

    words: list[Word]
    base: float
    size: float
    order: int
    gaps: list[tuple[int, float, float, bool]] = field(default_factory=list)
    cuts: set[int] = field(default_factory=set)

    def lines(self) -> list[Line]:
        bounds = [0, *sorted(self.cuts), len(self.words)]
        return [self._line(self.words[start:end]) for start, end in pairwise(bounds)]

    def _line(self, words: list[Word]) -> Line:
        is_rtl = any(word.is_rtl for word in words)
        ordered, is_rtl = logical_order(words) if is_rtl else (words, False)
        text = "".join(f"{' ' if word.spaces and number else ''}{word.text}" for number, word in enumerate(ordered))
        first = next((number for number, word in enumerate(ordered) if number and word.spaces), len(ordered))
        width = sum(word.right - word.left for word in ordered[:first])
        left, right = min(word.left for word in words), max(word.right for word in words)
        line = Line(text, self.size, left, right, self.base, width, order=self.order, is_rtl=is_rtl)
        if words[0].advance and all(word.advance == words[0].advance for word in words):
            line.advance, line.words = words[0].advance, words
        return line


def read_rows(words: Sequence[Word]) -> dict[int, list[Row]]:
    """The rows from top to bottom, by the quarter turns of their direction; the most usual direction is first."""
    return {turn: _rows(_runs(list(of_turn))) for turn, of_turn in groupby(words, key=lambda word: word.turn)}


def _runs(words: Sequence[Word]) -> list[_Run]:
    """Words that follow each other on a base line, with raised and lowered ones marked."""
    runs: list[_Run] = []
    for word in words:
        run = runs[-1] if runs else None
        if run is not None and _joins(run, word):
            run.words.append(word)
        else:
            runs.append(_Run([word], word.base, word.size, order=len(runs)))
    for run in runs:
        keep_grid(run.words)
    return runs


def _joins(run: _Run, word: Word) -> bool:
    """Whether a word goes on a run. Marks the word if it is raised or lowered, or the run if that is."""
    last = run.words[-1]
    if word.base == run.base and word.size == run.size and last.left <= word.left and not word.breaks:
        return True
    rise = word.base - run.base
    gap = max(word.left - last.right, last.left - word.right)
    if abs(rise) <= _SAME_BASE * min(run.size, word.size) and not (
        _is_small(word, run.size) and abs(rise) > _RAISED_LEAST * run.size and gap < _NEAR * run.size
    ):
        if word.breaks and gap > 0.12 * word.size:
            word.spaces = max(1, word.spaces)
        # A jump back begins another run, as in a second column.
        return word.is_rtl or last.is_rtl or word.left >= last.left
    is_short = len(word.text) <= _MAX_SCRIPT_CHARACTERS
    if is_short and len(run.words) > 1 and _is_below_raised(word, run):
        _mark(word, lowered(word.text), 0.0, run.size)
        return True
    if is_short and gap < _NEAR * run.size and word.left > last.left:
        small = _is_small(word, run.size)
        has_digits = word.text[:1].isdigit() and word.size <= run.size * 1.02
        if _RAISED_LEAST * run.size < rise < _RAISED_MOST * run.size and (
            small or (has_digits and rise > 0.2 * run.size)
        ):
            _mark(word, raised(word.text), gap, run.size)
            return True
        if _RAISED_LEAST * run.size < -rise < _LOWERED_MOST * run.size and small:
            _mark(word, lowered(word.text), gap, run.size)
            return True
    # A small raised number before the text of a note.
    is_mark = len(run.words) == 1 and len(last.text) <= _MAX_SCRIPT_CHARACTERS and last.size <= _SMALLER * word.size
    if is_mark and _RAISED_LEAST * word.size < -rise < _RAISED_MOST * word.size and abs(gap) < word.size:
        last.text = raised(last.text)
        run.base, run.size = word.base, word.size
        return True
    return False


def _is_below_raised(word: Word, run: _Run) -> bool:
    """Whether a word is lowered below a raised one, as in a formula."""
    before, last = run.words[-2:]
    return (
        last.text == raised(last.text.strip("\ufdd0\ufdd3"))
        and last.base > run.base > word.base > run.base - _LOWERED_MOST * run.size
        and _is_small(word, run.size)
        and abs(word.left - last.left) < _NEAR * run.size
        and word.left > before.left
    )


def _is_small(word: Word, size: float) -> bool:
    return word.size <= _SMALLER * size


def _mark(word: Word, text: str, gap: float, size: float) -> None:
    word.text = text
    # PDFium takes the change of the base line for a space or a new line.
    if gap < 0.12 * size:
        word.spaces = 0
    word.breaks = False


def _rows(runs: list[_Run]) -> list[Row]:
    """Runs side by side on one base line as a row."""
    rows: list[list[_Run]] = []
    for run in sorted(runs, key=lambda run: -run.base):
        row = rows[-1] if rows else []
        is_same = bool(row) and abs(row[0].base - run.base) <= _SAME_BASE * min(row[0].size, run.size)
        if is_same and all(run.left >= other.right - run.size or run.right <= other.left + run.size for other in row):
            row.append(run)
        else:
            rows.append([run])
    result = [_row(row) for row in rows]
    _find_cuts(result)
    return result


def _row(runs: list[_Run]) -> Row:
    runs.sort(key=lambda run: run.left)
    for run in runs:
        run.words[0].breaks = True
        run.words[0].spaces = max(1, run.words[0].spaces)
    words = [word for run in runs for word in run.words]
    if any(word.is_rtl for word in words):
        words.sort(key=lambda word: word.left)
    size = max(runs, key=lambda run: sum(len(word.text) for word in run.words)).size
    return Row(words, runs[0].base, size, min(run.order for run in runs))


def _find_cuts(rows: Sequence[Row]) -> None:
    for row in rows:
        for place, (before, after) in enumerate(pairwise(row.words), start=1):
            gap = after.left - before.right
            if gap < _MAYBE_ALIGNED_GAP * row.size or not after.spaces or (before.advance and after.advance):
                continue
            least = _MAYBE_GAP if after.breaks else _WIDE_GAP + _SPACE * (after.spaces - 1)
            is_wide = gap > least * row.size
            row.gaps.append((place, before.right, after.left, is_wide))
        row.cuts = {place for place, _, _, is_wide in row.gaps if is_wide}
    # A narrow gap is one between columns if a row nearby has a gap there.
    for _ in range(2):
        for number, row in enumerate(rows):
            around = [*rows[max(0, number - _ROWS_AROUND) : number], *rows[number + 1 : number + 1 + _ROWS_AROUND]]
            for place, start, end, _ in row.gaps:
                if place not in row.cuts and any(
                    _confirms(other, start, end, row.size) for other in around if other.cuts
                ):
                    row.cuts.add(place)
    for row in rows:
        _drop_label_cuts(row)


def _confirms(row: Row, start: float, end: float, size: float) -> bool:
    for place, other_start, other_end, _ in row.gaps:
        if place not in row.cuts:
            continue
        if end - start > _MAYBE_GAP * size and min(end, other_end) - max(start, other_start) > 0.5 * size:
            return True
        if abs(end - other_end) < _ALIGNED * size:
            return True
    return False


def _drop_label_cuts(row: Row) -> None:
    """The label of a list entry or heading is not a column."""
    first = min(row.cuts, default=0)
    if not first:
        return
    label = "".join(word.text for word in row.words[:first])
    is_label = first <= 2 and _LABEL.fullmatch(label) is not None
    is_number = len(row.cuts) == 1 and _NUMBER_LABEL.fullmatch(label) is not None
    if is_label or is_number:
        row.cuts.discard(first)

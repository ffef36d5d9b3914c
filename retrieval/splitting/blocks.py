"""What a text consists of: headings, and the blocks between them, as spans."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from retrieval.splitting.sentences import Span, trimmed
from retrieval.splitting.tables import Table


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading's level (1 to 6), its text without markup, and its span in code points.

    `text_start` is where the text begins, after the `#` that a converter wrote.
    """

    level: int
    text: str
    start: int
    end: int
    text_start: int


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table, quotation or code block.

    `parts` are the spans of list entries, table rows or code lines, at which a long block is split. `tables` are those
    with column names in it, in order.
    """

    start: int
    end: int
    parts: tuple[Span, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Structure:
    """The headings and blocks of a text, in order.

    `fields` is where lines of the form "name: value" begin, which are not Markdown; None if there are none.
    """

    headings: tuple[Heading, ...]
    blocks: tuple[Block, ...]
    fields: int | None = None


class Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def __len__(self) -> int:
        return len(self._starts)

    def start(self, line: int) -> int:
        return self._starts[line] if line < len(self._starts) else len(self.text)

    def at(self, position: int) -> int:
        """The first line that begins at this position or after it."""
        return bisect_left(self._starts, position)

    def starts(self, first: int, last: int) -> tuple[int, ...]:
        return tuple(self._starts[first:last])

    def span(self, first: int, last: int) -> Span | None:
        """The span of the lines from `first` to before `last`, trimmed; None if they are blank."""
        return next(iter(trimmed(self.text, (self.start(first), self.start(last)))), None)

    def spans(self, bounds: list[int]) -> tuple[Span, ...]:
        """The spans between these lines, without blank ones."""
        spans = (self.span(begin, end) for begin, end in pairwise(bounds))
        return tuple(span for span in spans if span is not None)

    def is_blank(self, line: int) -> bool:
        start, end = self.start(line), self.start(line + 1)
        return start == end or self.text[start:end].isspace()

    def paragraphs(self, first: int, last: int) -> Iterator[Block]:
        """The runs of non-blank lines."""
        begin = first
        for line in range(first, last + 1):
            if line == last or self.is_blank(line):
                span = self.span(begin, line)
                if span is not None:
                    yield Block(*span)
                begin = line + 1

"""Tables: their columns, and the cells of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from markdown_it.rules_block import StateBlock
from markdown_it.rules_block import table as find_table

from retrieval.markup import Markup, plain

SEPARATOR = " | "

# A separator of Markdown is any bar without a backslash; a converter writes spaces around it.
_SEPARATORS = {"markdown": re.compile(r"(?<!\\)\|"), "plain": re.compile(r"(?<!\S)\|(?!\S)")}
_BORDER = re.compile(r"[\s>]*\|")
_RULE = frozenset("-|:> \t\n")
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"[\s\d.,:%€$£+-]*\d[\s\d.,:%€$£+-]*")
_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class Table:
    """A table with column names.

    `starts` are the starts of its lines, the header first. The rows begin at `body`.
    """

    start: int
    end: int
    starts: tuple[int, ...]
    body: int
    columns: tuple[str, ...]
    markup: Markup


def read_table(text: str, starts: Sequence[int], end: int, markup: Markup) -> Table | None:
    """The table on these lines; None if no row follows its header, or the header has no names.

    Every table of Markdown has a header. A converter does not say whether the first row is one: it is, unless one of
    its cells is empty or a number.
    """
    if len(starts) < 2:
        return None
    header = text[starts[0] : starts[1]]
    columns = tuple(_name(header[start:stop], markup) for start, stop in cells(header, markup))
    second = frozenset(text[starts[1] : starts[2] if len(starts) > 2 else end])
    has_rule = markup == "markdown" and "-" in second <= _RULE
    # The cell above the names of the rows is often empty.
    if not has_rule and (len(columns) < 2 or not all(map(_is_name, columns[1:])) or _is_number(columns[0])):
        return None
    body = 2 if has_rule else 1
    if not any(columns) or len(starts) <= body:
        return None
    return Table(starts[0], end, tuple(starts), starts[body], columns, markup)


@lru_cache(maxsize=8)
def cells(row: str, markup: Markup) -> tuple[tuple[int, int], ...]:
    """The spans of the cells of a row, each with the separator after it, and the first with the border before it."""
    bars = [match.end() for match in _SEPARATORS[markup].finditer(row)]
    if markup == "markdown" and bars and _BORDER.match(row):
        del bars[0]
    bounds = [0, *bars, len(row)]
    spans = list(pairwise(bounds))
    # After the border at the end of a row there is no cell.
    if len(spans) > 1 and not row[slice(*spans[-1])].strip():
        spans = [*spans[:-2], (spans[-2][0], len(row))] if markup == "markdown" else spans
    return tuple(spans)


def cell_text(cell: str, markup: Markup) -> str:
    """The text of a cell, in one line."""
    text = cell.strip()
    if markup == "markdown":
        text = text.lstrip("> \t").removeprefix("|")
    text = text.removesuffix("|") if not text.endswith("\\|") else text
    return plain(text, markup)


def _name(cell: str, markup: Markup) -> str:
    name = cell_text(cell[: 4 * _MAX_NAME], markup)
    return name if len(name) <= _MAX_NAME else name[:_MAX_NAME].rstrip() + "…"


def _is_name(cell: str) -> bool:
    return bool(cell) and not _is_number(cell)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None and _YEAR.fullmatch(cell) is None


def whole_table(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """A rule for Markdown's parser that finds a table, without a token for each of its cells.

    A table is a header, the rule under it and the rows up to a blank line or another kind of block. The parser's own
    rule makes some ten objects per cell, and ends a table of very many short rows early.
    """
    if not find_table(state, first, end, True):
        return False
    if silent:
        return True
    before, state.parentType = state.parentType, "table"
    terminators = state.md.block.ruler.getRules("blockquote")
    line = first + 2
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        if state.is_code_block(line) or any(rule(state, line, end, True) for rule in terminators):
            break
        line += 1
    state.push("table_open", "table", 1).map = [first, line]
    state.push("table_close", "table", -1)
    state.parentType, state.line = before, line
    return True

"""The places of the evidence that can support a sentence: a sentence, two adjacent ones, a list or a table row.

Each comes with its context: the title and heading of its passage, the line before a list, the header of a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Clause, Segment, Statement, canonical, content_words, read_statement
from retrieval.splitting.sentences import sentences

_LIST_MARK = re.compile(r"\s*(?:[-*+•·]|\d{1,2}[.)]|[a-z]\))\s+")
_RULE = re.compile(r"[\s|:+-]+")
# The subject of such a sentence is in the one before it.
_REFERS_BACK = re.compile(
    r"\W*(?:(?:[\w']+ ){0,4}(?:it|they|them|this|these|those|he|she|ones?)\b|"
    r"(?:[\w']+ ){0,4}(?:after|before|than) that\b|[它其此这该])",
    re.IGNORECASE,
)
_MAX_LIST = 16


@dataclass(frozen=True, slots=True)
class Window:
    """Adjacent text that is compared with a sentence as a whole.

    Attributes:
        clauses: of its sentences, with their segments.
        before: clauses of the sentence before, if the first one refers back to it ("It takes ...").
        parts: the words of each sentence and its context, with marks of its figures.
        topic: the words of the title and heading.
        own: words of the clauses.
        tokens: in lower case and their stems, of the clauses and the context; `own_tokens` of the
            clauses, `passage_tokens` of the whole passage.
        names: of the clauses.
        figures: of the clauses and the context.
        sentences: how many sentences, entries or rows it has.
    """

    text: str
    clauses: tuple[Clause, ...]
    before: tuple[Clause, ...]
    parts: tuple[frozenset[str], ...]
    topic: frozenset[str]
    own: frozenset[str]
    tokens: frozenset[str]
    own_tokens: frozenset[str]
    passage_tokens: frozenset[str]
    names: tuple[str, ...]
    figures: tuple[Figure, ...]
    sentences: int

    @property
    def said_after(self) -> tuple[Clause, ...]:
        """The clauses without those of `before`."""
        return tuple(clause for clause in self.clauses if clause not in self.before)


@dataclass(frozen=True, slots=True)
class _Line:
    statement: Statement
    block: int
    item: bool
    context: tuple[str, ...]
    before: str = ""


@lru_cache(maxsize=256)
def passage_windows(title: str, heading: str, text: str) -> tuple[Window, ...]:
    """The windows of one passage."""
    above = tuple(part for part in (title, heading) if part)
    lines = list(_lines(text))
    tokens = frozenset().union(*(line.statement.tokens for line in lines))
    windows = [_window([line], above, tokens) for line in lines]
    for one, other in pairwise(lines):
        if one.block == other.block and not (one.item and other.item):
            windows.append(_window([one, other], above, tokens))
    for block in sorted({line.block for line in lines if line.item}):
        items = [line for line in lines if line.block == block and line.item]
        if 2 <= len(items) <= _MAX_LIST:
            windows.append(_window(items, above, tokens))
    return tuple(windows)


def _window(lines: Sequence[_Line], above: tuple[str, ...], passage: frozenset[str]) -> Window:
    statements = [line.statement for line in lines]
    extra = [
        [_read_context(part) for part in dict.fromkeys((*above, *line.context, line.before)) if part] for line in lines
    ]
    parts = [_around([line.statement, *context]) for line, context in zip(lines, extra, strict=True)]
    # A list counts as one sentence, of which each entry may back a part.
    single = len(lines) == 1 or lines[0].item
    contexts = list(dict.fromkeys(statement for context in extra for statement in context))
    tokens = frozenset().union(*(statement.tokens for statement in statements))
    return Window(
        text=" ".join(statement.text for statement in statements),
        clauses=tuple(clause for statement in statements for clause in statement.clauses),
        before=tuple(clause for line in lines if line.before for clause in _read_context(line.before).clauses),
        parts=(frozenset().union(*parts),) if single else tuple(parts),
        topic=_around([_read_context(part) for part in above]),
        own=_around(statements),
        tokens=tokens.union(*(statement.tokens for statement in contexts)),
        own_tokens=tokens,
        passage_tokens=passage,
        names=tuple(name for statement in statements for name in statement.names),
        figures=tuple(figure for statement in (*statements, *contexts) for figure in statement.figures),
        sentences=len(lines),
    )


def _around(statements: Sequence[Statement]) -> frozenset[str]:
    words = frozenset().union(*(statement.words for statement in statements))
    return words.union(*(figure.marks for statement in statements for figure in statement.figures))


@lru_cache(maxsize=512)
def _read_context(text: str) -> Statement:
    return read_statement(text)


def _lines(text: str) -> Iterator[_Line]:
    """The sentences, list entries and table rows of a text, with the lines they depend on."""
    rows = text.splitlines()
    block = 0
    lead = ""
    in_list = False
    number = 0
    while number < len(rows):
        row = rows[number]
        if not row.strip():
            number += 1
            continue
        if _is_table_row(row):
            end = number
            while end < len(rows) and _is_table_row(rows[end]):
                end += 1
            block += 1
            yield from _table(rows[number:end], block, lead)
            number = end
            in_list = False
            continue
        mark = _LIST_MARK.match(row)
        if mark:
            block += not in_list
            in_list = True
            entry = row[mark.end() :]
            negative = lead.endswith(":") and read_statement(lead)
            statement = read_statement(entry)
            if negative and negative.clauses and negative.clauses[-1].negative:
                statement = _negated(statement)
            yield _Line(statement, block, True, (lead,) if lead else ())
        else:
            # The lines of a paragraph are read together, since a sentence may run over a line break.
            end = number
            while (
                end < len(rows)
                and rows[end].strip()
                and not _is_table_row(rows[end])
                and not _LIST_MARK.match(rows[end])
            ):
                end += 1
            paragraph = "\n".join(rows[number:end])
            block += 1
            in_list = False
            before = ""
            for start, stop in sentences(paragraph, (0, len(paragraph))):
                lead = " ".join(paragraph[start:stop].split())
                back = before if _REFERS_BACK.match(lead) else ""
                yield _Line(read_statement(lead), block, False, (), back)
                before = lead
            number = end
            continue
        number += 1


def _negated(statement: Statement) -> Statement:
    clauses = tuple(replace(c, negative=not c.negative) for c in statement.clauses)
    return replace(statement, clauses=clauses)


def _is_table_row(row: str) -> bool:
    return row.count("|") >= 2 or " | " in row


def _table(rows: Sequence[str], block: int, lead: str) -> Iterator[_Line]:
    """Each row with the header: a cell has the words of its column's header and of the row's first cell."""
    lines = [row.strip() for row in rows if not _RULE.fullmatch(row)]
    if not lines:
        return
    # Without borders, a bar at the start or the end of a row is beside an empty cell.
    has_borders = lines[0].startswith("|") and lines[0].endswith("|")
    cells = [[cell.strip() for cell in (line.strip("|") if has_borders else line).split("|")] for line in lines]
    header = cells[0]
    for row in cells[1:] or cells:
        names = header if len(header) == len(row) and row is not header else [""] * len(row)
        clauses: list[Clause] = []
        figures: list[Figure] = []
        tokens: set[str] = set()
        label = content_words(row[0])
        row_marks = frozenset().union(*(figure.marks for figure in read_statement(row[0]).figures))
        for name, cell in zip(names, row, strict=True):
            statement = read_statement(cell)
            column = frozenset(map(canonical, content_words(name)))
            own = statement.words | column
            clauses.append(
                Clause(own | label, statement.tokens, any(c.negative for c in statement.clauses), False,
                       (Segment(own | label, row_marks, statement.figures),))
            )  # fmt: skip
            figures.extend(statement.figures)
            tokens |= statement.tokens | read_statement(name).tokens
        text = " | ".join(row)
        words = frozenset().union(*(clause.words for clause in clauses))
        statement = Statement(text, tuple(clauses), tuple(figures), words, frozenset(tokens))
        yield _Line(statement, block, True, (" ".join(header), *((lead,) if lead else ())))

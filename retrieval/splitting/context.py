"""What a passage says besides its text: its section, the columns of its table, and the record that it belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retrieval.documents import embedded_text
from retrieval.splitting.boundaries import shortened
from retrieval.splitting.plain_blocks import FIELD
from retrieval.splitting.sentences import Span, trimmed
from retrieval.splitting.tables import SEPARATOR, Table, cell_text, cells

_MAX_ROW_NAME = 60


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of a document, `text[start:]`, and the span of the one that names it; None if the title does."""

    start: int
    name: Span | None


@dataclass
class Context:
    """Finds the heading of a span. It has at most half of the tokens of a passage, together with the title.

    Attributes:
        heading: the headings above, within that limit.
        tables: those of the section, in order.
    """

    text: str
    title: str
    heading: str
    tables: Sequence[Table]
    record: Record | None
    count_tokens: Callable[[str], int]
    max_tokens: int
    _starts: list[int] = field(init=False)
    _found: dict[tuple[str, ...], str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._starts = [table.start for table in self.tables]

    def heading_of(self, span: Span) -> str | None:
        """The heading of a span; None if it is too long for all the columns of the span."""
        if not self.tables and self.record is None:
            return self.heading
        table = self._table_at(span[0])
        if table is not None and span[0] >= table.body:
            return self._in_table(table, span)
        return self._in_record(span) if self.record is not None else self.heading

    def cells_of(self, span: Span) -> list[Span]:
        """The cells of a row of a table; the span itself if it is not a row."""
        table = self._table_at(span[0])
        if table is None or "\n" in self.text[span[0] : span[1]]:
            return [span]
        start, bounds = self._row(table, span[0])
        inside = ((max(span[0], start + first), min(span[1], start + last)) for first, last in bounds)
        return [cell for one in inside for cell in trimmed(self.text, one)] or [span]

    def is_row(self, span: Span) -> bool:
        table = self._table_at(span[0])
        return table is not None and span[1] <= table.end

    def _table_at(self, position: int) -> Table | None:
        number = bisect_right(self._starts, position) - 1
        return self.tables[number] if number >= 0 and position < self.tables[number].end else None

    def _row(self, table: Table, position: int) -> tuple[int, tuple[Span, ...]]:
        """The start of the row at a position, and the bounds of its cells from there."""
        number = bisect_right(table.starts, position) - 1
        start = table.starts[number]
        end = table.starts[number + 1] if number + 1 < len(table.starts) else table.end
        return start, cells(self.text[start:end].rstrip("\n"), table.markup)

    def _in_table(self, table: Table, span: Span) -> str | None:
        start, bounds = self._row(table, span[0])
        first = max(0, bisect_right(bounds, span[0] - start, key=lambda cell: cell[0]) - 1)
        last = max(first + 1, bisect_right(bounds, span[1] - 1 - start, key=lambda cell: cell[0]))
        if (first == 0 and last == len(bounds)) or "\n" in self.text[span[0] : span[1]]:
            # Whole rows. One of a single cell may be cut as well.
            names = tuple(filter(None, table.columns))
            return self._joined(names, SEPARATOR.join(names), cut=len(bounds) == 1)
        names = table.columns[first:last]
        if first:
            name = cell_text(self.text[start + bounds[0][0] : start + bounds[0][1]][: 4 * _MAX_ROW_NAME], table.markup)
            row = ": ".join(filter(None, (table.columns[0], name[:_MAX_ROW_NAME])))
            names = (row, *names)
        names = tuple(filter(None, names))
        return self._joined(names, SEPARATOR.join(names), cut=last - first == 1)

    def _in_record(self, span: Span) -> str:
        """The record's name, unless the span has it, and the name of the field that the span continues."""
        assert self.record is not None
        names = []
        if (name := self.record.name) is not None and not span[0] <= name[0] < span[1]:
            names.append(self.text[name[0] : name[1]])
        line = self.text.rfind("\n", self.record.start, span[0]) + 1
        field_name = FIELD.match(self.text, max(line, self.record.start))
        if span[0] > max(line, self.record.start) and field_name is not None:
            names.append(field_name["name"])
        return self._joined(tuple(names), " > ".join(names), cut=True) or self.heading

    def _joined(self, key: tuple[str, ...], names: str, *, cut: bool) -> str | None:
        """Names after the headings; without them if that is too long, and cut if it is allowed."""
        if not names:
            return self.heading
        found = self._found.get((*key, str(cut)), "")
        if found != "":
            return found
        inner = self.heading.rpartition(" > ")[2]
        paths = dict.fromkeys((self.heading, inner, ""))
        whole = (" > ".join(filter(None, (path, names))) for path in paths)
        found = next(filter(self._fits, whole), None)
        if found is None and cut:
            found = shortened(names, self._fits, self.max_tokens) or self.heading
        if len(self._found) > 1000:
            self._found.clear()
        self._found[(*key, str(cut))] = found
        return found

    def _fits(self, heading: str) -> bool:
        return self.count_tokens(embedded_text(self.title, heading, "")) <= self.max_tokens // 2

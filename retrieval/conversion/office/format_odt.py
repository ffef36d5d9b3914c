"""ODT: headings, paragraphs, numbered lists, tables and notes, without deleted and hidden text."""

from __future__ import annotations

from typing import Any

from retrieval.conversion.converted import Converted, MarkdownWriter, one_line
from retrieval.conversion.office.archive import Archive, opened
from retrieval.conversion.office.grid import Grid
from retrieval.conversion.office.odf_styles import Styles, attribute, tag
from retrieval.conversion.raised import in_line, lowered, raised

VERSION = "odt/3"

_LEFT_OUT = {
    "tracked-changes",
    "annotation",
    "annotation-end",
    "sequence-decls",
    "forms",
    "variable-decls",
    "title",
    "desc",
}
_MAX_REPEATED = 200


def convert(data: bytes, name: str) -> Converted:
    """Notes follow at the end. Raises ConversionError if the file is not a text document or is damaged."""
    with opened(data, name, "an ODT document", "content.xml") as archive:
        reader = _Reader(archive)
        for body in archive.xml("content.xml").iterfind("{*}body/{*}text"):
            reader.blocks(body)
        for note in reader.notes:
            reader.writer.paragraph(note)
        return Converted(reader.writer.text(), reader.writer.title)


class _Reader:
    def __init__(self, archive: Archive) -> None:
        self.writer = MarkdownWriter()
        self.notes: list[str] = []
        self._styles = Styles(archive)
        # The last numbers of each list style, for lists that continue.
        self._counts: dict[str, dict[int, int]] = {}

    def blocks(self, parent: Any) -> None:
        for element in parent:
            name = tag(element)
            if name == "h":
                self.writer.heading(int(attribute(element, "outline-level", "1")), self._text(element))
            elif name == "p":
                self.writer.paragraph(self._text(element))
                self._frames(element)
            elif name == "list":
                self.writer.end_group()
                self._list(element, attribute(element, "style-name"), 1)
            elif name == "table":
                self._table(element)
            elif name not in _LEFT_OUT:
                self.blocks(element)

    def _frames(self, element: Any) -> None:
        for box in element.iter("{*}text-box"):
            # A box within a box is read with that one.
            if next(box.iterancestors("{*}p", "{*}h", "{*}text-box"), None) is element:
                self.blocks(box)

    def _list(self, element: Any, style: str, level: int) -> None:
        style = attribute(element, "style-name") or style
        counts = self._counts.setdefault(style, {})
        if level > 1 or attribute(element, "continue-numbering") != "true":
            counts.pop(level, None)
        for item in element:
            if tag(item) not in {"list-item", "list-header"}:
                continue
            first = attribute(item, "start-value")
            before = counts.get(level, self._styles.first_number(style, level) - 1)
            if tag(item) == "list-item":
                counts[level] = int(first) if first else before + 1
            mark = self._styles.number(style, level, counts) if tag(item) == "list-item" else None
            started = False
            for part in item:
                if tag(part) in {"p", "h"}:
                    text = self._text(part)
                    self.writer.entry(f"{mark} {text}" if mark and not started else text, level - 1, continued=started)
                    started = started or bool(text)
                    self._frames(part)
                elif tag(part) == "list":
                    self._list(part, style, level + 1)

    def _table(self, table: Any) -> None:
        grid = Grid()
        row = 0
        for line in table.iter("{*}table-row"):
            # The rows of a table in a cell belong to that cell.
            if next(line.iterancestors("{*}table")) is not table:
                continue
            column = 0
            for cell in line:
                if tag(cell) not in {"table-cell", "covered-table-cell"}:
                    continue
                paragraphs = (one for one in cell.iter("{*}p", "{*}h") if _is_read_in(cell, one))
                text = " ".join(filter(None, (one_line(self._text(one)) for one in paragraphs)))
                high, wide = (int(attribute(cell, f"number-{one}-spanned", "1")) for one in ("rows", "columns"))
                for _ in range(min(int(attribute(cell, "number-columns-repeated", "1")), _MAX_REPEATED)):
                    if tag(cell) == "table-cell":
                        grid.set(row, column, text, high, wide)
                    column += 1
            row += 1
        grid.write(self.writer)

    def _text(self, element: Any) -> str:
        """The text of a paragraph in lines."""
        parts: list[str] = []
        self._collect(element, parts)
        return "\n".join(filter(None, map(one_line, in_line("".join(parts), ()).split("\n"))))

    def _collect(self, element: Any, parts: list[str]) -> None:
        parts.append(" ".join((element.text or "").split("\n")))
        for child in element:
            name = tag(child)
            if name in {"s", "tab"}:
                parts.append(" ")
            elif name == "line-break":
                parts.append("\n")
            elif name == "note":
                body = next(child.iter("{*}note-body"), None)
                if body is not None:
                    self.notes += filter(None, (self._text(one) for one in body.iter("{*}p")))
            elif name == "span":
                parts.append(self._span(child))
            elif name not in _LEFT_OUT and name not in {"frame", "hidden-text", "hidden-paragraph", "ruby-text"}:
                self._collect(child, parts)
            parts.append(" ".join((child.tail or "").split("\n")))

    def _span(self, span: Any) -> str:
        style = attribute(span, "style-name")
        if self._styles.is_hidden(style):
            return ""
        inner: list[str] = []
        self._collect(span, inner)
        text, position = "".join(inner), self._styles.position(style)
        return raised(text) if position > 0 else lowered(text) if position < 0 else text


def _is_read_in(cell: Any, paragraph: Any) -> bool:
    """Whether a paragraph is text of a cell, and not of a note or comment in it."""
    for parent in paragraph.iterancestors():
        if parent is cell:
            return True
        if tag(parent) in _LEFT_OUT or tag(parent) == "note":
            return False
    return False

"""A document tree of docutils as text with headings, lists, tables and code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docutils import nodes

from retrieval.conversion.converted import MarkdownWriter, one_line
from retrieval.conversion.office.grid import Grid
from retrieval.conversion.raised import in_line, lowered, note_mark, raised

_SKIPPED = (
    nodes.comment, nodes.decoration, nodes.image, nodes.meta, nodes.pending, nodes.raw, nodes.substitution_definition,
    nodes.target, nodes.transition,
)  # fmt: skip
_NOTES = (nodes.footnote, nodes.citation)
# Fields at the start of a file that tell Sphinx how to build its page.
_PAGE_FIELDS = frozenset({"nocomments", "no-search", "nosearch", "orphan", "tocdepth"})
# A message of at least this level has text that could not be parsed, and is kept as it is written.
_LOST = 3


class BlockReader:
    """Writes the blocks of a document to a writer."""

    def __init__(self, writer: MarkdownWriter) -> None:
        self._writer = writer
        self._notes: frozenset[str] = frozenset()

    def read(self, tree: Any) -> None:
        """Write all of a document."""
        self._notes = frozenset(one_line(label.astext()) for label in tree.findall(nodes.label))
        first = next((child for child in tree.children if not isinstance(child, _SKIPPED)), None)
        if isinstance(first, nodes.field_list):
            first[:] = [field for field in first.children if field[0].astext() not in _PAGE_FIELDS]
        self._blocks(tree, 0)

    def _blocks(self, parent: Any, level: int) -> None:
        for node in parent.children:
            self._block(node, level)

    def _block(self, node: Any, level: int) -> None:
        writer = self._writer
        if isinstance(node, _SKIPPED):
            return
        if isinstance(node, nodes.section):
            self._blocks(node, level + 1)
        elif isinstance(node, nodes.title):
            self._title(node, level)
        elif isinstance(node, nodes.literal_block | nodes.doctest_block):
            is_plain = all(isinstance(child, nodes.Text) for child in node.children)
            writer.code(node.astext() if is_plain else in_line(self._inline(node.children), self._notes))
        elif isinstance(node, nodes.bullet_list | nodes.enumerated_list):
            writer.end_group()
            self._list(node, level, 0)
            writer.end_group()
        elif isinstance(node, nodes.container) and node.children and isinstance(node[0], nodes.term):
            self._described(node, level)
        elif isinstance(node, nodes.definition_list | nodes.field_list | nodes.option_list):
            self._pairs(node, level)
        elif isinstance(node, nodes.table):
            self._table(node, level)
        elif isinstance(node, nodes.line_block):
            writer.paragraph("\n".join(self._lines(node)))
        elif isinstance(node, _NOTES):
            self._note(node, level)
        elif isinstance(node, nodes.system_message):
            if node.get("level", 0) >= _LOST:
                for text in node.findall(nodes.literal_block):
                    writer.paragraph(text.astext())
        elif isinstance(node, nodes.TextElement):
            writer.paragraph(self._text(node))
        elif isinstance(node, nodes.Admonition) and not isinstance(node, nodes.admonition):
            self._labelled(node.tagname.capitalize(), node.children, level)
        else:
            self._blocks(node, level)

    def _title(self, node: Any, level: int) -> None:
        if isinstance(node.parent, nodes.document | nodes.section):
            self._writer.heading(level, self._text(node))
        else:
            self._writer.paragraph(self._text(node))

    def _labelled(self, label: str, blocks: Sequence[Any], level: int) -> None:
        """Blocks of which the first begins with a label, if it is a paragraph."""
        if blocks and isinstance(blocks[0], nodes.paragraph):
            self._writer.paragraph(f"{label}: {self._text(blocks[0])}")
            blocks = blocks[1:]
        else:
            self._writer.paragraph(f"{label}:" if blocks else label)
        for block in blocks:
            self._block(block, level)

    def _described(self, node: Any, level: int) -> None:
        """What a directive is about, and what it says."""
        terms = [child for child in node.children if isinstance(child, nodes.term)]
        blocks = [child for child in node.children if not isinstance(child, nodes.term)]
        self._labelled(", ".join(map(self._text, terms)), blocks, level)

    def _list(self, node: Any, level: int, depth: int) -> None:
        for number, item in enumerate(node.children, node.get("start", 1)):
            marker = f"{_number(node, number)}. " if isinstance(node, nodes.enumerated_list) else "- "
            begun = False
            for child in item.children:
                if isinstance(child, _SKIPPED):
                    continue
                if isinstance(child, nodes.bullet_list | nodes.enumerated_list):
                    self._list(child, level, depth + 1)
                elif isinstance(child, nodes.paragraph | nodes.line_block):
                    lines = self._lines(child) if isinstance(child, nodes.line_block) else [self._text(child)]
                    for text in filter(None, lines):
                        self._writer.entry(text, depth, continued=begun, marker=marker)
                        begun = True
                else:
                    if not begun and isinstance(node, nodes.enumerated_list):
                        self._writer.paragraph(marker.rstrip())
                    self._block(child, level)
                begun = True

    def _pairs(self, node: Any, level: int) -> None:
        """Terms, fields or options, each with what is said about it."""
        for item in node.children:
            bodies = (nodes.definition, nodes.field_body, nodes.description)
            names = [one_line(self._text(child)) for child in item.children if not isinstance(child, bodies)]
            body = next((child for child in item.children if isinstance(child, bodies)), None)
            name = ", ".join(filter(None, names))
            self._labelled(name, [] if body is None else body.children, level)

    def _table(self, node: Any, level: int) -> None:
        # Not those of a table in a cell, which is text of the cell.
        for title in _children(node, nodes.title):
            self._writer.paragraph(self._text(title))
        for group in _children(node, nodes.tgroup):
            grid, taken = Grid(), set[tuple[int, int]]()
            parts = _children(group, nodes.thead | nodes.tbody)
            for row, cells in enumerate(row for part in parts for row in _children(part, nodes.row)):
                column = 0
                for entry in cells.children:
                    while (row, column) in taken:
                        column += 1
                    high, wide = entry.get("morerows", 0) + 1, entry.get("morecols", 0) + 1
                    taken |= {(row + y, column + x) for y in range(high) for x in range(wide)}
                    grid.set(row, column, self._cell(entry), high, wide)
                    column += wide
            grid.write(self._writer)

    def _cell(self, entry: Any) -> str:
        """All that a cell says, on one line."""
        inner = MarkdownWriter()
        reader = BlockReader(inner)
        reader._notes = self._notes
        reader._blocks(entry, 0)
        return one_line(inner.text())

    def _note(self, node: Any, level: int) -> None:
        label, *others = node.children
        mark = note_mark(int(label.astext())) if label.astext().isdecimal() else f"[{label.astext()}] "
        begins = bool(others) and isinstance(others[0], nodes.paragraph)
        self._writer.paragraph(in_line(f"{mark}{self._text(others[0]) if begins else ''}", self._notes))
        for other in others[1:] if begins else others:
            self._block(other, level)

    def _lines(self, node: Any) -> list[str]:
        return [
            line
            for child in node.children
            for line in (self._lines(child) if isinstance(child, nodes.line_block) else [self._text(child)])
        ]

    def _text(self, node: Any) -> str:
        """The text of a paragraph on one line, with numbers of notes set apart."""
        return one_line(in_line(self._inline([node]), self._notes))

    def _inline(self, some: Sequence[Any]) -> str:
        return "".join(self._inline_one(node) for node in some)

    def _inline_one(self, node: Any) -> str:
        if isinstance(node, nodes.Text):
            return str(node.astext())
        if isinstance(node, nodes.raw) or (isinstance(node, nodes.target) and not node.children):
            return ""
        if isinstance(node, nodes.image):
            return str(node.get("alt", ""))
        inner = self._inline(node.children)
        if isinstance(node, nodes.superscript):
            return raised(inner)
        if isinstance(node, nodes.subscript):
            return lowered(inner)
        if isinstance(node, nodes.footnote_reference):
            return note_mark(int(inner)) if inner.isdecimal() else f"[{inner}]"
        if isinstance(node, nodes.citation_reference):
            return f"[{inner}]"
        if isinstance(node, nodes.option_group):
            return ", ".join(one.astext() for one in node.children)
        return inner


def _children(node: Any, kind: Any) -> list[Any]:
    return [child for child in node.children if isinstance(child, kind)]


def _number(node: Any, number: int) -> str:
    """The number of a list entry; Roman numerals are written as digits."""
    letters = {"loweralpha": "a", "upperalpha": "A"}
    first = letters.get(node.get("enumtype", ""))
    return chr(ord(first) + number - 1) if first and number <= 26 else str(number)

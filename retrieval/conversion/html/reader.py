"""Walks the tree of a page, and writes its blocks and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from retrieval.conversion.converted import MarkdownWriter, one_line
from retrieval.conversion.html.controls import drawing_text, image_text, input_text, options_text
from retrieval.conversion.html.elements import (
    BLOCKS,
    DROPPED,
    PREFORMATTED,
    Styles,
    attribute,
    follows_link,
    is_marked_raised,
    is_note_link,
    starts_a_block,
)
from retrieval.conversion.html.formulas import formula_text
from retrieval.conversion.html.inline import InlineText, written
from retrieval.conversion.html.left_out import LeftOut
from retrieval.conversion.html.sinks import CellSink, PageSink, Sink
from retrieval.conversion.html.tables import Budget, Row, Table, read_table

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# An element to open (without a kind) or to close, or a row of a table.
_Step: TypeAlias = "tuple[LexborNode, str, tuple[Row, Table] | None]"

_READ_AS_A_WHOLE = frozenset({"br", "img", "input", "select", "datalist", "math", "svg"})
_RUBY = frozenset({"ruby", "rt", "rp"})
_BOXES = frozenset({"button", "label", "textarea"})
_MAX_TABLE_DEPTH = 20


class PageReader:
    """Reads one page. What is left out is counted in `left_out`."""

    def __init__(self, tree: LexborHTMLParser, styles: Styles, left_out: LeftOut) -> None:
        self.left_out = left_out
        self.styles = styles
        self.budget = Budget()
        # The marks that notes on the page begin with.
        self.notes = {node.text().strip().strip(".()") for node in tree.css("sup") if starts_a_block(node)}

    def read(self, root: LexborNode) -> PageSink:
        sink = PageSink(MarkdownWriter())
        _Walk(self, sink).walk(root)
        return sink

    def cell_text(self, cell: LexborNode) -> str:
        only = cell.first_child
        if only is None:
            return ""
        if only.tag == "-text" and only.next is None:
            return written(one_line(only.text_content or ""), self.notes)
        sink = CellSink()
        _Walk(self, sink).walk(cell)
        return sink.text()


class _Walk:
    """Walks the tree without recursion, since a page may be nested deeper than Python's stack."""

    def __init__(self, page: PageReader, sink: Sink) -> None:
        self._page = page
        self._sink = sink
        self._inline = InlineText(page.notes)
        self._preformatted = 0
        self._table_depth = 0

    def walk(self, root: LexborNode) -> None:
        stack: list[_Step] = [(root, "", None)]
        parts = self._page.left_out.parts
        while stack:
            node, kind, row = stack.pop()
            if row is not None:
                self._read_row(*row, stack)
                continue
            if kind:
                self._close(kind)
                continue
            tag = node.tag or ""
            if tag == "-text":
                self._inline.add(node.text_content or "", preformatted=self._preformatted > 0)
            elif tag in DROPPED or (parts and node.mem_id in parts and self._page.left_out.passes_over(node)):
                continue
            elif tag == "table" and isinstance(self._sink, PageSink):
                self._open_table(node, stack)
            elif tag in _READ_AS_A_WHOLE:
                self._add_text_of(node, tag)
            else:
                kind = self._open(node, tag)
                if kind:
                    stack.append((node, kind, None))
                stack.extend([(child, "", None) for child in node.iter(include_text=True)][::-1])
        self._flush()

    def _add_text_of(self, node: LexborNode, tag: str) -> None:
        if tag == "br":
            self._inline.add_break()
        elif tag == "img":
            text = image_text(node)
            # A single character is a letter of the word it stands in.
            if len(text) == 1:
                self._inline.add(text)
            elif text:
                self._inline.add_apart(text)
        elif tag == "input":
            if attribute(node, "type").lower() != "hidden":
                self._inline.add_apart(input_text(node))
        elif tag in {"select", "datalist"}:
            self._inline.add_apart(options_text(node))
        elif tag == "math":
            self._inline.add(formula_text(node))
        elif text := drawing_text(node):
            self._inline.add_apart(text)

    def _open(self, node: LexborNode, tag: str) -> str:
        """Begin an element. Returns the kind that its end is told by; empty if nothing is to be done there."""
        if tag in BLOCKS:
            self._flush()
            self._preformatted += tag in PREFORMATTED
            self._sink.open(node, tag)
            return tag
        styles = self._page.styles
        if styles.blocks and node.mem_id in styles.blocks:
            self._flush()
            return "div"
        raised = tag if tag in {"sup", "sub"} else styles.raised.get(node.mem_id)
        if raised is not None:
            self._inline.open(raised, is_mark=raised == "sup" and is_marked_raised(node))
            return raised
        if tag in _RUBY:
            self._inline.open(tag)
            return tag
        if tag == "a":
            if follows_link(node):
                self._inline.add(" ")
            if not is_note_link(node) or node.css_first("sup") is not None:
                return ""
            self._inline.open("note")
            return "note"
        if tag == "q":
            self._inline.add("“")
            return tag
        if tag in _BOXES:
            self._inline.add_apart("")
            self._preformatted += tag == "textarea"
            return tag
        return ""

    def _close(self, kind: str) -> None:
        if kind in BLOCKS:
            self._flush()
            self._preformatted -= kind in PREFORMATTED
            self._sink.close(kind)
        elif kind == "q":
            self._inline.add("”")
        elif kind in _BOXES:
            self._inline.add_apart("")
            self._preformatted -= kind == "textarea"
        elif kind == "table-end":
            self._flush()
            self._table_depth -= 1
            self._end_group()
        else:
            self._inline.close(kind)

    def _open_table(self, node: LexborNode, stack: list[_Step]) -> None:
        self._flush()
        self._end_group()
        self._table_depth += 1
        is_deep = self._table_depth > _MAX_TABLE_DEPTH
        table = read_table(node, self._page.left_out, self._page.budget, nested=is_deep)
        stack.append((node, "table-end", None))
        stack.extend((row.node, "", (row, table)) for row in reversed(table.rows))
        stack.extend((caption, "", None) for caption in reversed(table.captions))

    def _read_row(self, row: Row, table: Table, stack: list[_Step]) -> None:
        self._flush()
        title = table.title(row)
        if row.is_layout or title is not None:
            stack.append((title or row.node, "", None))
            return
        if isinstance(self._sink, PageSink):
            self._sink.row(table.row_texts(row, self._page.cell_text, self._page.budget))

    def _end_group(self) -> None:
        if isinstance(self._sink, PageSink):
            self._sink.end_group()

    def _flush(self) -> None:
        preformatted = self._preformatted > 0
        text = self._inline.take(preformatted=preformatted)
        if text and not text.isspace():
            self._sink.block(text, preformatted=preformatted)


def page_title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head > title")
    return one_line(node.text()) if node is not None else ""

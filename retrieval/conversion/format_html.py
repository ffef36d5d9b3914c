"""HTML: block elements to paragraphs, headings to `#`-lines, lists and tables to lines."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from retrieval.conversion.converted import Converted, MarkdownWriter, decode_utf8, one_line
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

VERSION = "html/2"

_DROPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "-comment", "!doctype"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# fmt: off
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html",
    "legend", "li", "main", "nav", "ol", "option", "p", "pre", "search", "section", "select", "summary",
    "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul",
})
# fmt: on
# A row that contains blocks is page layout rather than a table, and is read as blocks.
_LAYOUT_ROW = "table, h1, h2, h3, h4, h5, h6, ul, ol, p + p"
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the bytes are not in the declared encoding (default UTF-8), or memory runs out."""
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    text = _decode(data, name)
    try:
        tree = LexborHTMLParser(text)
    except SelectolaxError as error:
        # The parser accepts any text, so this is a lack of memory.
        raise ConversionError(
            found=f"{name} takes more memory than one file may use",
            expected="a page that fits into memory",
            next_step=f"split {name}, or raise `memory_mib` under `ingest:` in domain.yaml",
        ) from error
    reader = _HtmlReader()
    if tree.root is not None:
        reader.walk(tree.root)
    head_title = tree.css_first("head > title")
    page_title = one_line(head_title.text()) if head_title is not None else ""
    return Converted(text=reader.writer.text(), title=reader.writer.title or page_title or None)


def _decode(data: bytes, name: str) -> str:
    declared = _CHARSET.search(data[:4096])
    if declared is not None:
        charset = declared.group(1).decode("ascii", "replace").lower()
        if charset not in {"utf-8", "utf8"} and 0 not in data:
            # If the declared encoding is wrong or unknown, try UTF-8.
            with suppress(LookupError, UnicodeDecodeError):
                return data.decode(charset).replace("\r\n", "\n").replace("\r", "\n")
    return decode_utf8(data, name)


class _HtmlReader:
    """Walks the tree without recursion, since a page may be nested deeper than Python's stack."""

    def __init__(self) -> None:
        self.writer = MarkdownWriter()
        self._inline: list[str] = []
        self._heading = 0
        self._list_depth = 0
        self._entry_open = False
        self._entry_started = False
        self._preformatted = 0

    def walk(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode, bool]] = [(root, False)]  # nodes, and whether their children are done
        while stack:
            node, done = stack.pop()
            tag = node.tag or ""
            if done:
                self._close(tag)
            elif tag == "-text":
                self._inline.append(self._text_of(node))
            elif tag == "br":
                self._inline.append("\n")
            elif tag not in _DROPPED and not self._write_row(node, tag):
                self._open(tag)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(_children(node)))
        self._flush()

    def _text_of(self, node: LexborNode) -> str:
        text = node.text_content or ""
        # Line breaks in the source are spaces, except in preformatted text.
        return text if self._preformatted else re.sub(r"\s+", " ", text)

    def _write_row(self, node: LexborNode, tag: str) -> bool:
        if tag != "tr" or node.css_first(_LAYOUT_ROW) is not None:
            return False
        self._flush()
        cells = [child for child in _children(node) if child.tag in {"td", "th"}]
        self.writer.row([_flat_text(cell) for cell in cells])
        return True

    def _open(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._flush()
            self._heading = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._flush()
            if tag in {"ul", "ol"}:
                if self._list_depth == 0:
                    self.writer.end_group()
                self._list_depth += 1
            elif tag == "li":
                self._entry_open, self._entry_started = True, False
            elif tag == "pre":
                self._preformatted += 1
            elif tag == "table":
                self.writer.end_group()

    def _close(self, tag: str) -> None:
        if tag not in _HEADINGS and tag not in _BLOCKS:
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in {"ul", "ol"}:
            self._list_depth = max(0, self._list_depth - 1)
            # Back in the entry that contains the inner list: following text continues it.
            self._entry_open = self._entry_started = self._list_depth > 0
        elif tag == "li":
            self._entry_open = False
        elif tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)

    def _flush(self) -> None:
        raw, self._inline = "".join(self._inline), []
        if self._preformatted:
            text = raw.strip("\n")
        else:
            text = "\n".join(line for line in map(one_line, raw.split("\n")) if line)
        if not text.strip():
            return
        if self._heading:
            self.writer.heading(self._heading, text)
        elif self._entry_open:
            self.writer.entry(text, depth=max(0, self._list_depth - 1), continued=self._entry_started)
            self._entry_started = True
        else:
            self.writer.paragraph(text)


def _children(node: LexborNode) -> list[LexborNode]:
    return list(node.iter(include_text=True))


def _flat_text(node: LexborNode) -> str:
    pieces: list[str] = []
    stack = [node]
    while stack:
        current = stack.pop()
        tag = current.tag or ""
        if tag == "-text":
            pieces.append(current.text_content or "")
        elif tag == "br" or tag in _BLOCKS:
            pieces.append(" ")
        if tag not in _DROPPED:
            stack.extend(reversed(_children(current)))
    return one_line("".join(pieces))

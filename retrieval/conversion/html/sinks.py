"""Where the blocks of a page go: into the document, or into the text of one table cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from retrieval.conversion.converted import MarkdownWriter, one_line
from retrieval.conversion.html.elements import HEADINGS, LISTS
from retrieval.conversion.html.lists import BULLET, Entry, Lists

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_ENDS_OF_TERMS = (":", "?", "!", "：", "？", "！")


class Sink(Protocol):
    def open(self, node: LexborNode, tag: str) -> None: ...

    def close(self, tag: str) -> None: ...

    def block(self, text: str, *, preformatted: bool) -> None: ...


class PageSink:
    """Writes blocks as headings, list entries, definitions and paragraphs."""

    def __init__(self, writer: MarkdownWriter) -> None:
        self.writer = writer
        # Whether anything was written besides headings and what stands in a page's header or footer.
        self.has_content = False
        self._lists = Lists()
        self._heading = 0
        self._outside = 0
        # The terms of each open `<dl>`, and whether they have a definition.
        self._definitions: list[tuple[list[str], bool]] = []

    def open(self, node: LexborNode, tag: str) -> None:
        if tag in HEADINGS or tag in LISTS or tag == "dl":
            self._write_terms()
        if tag in HEADINGS:
            self._heading = HEADINGS[tag]
        elif tag in LISTS:
            if self._lists.depth == 0 and self._lists.entry is None:
                self.writer.end_group()
            self._lists.open_list(node)
        elif tag == "li":
            self._lists.open_entry(node)
        elif tag == "dl":
            if self._lists.entry is None:
                self.writer.end_group()
            self._definitions.append(([], False))
        elif tag in {"dt", "dd"} and self._definitions:
            if tag == "dt" and self._definitions[-1][1]:
                self._definitions[-1] = ([], False)
            # Marked by its tag until its text comes.
            self._lists.entries.append(Entry(tag, self._lists.depth))
        elif tag in {"header", "footer"}:
            self._outside += 1

    def close(self, tag: str) -> None:
        if tag in HEADINGS:
            self._heading = 0
        elif tag in LISTS:
            self._lists.close_list()
            if self._lists.depth == 0 and self._lists.entry is None:
                self.writer.end_group()
        elif tag == "li" or (tag in {"dt", "dd"} and self._definitions):
            self._lists.close_entry()
        elif tag == "dl" and self._definitions:
            terms, answered = self._definitions.pop()
            if terms and not answered:
                self._write(terms, Entry("", self._lists.depth))
            if not self._definitions and self._lists.entry is None:
                self.writer.end_group()
        elif tag in {"header", "footer"}:
            self._outside -= 1

    def block(self, text: str, *, preformatted: bool) -> None:
        entry = self._lists.entry
        if self._heading:
            number = "" if entry is None or entry.started or entry.marker in {BULLET, "dt", "dd"} else entry.marker
            if entry is not None:
                entry.started = True
            self.writer.heading(self._heading, number + text)
            return
        self.has_content = self.has_content or not self._outside
        if entry is None:
            self.writer.paragraph(text)
        elif entry.marker == "dt":
            self._definitions[-1][0].append(one_line(text))
        elif preformatted and "\n" in text:
            self._write_preformatted(text, entry)
        else:
            if entry.marker == "dd" and not entry.started:
                text = self._defined(text)
            self._write(text.split("\n"), entry)

    def row(self, cells: list[str]) -> None:
        if any(cells):
            self.has_content = True
            self.writer.row(cells)

    def end_group(self) -> None:
        """Before and after a table."""
        self._write_terms()
        self.writer.end_group()

    def _write_terms(self) -> None:
        """The terms of a definition that does not begin with text."""
        entry = self._lists.entry
        if entry is not None and entry.marker == "dd" and not entry.started and self._definitions[-1][0]:
            self._write([self._defined("").rstrip()], entry)

    def _defined(self, text: str) -> str:
        """A definition after its terms."""
        terms = ", ".join(self._definitions[-1][0])
        self._definitions[-1] = (self._definitions[-1][0], True)
        if not terms:
            return text
        return f"{terms} {text}" if terms.endswith(_ENDS_OF_TERMS) else f"{terms}: {text}"

    def _write(self, lines: list[str], entry: Entry) -> None:
        marker = "" if entry.marker == "dd" else entry.marker
        for line in lines:
            self.writer.entry(line, depth=entry.depth, continued=entry.started and bool(marker), marker=marker)
            entry.started = True

    def _write_preformatted(self, text: str, entry: Entry) -> None:
        """Lines as they are; those of a list entry could not keep their indentation."""
        self._write_terms()
        lead = "" if entry.started or entry.marker in {BULLET, "dd"} else entry.marker.rstrip()
        self.writer.paragraph(f"{lead}\n{text}" if lead else text)
        entry.started = True


class CellSink:
    """Puts the blocks of a table cell into one line; the entries of a list are set apart by semicolons."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._lists = Lists()
        self._gap = " "

    def text(self) -> str:
        return "".join(self._pieces)

    def open(self, node: LexborNode, tag: str) -> None:
        if tag in LISTS:
            self._lists.open_list(node)
        elif tag == "li":
            self._lists.open_entry(node)
        elif tag == "tr":
            self._gap = "; "
        elif tag == "dd":
            self._gap = ": "

    def close(self, tag: str) -> None:
        if tag in LISTS:
            self._lists.close_list()
        elif tag == "li":
            self._lists.close_entry()
            self._gap = "; "
        elif tag == "dd":
            self._gap = "; "

    def block(self, text: str, *, preformatted: bool) -> None:
        entry, line = self._lists.entry, one_line(text)
        if entry is not None and not entry.started:
            line = line if entry.marker == BULLET else entry.marker + line
            entry.started = True
        if self._pieces:
            self._pieces.append(" " if self._pieces[-1].endswith((";", ":")) else self._gap)
        self._pieces.append(line)
        self._gap = " "

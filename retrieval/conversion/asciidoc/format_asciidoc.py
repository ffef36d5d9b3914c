"""AsciiDoc: headings, paragraphs, lists, tables and code, without comments, attributes and inserted files.

The language is that of https://docs.asciidoctor.org/asciidoc/latest/.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from retrieval.conversion.asciidoc.inline import inline_text
from retrieval.conversion.asciidoc.tables import write_table
from retrieval.conversion.converted import Converted, MarkdownWriter, decode_utf8, insert_notes
from retrieval.conversion.raised import without_markers

VERSION = "asciidoc/1"
SUFFIXES = (".adoc", ".asciidoc")

_HEADING = re.compile(r"(={1,6}|#{1,6})\s+(\S.*)")
_ATTRIBUTE = re.compile(r":!?([\w-]+)!?:(?:\s+(.*))?")
_STYLE = re.compile(r"\[(.*)\]")
_INSERT = re.compile(r"include::\S*\[.*\]")
_DIRECTIVE = re.compile(r"(?:ifdef|ifndef|ifeval|endif|image|video|audio|toc)::.*\[.*\]|'{3,}|<{3,}|\+")
_ITEM = re.compile(r"\s*(\*{1,5}|-|\.{1,5}|\d+\.|<[\d.]+>)\s+(\S.*)")
_TERM = re.compile(r"(\S.*?)(?::{2,4}|;;)(?:\s+(\S.*))?")
_ADMONITION = re.compile(r"(NOTE|TIP|IMPORTANT|WARNING|CAUTION):\s+(.*)", re.DOTALL)
_LABELS = ("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION")
_TITLE = re.compile(r"\.([^\s.].*)")
# Blocks whose lines are text as it is, and those that hold other blocks.
_VERBATIM = re.compile(r"(-{4,}|\.{4,}|`{3,}|\+{4,}|/{4,})(\w*)")
_CONTAINER = re.compile(r"={4,}|\*{4,}|_{4,}|--")
_LONGEST_VALUE = 400
_TABLE = re.compile(r"([|,:!])={3,}")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text."""
    reader = _Reader(without_markers(decode_utf8(data, name)).split("\n"))
    reader.read()
    return Converted(reader.writer.text(), reader.writer.title, notes=insert_notes(reader.inserts))


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.writer = MarkdownWriter()
        self.inserts = 0
        self._lines = lines
        self._at = 0
        self._attributes: dict[str, str] = {}
        self._style = ""
        self._label = ""
        self._numbers: list[int] = []
        self._bullets = True

    def read(self) -> None:
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip()
            readers: tuple[Callable[[str], bool], ...] = (
                self._nothing, self._attribute, self._verbatim, self._table, self._heading, self._item, self._term,
            )  # fmt: skip
            if not any(read(line) for read in readers):
                self._paragraph()

    def _nothing(self, line: str) -> bool:
        """A line without text of its own."""
        if _INSERT.fullmatch(line):
            self.inserts += 1
        elif style := _STYLE.fullmatch(line):
            self._style = style[1]
            named = style[1].split(",")[0].strip()
            self._label = named.capitalize() if named in _LABELS else ""
        elif title := _TITLE.fullmatch(line):
            self.writer.paragraph(self._text(title[1]))
        elif not line.strip():
            self._numbers = self._numbers if self._is_item_next() else []
        elif not (
            (line.startswith("//") and not line.startswith("///"))
            or _DIRECTIVE.fullmatch(line)
            or _CONTAINER.fullmatch(line)
        ):
            return False
        self._at += 1
        return True

    def _is_item_next(self) -> bool:
        """Whether a list goes on after an empty line."""
        following = next((line for line in self._lines[self._at + 1 : self._at + 10] if line.strip()), "")
        return _ITEM.fullmatch(following) is not None

    def _attribute(self, line: str) -> bool:
        found = _ATTRIBUTE.fullmatch(line)
        if found:
            # Values may name each other, so that a few lines could stand for an endless text.
            self._attributes[found[1]] = self._text(found[2] or "")[:_LONGEST_VALUE]
            self._at += 1
        return found is not None

    def _verbatim(self, line: str) -> bool:
        found = _VERBATIM.fullmatch(line)
        if found is None:
            return False
        inside = self._until(lambda other: other.rstrip() == found[1])
        if not found[1].startswith(("/", "+")):
            self.writer.code("\n".join(inside))
        self._style = self._label = ""
        return True

    def _table(self, line: str) -> bool:
        found = _TABLE.fullmatch(line)
        if found is None:
            return False
        inside = self._until(lambda other: other.rstrip() == line)
        write_table(inside, self._style, found[1], self._text, self.writer)
        self._style = ""
        return True

    def _until(self, is_end: Callable[[str], bool]) -> list[str]:
        """The lines up to the end of a block, or of the file."""
        first = self._at + 1
        end = next((n for n in range(first, len(self._lines)) if is_end(self._lines[n])), len(self._lines))
        self._at = end + 1
        return self._lines[first:end]

    def _heading(self, line: str) -> bool:
        found = _HEADING.fullmatch(line)
        if found:
            begins = len(found[1]) == 1 and self.writer.title is None
            self.writer.heading(len(found[1]), self._text(found[2]))
            self._at += 1
            if begins:
                self._header()
        return found is not None

    def _header(self) -> None:
        """The lines right under the title: author and version, attributes and comments."""
        while self._at < len(self._lines) and (line := self._lines[self._at].rstrip()):
            if not self._attribute(line):
                self._at += 1
                if not line.startswith("//"):
                    self.writer.paragraph(self._text(line))

    def _item(self, line: str) -> bool:
        found = _ITEM.fullmatch(line)
        if found is None:
            return False
        mark, text = found.groups()
        depth = len(mark) - 1 if mark[0] in "*." else 0
        self._at += 1
        if mark[0] in "*-":
            marker = "- "
        else:
            self._numbers = [*self._numbers, *[0] * (depth + 1 - len(self._numbers))][: depth + 1]
            self._numbers[depth] += 1
            marker = f"{self._numbers[depth]}. "
        if depth == 0 and (marker == "- ") != self._bullets:
            self.writer.end_group()
            self._bullets = marker == "- "
        self.writer.entry(self._text(" ".join([text, *self._more()])), depth, marker=marker)
        return True

    def _term(self, line: str) -> bool:
        found = _TERM.fullmatch(line)
        if found is None:
            return False
        self._at += 1
        said = " ".join([found[2] or "", *(self._more() if found[2] else self._next_paragraph())])
        text = self._text(said)
        self.writer.paragraph(f"{self._text(found[1])}: {text}" if text else self._text(found[1]))
        return True

    def _next_paragraph(self) -> list[str]:
        """The paragraph that follows at once, if it is one."""
        while self._at < len(self._lines) and not self._lines[self._at].strip():
            self._at += 1
        return self._more()

    def _paragraph(self) -> None:
        first = self._lines[self._at]
        self._at += 1
        lines = [first, *self._more()]
        if first.startswith((" ", "\t")):
            self.writer.code("\n".join(lines))
            return
        # A space and a plus at the end break a line.
        text = "\n".join(self._text(part) for part in re.split(r" \+\n", "\n".join(lines)))
        if admonition := _ADMONITION.fullmatch(text):
            text = f"{admonition[1].capitalize()}: {admonition[2]}"
        self.writer.paragraph(f"{self._label}: {text}" if self._label else text)
        self._style = self._label = ""

    def _more(self) -> list[str]:
        """Further lines of a paragraph or entry."""
        found = []
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip()
            if not line.strip() or any(
                pattern.fullmatch(line) for pattern in (_ITEM, _TERM, _STYLE, _DIRECTIVE, _CONTAINER, _VERBATIM, _TABLE)
            ):
                break
            if not line.startswith("//"):
                found.append(line)
            self._at += 1
        return found

    def _text(self, text: str) -> str:
        return inline_text(text, self._attributes)

"""The result types of the format modules, decoding, and a writer for text with headings, lists and tables."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from retrieval.documents import Mark, Writing
from retrieval.errors import ConversionError

_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Converted:
    """A text, the document's own title (None: none), and page offsets in code points.

    `marks` are the headings, lists, tables and code of plain text. If they are not given, they are those of the
    `Written` text; a text joined from several is searched for what a writer puts on lines of their own.

    `notes` say what was left out on purpose, such as navigation, and `unread` which parts could not be read.
    `recognised` are the pages, from 1, that were read by text recognition (OCR), and `variant` says how; "" without.
    """

    text: str
    title: str | None = None
    page_starts: tuple[int, ...] = ()
    writing: Writing = "plain"
    marks: tuple[Mark, ...] | None = None
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    recognised: tuple[int, ...] = ()
    variant: str = ""

    def __post_init__(self) -> None:
        if self.marks is None:
            found = self.text.marks if isinstance(self.text, Written) else tuple(_find_marks(self.text))
            object.__setattr__(self, "marks", found if self.writing == "plain" else ())
        object.__setattr__(self, "text", str(self.text))


class Written(str):
    """The text of a writer, with the spans of its headings, lists, tables and code."""

    marks: tuple[Mark, ...]

    def __new__(cls, text: str, marks: Sequence[Mark]) -> Written:
        written = super().__new__(cls, text)
        written.marks = tuple(marks)
        return written


def joined(texts: Sequence[str], separator: str = "\n") -> Written:
    """Written texts as one, with their marks."""
    marks: list[Mark] = []
    offset = 0
    for text in texts:
        if isinstance(text, Written):
            marks += [mark._replace(start=mark.start + offset, end=mark.end + offset) for mark in text.marks]
        offset += len(text) + len(separator)
    return Written(separator.join(texts), marks)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One document of a file with a document per row. The digest of `raw` changes when the row does.

    `metadata` is a JSON object by which results can be filtered.
    """

    id: str
    title: str
    text: str
    group: str
    raw: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a file, and notes for the user on its columns."""

    rows: list[SourceRow]
    notes: tuple[str, ...] = ()


def insert_notes(count: int) -> tuple[str, ...]:
    """A note on the files that a text names to be inserted, which are not read; none if there are none."""
    files = "one inserted file was" if count == 1 else f"{count} inserted files were"
    return (f"{files} not read here; such a file in docs/ is a document of its own",) if count else ()


def decode_utf8(data: bytes, name: str) -> str:
    """UTF-8 to text, without a byte order mark and with "\\n" as the only line end.

    Raises ConversionError for binary data and other encodings.
    """
    if 0 in data:
        raise ConversionError(
            found=f"{name} contains binary data (a zero byte at offset {data.index(0)})",
            expected="UTF-8 text, as its suffix says",
            next_step=f"save {name} as UTF-8 text, or correct its suffix",
        )
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError(
            found=f"{name} is not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start})",
            expected="UTF-8 text",
            next_step=f"save {name} as UTF-8",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def valid_rows(rows: Iterable[tuple[int, SourceRow | str]], name: str, expected: str) -> list[SourceRow]:
    """The rows of a file, given with their line; a text is what is wrong with a row.

    Raises ConversionError, naming the first five bad lines, if there are any. Ids must be unique.
    """
    valid: dict[str, SourceRow] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    for line, row in rows:
        if isinstance(row, str):
            problems.append(f"line {line}: {row}")
        elif row.id in valid:
            problems.append(f"line {line}: the id {row.id!r} is already used in line {lines[row.id]}")
        else:
            valid[row.id], lines[row.id] = row, line
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        shown = "; ".join(problems[:_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ConversionError(found=f"{name}, {shown}", expected=expected, next_step=f"correct those lines of {name}")
    return list(valid.values())


_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
_HEADING = re.compile(r"(#{1,6}) \S[^\n]*")


def _find_marks(text: str) -> Iterator[Mark]:
    for paragraph in _PARAGRAPH.finditer(text):
        start, end = paragraph.span()
        lines = paragraph.group().split("\n")
        if heading := _HEADING.fullmatch(paragraph.group()):
            yield Mark("heading", start, end, len(heading[1]))
        elif all(line.startswith(("- ", "  ")) for line in lines):
            yield Mark("list", start, end)
        elif len(lines) > 1 and all(" | " in f" {line} " for line in lines):
            yield Mark("table", start, end)


# Deeper list entries are indented only this far: indentation would make a small, deeply nested page an endless text.
_MAX_LIST_DEPTH = 9


class MarkdownWriter:
    """Writes headings as `#` lines, list entries as `- ` lines, table rows as ` | ` lines, and paragraphs.

    Consecutive list entries or table rows are on consecutive lines. A blank line separates everything else.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._marks: list[Mark] = []
        self._length = 0
        self._last_kind = ""
        self.title: str | None = None

    def heading(self, level: int, text: str) -> None:
        line = one_line(text)
        if line:
            if level == 1 and self.title is None:
                self.title = line
            number = min(max(level, 1), 6)
            self._add("heading", f"{'#' * number} {line}", number)

    def paragraph(self, text: str) -> None:
        self._add("paragraph", text.strip("\n"))

    def entry(self, text: str, depth: int = 0, *, continued: bool = False, marker: str = "- ") -> None:
        """A list entry, or a further paragraph of the last one. `marker` may be a number such as `3. `, or nothing."""
        line = one_line(text)
        if line:
            self._add("list", f"{'  ' * min(depth, _MAX_LIST_DEPTH)}{'  ' if continued else marker}{line}")

    def row(self, cells: Sequence[str]) -> None:
        line = " | ".join(one_line(cell) for cell in cells).strip()
        if line.strip(" |"):
            self._add("table", line)

    def code(self, text: str) -> None:
        """Lines of code, with the spaces before and between their words."""
        self._add("code", text.strip("\n"))

    def end_group(self) -> None:
        """A following list or table is a new one."""
        self._last_kind = ""

    def text(self) -> Written:
        return Written("".join(self._pieces) + ("\n" if self._pieces else ""), self._marks)

    def _add(self, kind: Literal["heading", "list", "table", "code", "paragraph"], text: str, level: int = 0) -> None:
        if not text.strip():
            return
        together = kind == self._last_kind and kind in {"list", "table"}
        if self._pieces:
            self._write("\n" if together else "\n\n")
        start = self._length
        self._write(text)
        if together:
            self._marks[-1] = self._marks[-1]._replace(end=self._length)
        elif kind != "paragraph":
            self._marks.append(Mark(kind, start, self._length, level))
        self._last_kind = kind

    def _write(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())

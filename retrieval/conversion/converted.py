"""The result types of the format modules, decoding, and a writer for Markdown-like text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retrieval.errors import ConversionError

_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Converted:
    """Markdown-like text, the document's own title (None: none), page offsets in code points, and notes."""

    text: str
    title: str | None = None
    page_starts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One document of a file with a document per row. The digest of `raw` changes when the row does."""

    id: str
    title: str
    text: str
    group: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a file, and notes for the user on its columns."""

    rows: list[SourceRow]
    notes: tuple[str, ...] = ()


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


# Deeper list entries are indented only this far: indentation would make a small, deeply nested page an endless text.
_MAX_LIST_DEPTH = 9


class MarkdownWriter:
    """Writes headings as `#` lines, list entries as `- ` lines, table rows as ` | ` lines, and paragraphs.

    Consecutive list entries or table rows are on consecutive lines. A blank line separates everything else.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last_kind = ""
        self.title: str | None = None

    def heading(self, level: int, text: str) -> None:
        line = one_line(text)
        if line:
            if level == 1 and self.title is None:
                self.title = line
            self._add("heading", f"{'#' * min(max(level, 1), 6)} {line}")

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

    def end_group(self) -> None:
        """A following list or table is a new one."""
        self._last_kind = ""

    def text(self) -> str:
        return "".join(self._pieces) + ("\n" if self._pieces else "")

    def _add(self, kind: str, text: str) -> None:
        if not text.strip():
            return
        if self._pieces:
            together = kind == self._last_kind and kind in {"list", "table"}
            self._pieces.append("\n" if together else "\n\n")
        self._pieces.append(text)
        self._last_kind = kind


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())

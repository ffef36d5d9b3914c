"""What a format module returns, and how bytes become text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.errors import ConversionError

_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Converted:
    """Markdown-like text, the title it names itself by (None: none), and page offsets in code points."""

    text: str
    title: str | None = None
    page_starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One document of a file that holds many, and the bytes whose digest tells whether it changed."""

    id: str
    title: str
    text: str
    group: str
    raw: bytes


def decode_utf8(data: bytes, name: str) -> str:
    """UTF-8 to text, without a byte order mark and with every line end as "\\n".

    Raises ConversionError for binary data and for other encodings, naming the first bad byte.
    """
    if 0 in data:
        raise ConversionError(
            found=f"{name} holds binary data (a zero byte at offset {data.index(0)})",
            expected="UTF-8 text, as its name says",
            next_step=f"save {name} as UTF-8 text, or give it the suffix of what it is",
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


def refuse_lines(name: str, problems: Sequence[str], expected: str) -> None:
    """Raises one ConversionError for all that is wrong with a file's lines, if anything is; it shows the first five."""
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        shown = "; ".join(problems[:_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ConversionError(found=f"{name}, {shown}", expected=expected, next_step=f"mend those lines of {name}")


# Deeper lists are written as deep as this: indented by their depth, a small page would make an endless text.
_DEEPEST = 9


class Blocks:
    """Headings as `#`-lines, list entries as `- ` lines, table rows as ` | ` lines, paragraphs between.

    Neighbouring entries of a list and rows of a table stand on neighbouring lines; everything else is
    separated by a blank line.
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

    def entry(self, text: str, depth: int = 0) -> None:
        line = one_line(text)
        if line:
            self._add("list", f"{'  ' * min(depth, _DEEPEST)}- {line}")

    def continuation(self, text: str, depth: int = 0) -> None:
        """A further paragraph of the last list entry."""
        line = one_line(text)
        if line:
            self._add("list", f"{'  ' * min(depth, _DEEPEST)}  {line}")

    def row(self, cells: Sequence[str]) -> None:
        line = " | ".join(one_line(cell) for cell in cells).strip()
        if line.strip(" |"):
            self._add("table", line)

    def end_group(self) -> None:
        """What follows is another list or table, even when it is of the same kind."""
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
    """Every run of white space as one space."""
    return " ".join(text.split())

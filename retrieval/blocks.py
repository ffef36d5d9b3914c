"""Markdown-like text put together block by block, for the formats that are not text themselves."""

from __future__ import annotations

from collections.abc import Sequence

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

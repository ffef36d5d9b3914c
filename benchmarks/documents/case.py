"""The record of a benchmark case: a small file, and what a reader shows of it when it reads it well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """A file and its expected content, both written by hand.

    `text` is what a person sees, in reading order; list entries start with their number. `optional` are words that a
    reader may leave out or add (page headers, alternative texts, marks of footnotes). A string in `forbidden` is wrong
    wherever it occurs: a falsified number, deleted or hidden text.

    `headings` are pairs of level and text; None if headings are not scored, and empty if there must be none. An entry
    of `numbers` is a list number and the words after it. `rows` are table rows as column name to value; the first
    column of a row identifies it.
    """

    name: str
    suffix: str
    build: Callable[[], bytes]
    text: str
    forbidden: tuple[str, ...] = ()
    optional: str = ""
    headings: tuple[tuple[int, str], ...] | None = None
    numbers: tuple[str, ...] = ()
    rows: tuple[Mapping[str, str], ...] = ()

    @property
    def format(self) -> str:
        """The group of the case in tables: its suffix without the dot, with one name for subtitles and for code."""
        groups = {".srt": "subtitles", ".vtt": "subtitles"}
        code = {".py", ".js", ".go", ".sh", ".sql", ".yaml", ".toml", ".json", ".c", ".rs", ".java"}
        return groups.get(self.suffix) or ("code" if self.suffix in code else self.suffix[1:])

    @property
    def file_name(self) -> str:
        """The case's name as the name of a file."""
        return self.name.replace("/", "-") + self.suffix


def table(columns: str, *rows: str) -> tuple[Mapping[str, str], ...]:
    """Expected rows, written as lines with cells separated by `|`."""
    names = [name.strip() for name in columns.split("|")]
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return tuple(dict(zip(names, row, strict=True)) for row in cells)

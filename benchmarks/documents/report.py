"""The tables of the reader benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]
_COLUMNS = (
    ("recall", "words found"),
    ("spurious", "spurious"),
    ("falsified", "files falsified"),
    ("failed", "failed"),
    ("headings", "headings"),
    ("levels", "levels"),
    ("numbers", "list numbers"),
    ("cells", "cells"),
    ("seconds", "ms"),
)
_ORDER = ("html", "docx", "pdf", "xlsx", "pptx", "epub", "eml", "odt", "subtitles", "code")


def print_readers(readers: Rows) -> None:
    """A table per format, and one with sizes and licences."""
    from benchmarks.tables import print_table

    for name, count, table in _tables(readers):
        print_table(f"{name}, {count} files", ("reader", *(shown for _, shown in _COLUMNS)), table)
    print_table("", ("reader", "licence", "installed, MiB", "peak memory, MiB", "wants network"), [*_sizes(readers)])


def print_markdown(readers: Rows) -> None:
    """The same tables as parts of a Markdown page."""
    for name, count, table in _tables(readers):
        print(f"\n### {name.upper() if name not in ('subtitles', 'code') else name.capitalize()}, {count} files\n")
        _print_markdown(("reader", *(shown for _, shown in _COLUMNS)), table)
    print("\n## Sizes and licences\n")
    _print_markdown(("reader", "licence", "installed, MiB", "peak memory, MiB", "wants network"), [*_sizes(readers)])


def print_case(name: str, readers: Rows) -> None:
    """The scores of all readers on one case."""
    for reader, row in readers.items():
        if name in row["cases"]:
            print(f"{reader}: {row['cases'][name]}")


def _tables(readers: Rows) -> Iterator[tuple[str, int, list[list[str]]]]:
    for name in _ORDER:
        found = {reader: row["formats"][name] for reader, row in readers.items() if name in row["formats"]}
        best = sorted(found, key=lambda reader: -(found[reader]["recall"] or 0))
        if best:
            yield name, max(row["cases"] for row in found.values()), [[one, *_scores(found[one])] for one in best]


def _scores(row: Mapping[str, Any]) -> list[str]:
    return [_shown(name, row[name]) for name, _ in _COLUMNS]


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "seconds":
        return f"{1000 * value:.1f}"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _sizes(readers: Rows) -> Iterator[list[str]]:
    for name, row in readers.items():
        wants = {True: "yes", False: "no"}.get(row["wants_network"], "")
        note = f"{name} ({row['note']})" if row["note"] else name
        yield [note, row["licence"], str(row["installed_mib"]), str(row["peak_mib"]), wants]


def _print_markdown(columns: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    for line in (columns, ["---"] * len(columns), *table):
        print(f"| {' | '.join(line)} |")

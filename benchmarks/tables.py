"""Tables and estimates that benchmark scripts print."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from evaluation.bootstrap import mean_interval, paired_difference

Estimate = Mapping[str, float]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is aligned to the left, the others to the right."""
    table = Table(title=title or None, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    # Wide enough for the widest table, so that no cell is wrapped.
    Console(width=210).print(table)


def estimate(values: Sequence[float]) -> dict[str, float]:
    """The mean of the values with its 95% bootstrap interval."""
    interval = mean_interval(values)
    if interval is None:
        raise SystemExit("no question to score. Next: choose a larger --limit")
    return asdict(interval)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float] | None:
    """The mean paired difference with its interval; None if there are no values."""
    interval = paired_difference(ours, theirs)
    return asdict(interval) if interval else None


def interval_text(interval: Estimate | None, sign: str = "") -> str:
    """An estimate as text: `0.512 (0.430 to 0.601)`. A `sign` of "+" marks positive numbers."""
    if interval is None:
        return ""
    mean, low, high = (format(interval[name], f"{sign}.3f") for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def mean_text(values: Sequence[float | None], form: str = ".3f", missing: str = "-") -> str:
    """The mean of the values that are known."""
    known = [value for value in values if value is not None]
    return format(statistics.mean(known), form) if known else missing

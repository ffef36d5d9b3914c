"""Prints the results of `serving.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import print_table


def print_serving(results: Mapping[str, Any]) -> None:
    """A row per system and number of callers, then overload and turns, as far as they were measured."""
    table = []
    for callers, cells in results.get("cells", {}).items():
        alone = cells.get("one at a time")
        for name, cell in cells.items():
            ratio = f"{cell['tokens_per_second'] / alone['tokens_per_second']:.2f}" if alone else "–"
            first = cell["first_ms"]
            table.append([
                name, callers, f"{cell['tokens_per_second']:.1f}", ratio, f"{first['p50']:,.0f} ms",
                f"{first['p95']:,.0f} ms", f"{cell['prompt_tokens']}", f"{cell['tokens']}", f"{cell['answers']}",
                f"{cell['failed']}",
            ])  # fmt: skip
    columns = (
        "system", "callers", "tokens/s", "/ one at a time", "first p50", "first p95", "prompt", "reply", "answers",
        "failed",
    )  # fmt: skip
    if table:
        print_table("serving", columns, table)
    if overload := results.get("overload"):
        rows = [
            [
                name,
                str(overload[part]["answers"]),
                *_times(overload[part]["first_ms"]),
                *_times(overload[part]["whole_ms"]),
            ]
            for name, part in (("as many callers as places", "at_capacity"), ("served under overload", "served"))
        ]
        print_table(
            f"overload: {overload['requests_per_second']} requests per second, statuses {overload['statuses']}",
            ("", "answers", "first p50", "first p95", "whole p50", "whole p95"),
            rows,
        )
        for where in ("client", "server"):
            print(f"refusals, milliseconds as the {where} measures them: {overload[f'refusal_ms_{where}']}")
    if turns := results.get("turns"):
        print(turns)


def _times(found: Mapping[str, float]) -> list[str]:
    return [f"{found['p50']:,.0f} ms", f"{found['p95']:,.0f} ms"]

"""The table of `training_speed.py`: its rows, what they have to reach, and the file that a run can be taken up from."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.speed.peft_systems import BASELINE, PEFT
from benchmarks.speed.training_data import DATA
from benchmarks.speed.training_systems import BLOCK, SOFTGRAFT

MIB = 2**20
# Kind of data and system -> tokens of a context -> times PEFT prompt tuning on the same data.
GOALS: dict[tuple[str, str], dict[int, float]] = {
    ("unique", "softgraft-kv"): {200: 3, 1000: 7, 2000: 8},
    ("recurring", "softgraft-kv"): {200: 4, 1000: 12, 2000: 16},
    ("passages", BLOCK): {1000: 15, 2000: 25},
}
# What two runs must have in common for their rows to stand in one table.
SAME = ("config", "backbone", "data_sha256", "versions", "hardware")


@dataclass
class Cell:
    """One row: a system on one kind of data.

    Attributes:
        data: the kind of data.
        context: mean tokens of a context.
        system: name of the system.
        examples: examples of a run, those of all epochs.
        steps: steps of a run.
        uses: how often contexts and passages recur in a run, as `count_uses` gives it.
        first_step_loss: loss of the first step.
        same_tokens_loss: what PEFT's first loss has to be near; None for Softgraft.
        timings: of each run: `seconds` of the whole run, `fill_seconds` of them for the store, `timed_steps`, and the
            machine's `load_average` at its end, which shows whether something else ran beside it.
        memory: peaks in bytes of a process of its own; None where not measured.
        examples_per_second: by the median of the runs.
        ratio_to_peft: to PEFT prompt tuning on the same data; None where that was not measured.
        goal: what the ratio has to reach; None where nothing is asked.
        goal_met: whether it does; None where there is no goal or no ratio.
        memory_goal_met: whether Softgraft holds no more memory than PEFT prompt tuning, mapped files left out.
    """

    data: str
    context: int
    system: str
    examples: int
    steps: int
    uses: dict[str, int | float]
    first_step_loss: float
    same_tokens_loss: float | None
    timings: list[dict[str, float]] = field(default_factory=list)
    memory: dict[str, int] | None = None
    examples_per_second: float | None = None
    ratio_to_peft: float | None = None
    goal: float | None = None
    goal_met: bool | None = None
    memory_goal_met: bool | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """Kind of data, context and system."""
        return self.data, self.context, self.system


class Report:
    """The rows and the file they are kept in; rows that stand in the file already are not measured again."""

    def __init__(self, path: Path, head: Mapping[str, Any], *, fresh: bool) -> None:
        self.path = path
        self.head: dict[str, Any] = json.loads(json.dumps({"started": _now(), **head}))
        self.cells: dict[tuple[str, int, str], Cell] = {}
        if path.is_file() and not fresh:
            self._take_up(json.loads(path.read_text(encoding="utf-8")))

    def content(self) -> dict[str, Any]:
        """Everything, as it is written."""
        compare(self.cells)
        return {**self.head, "finished": _now(), "rows": [asdict(cell) for cell in self.rows()]}

    def rows(self) -> list[Cell]:
        """The rows in the order of a table, however the runs were split."""
        order = (*SOFTGRAFT, *PEFT)
        return sorted(self.cells.values(), key=lambda c: (DATA.index(c.data), c.context, order.index(c.system)))

    def write(self) -> None:
        """Write the file; a run that is stopped on the way leaves the one before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(json.dumps(self.content(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        scratch.replace(self.path)

    def _take_up(self, found: dict[str, Any]) -> None:
        differ = []
        for part in SAME:
            old, new = found.get(part), self.head[part]
            if isinstance(old, dict) and isinstance(new, dict):
                differ += [
                    f"{part}.{name} {old.get(name)!r}, now {new.get(name)!r}"
                    for name in sorted({*old, *new})
                    if old.get(name) != new.get(name)
                ]
            elif old != new:
                differ.append(f"{part} {old!r}, now {new!r}")
        if differ:
            raise SystemExit(
                f"{self.path} was measured otherwise: {'; '.join(differ)}. Expected: the same settings, versions and "
                "hardware in all rows. Next: choose another file with --out, or --fresh to measure all again"
            )
        self.head["started"] = found["started"]
        for row in found["rows"]:
            cell = Cell(**row)
            self.cells[cell.key] = cell


def compare(cells: Mapping[tuple[str, int, str], Cell]) -> None:
    """Fill in what follows from the timings of all rows."""
    for cell in cells.values():
        if cell.timings:
            seconds = statistics.median(timing["seconds"] for timing in cell.timings)
            cell.examples_per_second = cell.examples / seconds
    for cell in cells.values():
        peft = cells.get((cell.data, cell.context, BASELINE))
        cell.goal = GOALS.get((cell.data, cell.system), {}).get(cell.context)
        if peft is None:
            continue
        if cell.examples_per_second and peft.examples_per_second:
            cell.ratio_to_peft = cell.examples_per_second / peft.examples_per_second
            cell.goal_met = None if cell.goal is None else cell.ratio_to_peft >= cell.goal
        own, theirs = (held_bytes(other) for other in (cell, peft))
        if cell.system in SOFTGRAFT and own is not None and theirs is not None:
            cell.memory_goal_met = own <= theirs


def held_bytes(cell: Cell) -> int | None:
    """Peak of the memory that a system holds itself: on a GPU the device's, else without mapped files."""
    memory = cell.memory or {}
    return memory.get("peak_device_bytes", memory.get("peak_anonymous_bytes", memory.get("peak_bytes")))


def make_tables(cells: Sequence[Cell]) -> list[Table]:
    """The rows for a person, a table for each kind of data and length of context."""
    tables = []
    for (data, context), rows in groupby(cells, lambda cell: cell.key[:2]):
        group = list(rows)
        uses = [
            f"{group[0].uses[f'{name}s']} {name}s, each used {group[0].uses[f'uses_of_a_{name}']} times or more"
            for name in ("context", "passage")
            if f"{name}s" in group[0].uses
        ]
        table = Table(
            title=f"{data}, {context:,} tokens: {'; '.join(uses)}",
            box=SIMPLE_HEAD,
            pad_edge=False,
            title_justify="left",
        )
        table.add_column("system", no_wrap=True)
        for column in ("ex/s", "x PEFT", "goal", "peak", "held", "files", "loss"):
            table.add_column(column, justify="right", no_wrap=True)
        for cell in group:
            memory = cell.memory or {}
            table.add_row(
                cell.system,
                _number(cell.examples_per_second, ".2f"),
                _number(cell.ratio_to_peft, ".1f"),
                "" if cell.goal is None else f"{cell.goal:g} {_verdict(cell.goal_met)}",
                _mib(memory.get("peak_bytes")),
                f"{_mib(held_bytes(cell))} {_verdict(cell.memory_goal_met)}".rstrip(),
                _mib(memory.get("peak_file_bytes")),
                f"{cell.first_step_loss:.3f}",
            )
        tables.append(table)
    tables[-1:] = [_with_legend(table) for table in tables[-1:]]
    return tables


def _with_legend(table: Table) -> Table:
    table.caption = (
        "ex/s: examples a second. goal: times PEFT prompt tuning, ✓ met, ✗ missed. peak: resident MiB. held: without "
        "mapped files (on a GPU: its memory), ✓ no more than PEFT prompt tuning. files: mapped files, the model's and "
        "the cache's. loss: of the first step."
    )
    table.caption_justify = "left"
    return table


def _number(value: float | None, style: str) -> str:
    return "–" if value is None else format(value, style)


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / MIB:,.0f}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else "✓" if met else "✗"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S %Z}"

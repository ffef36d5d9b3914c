"""Results of the training benchmark: systems, goals, rows, and the file that a later run continues."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.script import read_results, require_same, utc_now, write_results
from benchmarks.speed.training.data import DATA

MIB = 2**20
BLOCK = "softgraft-kv-block"
SOFTGRAFT = ("softgraft-embedding", "softgraft-kv", "softgraft-kv-adapter", BLOCK)
PROMPT_TUNING, ANSWER_LOGITS = "peft-prompt-tuning", "peft-answer-logits"
PREFIX_TUNING, CARTRIDGE, LORA = "peft-prefix-tuning", "peft-cartridge", "peft-lora"
PEFT = (PROMPT_TUNING, ANSWER_LOGITS, PREFIX_TUNING, CARTRIDGE, LORA)
SYSTEMS = (*SOFTGRAFT, *PEFT)
# Kind of data and system -> tokens per context -> required speed-up over PEFT prompt tuning.
GOALS: dict[tuple[str, str], dict[int, float]] = {
    ("unique", "softgraft-kv"): {200: 3, 1000: 7, 2000: 8},
    ("recurring", "softgraft-kv"): {200: 4, 1000: 12, 2000: 16},
    ("passages", BLOCK): {1000: 15, 2000: 25},
}
# All rows of one file share these.
SAME = ("config", "backbone", "data_sha256", "versions", "hardware")


@dataclass
class Cell:
    """One row: a system on one kind of data.

    Attributes:
        data: the kind of data.
        context: mean tokens per context.
        system: name of the system.
        examples: examples of a run, over all epochs.
        steps: steps of a run.
        uses: counts from `count_uses`.
        first_step_loss: loss of the first step.
        same_tokens_loss: expected first loss of a PEFT method; None for Softgraft.
        timings: per run: `seconds` in total, `fill_seconds` of them for the store, `timed_steps`, and the machine's
            `load_average` at the end, which shows whether other work was running.
        memory: peaks in bytes, measured in a separate process; None if not measured.
        examples_per_second: from the median of the runs.
        ratio_to_peft: speed-up over PEFT prompt tuning on the same data; None if that was not measured.
        goal: required speed-up; None if there is none.
        goal_met: None if there is no goal or no ratio.
        memory_goal_met: whether Softgraft needs no more memory than PEFT prompt tuning, mapped files excluded.
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
    """The rows and their file. Rows that the file already has are not measured again."""

    def __init__(self, path: Path, head: Mapping[str, Any], *, fresh: bool) -> None:
        self.path = path
        # As JSON reads it back: the same types as in a file.
        self.head: dict[str, Any] = json.loads(json.dumps({"started": utc_now(), **head}))
        self.cells: dict[tuple[str, int, str], Cell] = {}
        if path.is_file() and not fresh:
            self._continue(read_results(path))

    def content(self) -> dict[str, Any]:
        """The results as the file stores them."""
        compare(self.cells)
        return {**self.head, "finished": utc_now(), "rows": [asdict(cell) for cell in self.rows()]}

    def rows(self) -> list[Cell]:
        """The rows in the order of the table."""
        return sorted(self.cells.values(), key=lambda c: (DATA.index(c.data), c.context, SYSTEMS.index(c.system)))

    def write(self) -> None:
        """Write the file."""
        write_results(self.path, self.content())

    def _continue(self, results: dict[str, Any]) -> None:
        require_same(self.path, _settings(results), _settings(self.head))
        self.head["started"] = results["started"]
        for row in results["rows"]:
            cell = Cell(**row)
            self.cells[cell.key] = cell


def _settings(results: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that rows of one file share, by names such as `config.seed`."""
    settings: dict[str, Any] = {}
    for part in SAME:
        value = results.get(part)
        settings |= {f"{part}.{name}": v for name, v in value.items()} if isinstance(value, dict) else {part: value}
    return settings


def compare(cells: Mapping[tuple[str, int, str], Cell]) -> None:
    """Fill in the speeds, ratios and goals that follow from the timings of all rows."""
    for cell in cells.values():
        if cell.timings:
            seconds = statistics.median(timing["seconds"] for timing in cell.timings)
            cell.examples_per_second = cell.examples / seconds
    for cell in cells.values():
        peft = cells.get((cell.data, cell.context, PROMPT_TUNING))
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
    """Peak memory of a system itself: the device's on a GPU, otherwise without mapped files."""
    memory = cell.memory or {}
    return memory.get("peak_device_bytes", memory.get("peak_anonymous_bytes", memory.get("peak_bytes")))


def make_tables(cells: Sequence[Cell]) -> list[Table]:
    """A table for each kind of data and context length."""
    tables = []
    for (data, context), rows in groupby(cells, lambda cell: cell.key[:2]):
        group = list(rows)
        uses = [
            f"{group[0].uses[f'{name}s']} {name}s, each used at least {group[0].uses[f'uses_of_a_{name}']} times"
            for name in ("context", "passage")
            if f"{name}s" in group[0].uses
        ]
        title = f"{data}, {context:,} tokens: {'; '.join(uses)}"
        table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left")
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
    if tables:
        tables[-1].caption = (
            "ex/s: examples per second. x PEFT: speed-up over PEFT prompt tuning. goal: required speed-up, ✓ met, ✗ "
            "missed. peak: resident MiB. held: without mapped files (on a GPU: its memory), ✓ no more than PEFT prompt "
            "tuning. files: mapped files of model and cache. loss: of the first step."
        )
    return tables


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / MIB:,.0f}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else "✓" if met else "✗"

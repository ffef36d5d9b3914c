"""Results of the training benchmark: systems, rows, tables, and the file that a later run continues."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.script import read_results, require_same, utc_now, write_results
from benchmarks.speed.training.data import DATA
from benchmarks.tables import print_table

MIB = 2**20
BLOCK = "softgraft-kv-block"
SOFTGRAFT = ("softgraft-embedding", "softgraft-kv", "softgraft-kv-adapter", BLOCK)
PROMPT_TUNING, ANSWER_LOGITS = "peft-prompt-tuning", "peft-answer-logits"
PREFIX_TUNING, CARTRIDGE, LORA = "peft-prefix-tuning", "peft-cartridge", "peft-lora"
PEFT = (PROMPT_TUNING, ANSWER_LOGITS, PREFIX_TUNING, CARTRIDGE, LORA)
SYSTEMS = (*SOFTGRAFT, *PEFT)
MEMORY = ("bytes", "anonymous_bytes", "file_bytes", "device_bytes")
COLUMNS = ("system", "examples/s", "x PEFT prompt tuning", "peak", "anonymous", "files", "device", "first loss")
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
            results = read_results(path)
            require_same(path, _settings(results), _settings(self.head))
            self.head["started"] = results["started"]
            cells = [Cell(**row) for row in results["rows"]]
            self.cells = {cell.key: cell for cell in cells}

    def rows(self) -> list[Cell]:
        """The rows in the order of the table."""
        return sorted(self.cells.values(), key=lambda c: (DATA.index(c.data), c.context, SYSTEMS.index(c.system)))

    def write(self) -> None:
        """Write the file."""
        compare(self.cells)
        rows = [asdict(cell) for cell in self.rows()]
        write_results(self.path, {**self.head, "finished": utc_now(), "rows": rows})


def _settings(results: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that rows of one file share, by names such as `config.seed`."""
    settings: dict[str, Any] = {}
    for part in SAME:
        value = results.get(part)
        settings |= {f"{part}.{name}": v for name, v in value.items()} if isinstance(value, dict) else {part: value}
    return settings


def compare(cells: Mapping[tuple[str, int, str], Cell]) -> None:
    """Fill in the speeds and ratios that follow from the timings of all rows."""
    for cell in cells.values():
        if cell.timings:
            seconds = statistics.median(timing["seconds"] for timing in cell.timings)
            cell.examples_per_second = cell.examples / seconds
    for cell in cells.values():
        peft = cells.get((cell.data, cell.context, PROMPT_TUNING))
        if peft and cell.examples_per_second and peft.examples_per_second:
            cell.ratio_to_peft = cell.examples_per_second / peft.examples_per_second


def print_tables(cells: Sequence[Cell]) -> None:
    """A table for each kind of data and context length."""
    for (data, context), rows in groupby(cells, lambda cell: cell.key[:2]):
        group = list(rows)
        uses = [
            f"{group[0].uses[f'{name}s']} {name}s, each used at least {group[0].uses[f'uses_of_a_{name}']} times"
            for name in ("context", "passage")
            if f"{name}s" in group[0].uses
        ]
        table = [
            [
                cell.system,
                _number(cell.examples_per_second, ".2f"),
                _number(cell.ratio_to_peft, ".1f"),
                *(_mib((cell.memory or {}).get(f"peak_{kind}")) for kind in MEMORY),
                f"{cell.first_step_loss:.3f}",
            ]
            for cell in group
        ]
        print_table(f"{data}, {context:,} tokens: {'; '.join(uses)}", COLUMNS, table)
    print("Memory in MiB: peak resident, without mapped files, mapped files of model and cache, and the GPU's.")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / MIB:,.0f}"

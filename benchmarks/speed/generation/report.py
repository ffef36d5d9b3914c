"""Results of the generation benchmark: systems, goals, rows and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.table import Table

PEFT, PEFT_BEST = "peft", "peft-same-context-cached"
EXACT, BLOCK, BLOCK_DISK = "softgraft-exact", "softgraft-block", "softgraft-block-disk"
BLOCK_INT8 = "softgraft-block-int8"
SYSTEMS = (PEFT, PEFT_BEST, EXACT, BLOCK, BLOCK_DISK, BLOCK_INT8)
# System and tokens of evidence -> required speed-up of the first token over PEFT, at batch size 1.
FIRST_TOKEN_GOALS = {(BLOCK, 1000): 10.0, (BLOCK, 2000): 15.0}
DECODE_GOAL = 2.0


@dataclass
class Cell:
    """One row: a system at one length of evidence and one batch size.

    Attributes:
        context: mean tokens of evidence.
        batch: batch size.
        system: name of the system.
        first: per run, seconds until all rows have their first token.
        each: per run, seconds per later token of all rows.
        load: per run, the machine's load average at its end, which shows whether other work was running.
        first_seconds, tokens_per_second: medians; tokens of all rows together.
        first_ratio, decode_ratio: speed-up over PEFT; None if PEFT was not measured.
        limit: share of the speed that memory bandwidth allows, 0 to 1.
    """

    context: int
    batch: int
    system: str
    first: list[float] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    first_seconds: float = 0.0
    tokens_per_second: float = 0.0
    first_ratio: float | None = None
    decode_ratio: float | None = None
    limit: float = 0.0


def make_table(cells: Sequence[Cell]) -> Table:
    """The rows as a table."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for column in ("tokens", "batch", "system", "first", "x PEFT", "tokens/s", "x PEFT", "limit"):
        table.add_column(column, justify="left" if column == "system" else "right", no_wrap=True)
    for number, cell in enumerate(cells):
        goal = FIRST_TOKEN_GOALS.get((cell.system, cell.context)) if cell.batch == 1 else None
        decode_goal = DECODE_GOAL if cell.batch == 1 and cell.system.startswith("softgraft") else None
        following = cells[number + 1] if number + 1 < len(cells) else None
        table.add_row(
            f"{cell.context:,}",
            str(cell.batch),
            cell.system,
            f"{cell.first_seconds * 1000:,.0f} ms",
            _ratio(cell.first_ratio, goal),
            f"{cell.tokens_per_second:.1f}",
            _ratio(cell.decode_ratio, decode_goal),
            f"{cell.limit:.0%}",
            end_section=following is None or (following.context, following.batch) != (cell.context, cell.batch),
        )
    table.caption = (
        "first: time until all rows have their first token. tokens/s: of all rows together. ✓ ✗: goal met or missed. "
        "limit: share of the speed that memory bandwidth allows for reading weights and cache."
    )
    return table


def _ratio(ratio: float | None, goal: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.1f}" if goal is None else f"{ratio:.1f} {'✓' if ratio >= goal else '✗'}"

"""Results of the generation benchmark: systems, rows and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.tables import print_table

PEFT, PEFT_BEST = "peft", "peft-same-context-cached"
EXACT, BLOCK, BLOCK_DISK = "softgraft-exact", "softgraft-block", "softgraft-block-disk"
BLOCK_INT8 = "softgraft-block-int8"
SYSTEMS = (PEFT, PEFT_BEST, EXACT, BLOCK, BLOCK_DISK, BLOCK_INT8)
COLUMNS = ("system", "evidence", "batch", "first token", "x PEFT", "tokens/s", "x PEFT", "of the bandwidth limit")


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


def print_cells(cells: Sequence[Cell]) -> None:
    """Print the rows as a table; the first token is that of all rows of a batch."""
    rows = [
        [
            cell.system,
            f"{cell.context:,}",
            str(cell.batch),
            f"{cell.first_seconds * 1000:,.0f} ms",
            "–" if cell.first_ratio is None else f"{cell.first_ratio:.1f}",
            f"{cell.tokens_per_second:.1f}",
            "–" if cell.decode_ratio is None else f"{cell.decode_ratio:.1f}",
            f"{cell.limit:.0%}",
        ]
        for cell in cells
    ]
    print_table("", COLUMNS, rows)

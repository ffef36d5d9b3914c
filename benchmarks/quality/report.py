"""The tables of the quality benchmark."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation.bootstrap import Estimate, mean_interval, paired_difference

BASELINES = ("text-twin", "lora-r16")
console = Console(width=150)


def per_question(cells: list[dict[str, Any]], measure: str = "f1", scores: str = "scores") -> list[float]:
    """Each question's mean over the seeds."""
    return [statistics.mean(values) for values in zip(*(cell[scores][measure] for cell in cells), strict=True)]


def by_system(results: dict[str, Any], data: str, evidence: str) -> dict[str, list[dict[str, Any]]]:
    """System to its cells, one a seed, in the order in which systems first stand in the results."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in sorted(results["cells"].values(), key=lambda cell: int(cell["seed"])):
        if (cell["data"], cell["evidence"]) == (data, evidence):
            found[cell["system"]].append(cell)
    return found


def print_tables(results: dict[str, Any]) -> None:
    """A table for each data set and evidence."""
    places = sorted({(cell["data"], cell["evidence"]) for cell in results["cells"].values()}, reverse=True)
    for data, evidence in places:
        systems = by_system(results, data, evidence)
        table = Table(title=f"{data}, {evidence}")
        names = ("system", "seeds", "token F1", "by seed", "exact", "minus twin", "minus LoRA", "epochs", "train s",
                 "trained", "bytes", "perplexity", "on squad")  # fmt: skip
        for name in names:
            table.add_column(name)
        baselines = {name: per_question(systems[name]) for name in BASELINES if name in systems}
        for name, cells in sorted(systems.items(), key=lambda entry: -statistics.mean(per_question(entry[1]))):
            own = per_question(cells)
            table.add_row(
                name,
                str(len(cells)),
                _interval(mean_interval(own)),
                " ".join(f"{statistics.mean(cell['scores']['f1']):.3f}" for cell in cells),
                f"{statistics.mean(per_question(cells, 'exact')):.3f}",
                *(
                    _interval(paired_difference(own, baselines[b])) if b in baselines and b != name else ""
                    for b in BASELINES
                ),
                _mean([cell["trained"]["epochs"] for cell in cells if cell["trained"]], ".2f"),
                _mean([cell["trained"]["seconds"] for cell in cells if cell["trained"]], ".0f"),
                f"{cells[0]['parameters']:,}",
                f"{cells[0]['bytes']:,}",
                _mean([cell["general_perplexity"] for cell in cells if "general_perplexity" in cell], ".3f"),
                _mean([statistics.mean(cell["squad"]["f1"]) for cell in cells if "squad" in cell], ".3f"),
            )
        console.print(table)


def _interval(found: Estimate | None) -> str:
    assert found is not None
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _mean(values: list[float], form: str) -> str:
    return format(statistics.mean(values), form) if values else ""

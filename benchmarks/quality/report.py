"""The tables of the quality benchmark."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import difference, estimate, interval_text, mean_text, print_table

BASELINES = ("text-twin", "lora-r16")
COLUMNS = ("system", "seeds", "token F1", "by seed", "exact", "minus twin", "minus LoRA", "epochs", "train s",
           "parameters", "bytes", "perplexity", "on squad")  # fmt: skip

CellResults = Sequence[Mapping[str, Any]]


def per_question(cells: CellResults, metric: str = "f1") -> list[float]:
    """Each question's mean over the seeds."""
    return [statistics.mean(values) for values in zip(*(cell["scores"][metric] for cell in cells), strict=True)]


def print_tables(results: Mapping[str, Any]) -> None:
    """A table for each data set and evidence."""
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for cell in sorted(results["cells"].values(), key=lambda cell: int(cell["seed"])):
        groups[cell["data"], cell["evidence"]][cell["system"]].append(cell)
    for (data, evidence), systems in sorted(groups.items(), reverse=True):
        baselines = {name: per_question(systems[name]) for name in BASELINES if name in systems}
        ordered = sorted(systems.items(), key=lambda entry: -statistics.mean(per_question(entry[1])))
        print_table(f"{data}, {evidence}", COLUMNS, [_row(*entry, baselines) for entry in ordered])


def _row(name: str, cells: CellResults, baselines: Mapping[str, list[float]]) -> list[str]:
    own = per_question(cells)
    trained = [cell["trained"] for cell in cells if cell["trained"]]
    return [
        name,
        str(len(cells)),
        interval_text(estimate(own)),
        " ".join(mean_text(cell["scores"]["f1"]) for cell in cells),
        mean_text(per_question(cells, "exact")),
        *(interval_text(difference(own, baselines[b])) if b in baselines and b != name else "" for b in BASELINES),
        mean_text([summary["epochs"] for summary in trained], ".2f", missing=""),
        mean_text([summary["seconds"] for summary in trained], ".0f", missing=""),
        f"{cells[0]['parameters']:,}",
        f"{cells[0]['bytes']:,}",
        mean_text([cell.get("general_perplexity") for cell in cells], missing=""),
        mean_text([statistics.mean(cell["squad"]["f1"]) for cell in cells if "squad" in cell], missing=""),
    ]

"""Quality of soft prompts and of other methods for a frozen model, at equal training time.

    python -m benchmarks.quality.quality --data DIR
    python -m benchmarks.quality.quality --data DIR --systems kv,lora-r16 --jobs 2

On `squad` (general) and `covidqa` (medical), with the gold passage alone and with four retrieved passages. A cell is
one data set, evidence, system and seed. Each cell is trained for the same CPU seconds on one thread in a separate
process, and written when it ends; if you repeat the command, it measures only what is missing. Nothing is chosen on
test. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.quality import settings
from benchmarks.quality.report import print_tables
from benchmarks.quality.settings import DATA_SETS, EVIDENCE, SYSTEMS, Cell, all_cells

# Hardware that CPU seconds depend on.
SAME_HARDWARE = ("cpu", "cpu_capability", "device")
PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure what is missing and print the tables."""
    # Before torch is imported, here and in the processes of the cells.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/ and covidqa/", work="quality", resumes=True)
    add = parser.add_argument
    add("--systems", type=script.names_of(SYSTEMS), default=SYSTEMS, help=f"{', '.join(SYSTEMS)} (default: all)")
    add("--sets", type=script.names_of(DATA_SETS), default=DATA_SETS, help=f"{', '.join(DATA_SETS)} (default: all)")
    add("--evidence", type=script.names_of(EVIDENCE), default=EVIDENCE, help=f"{', '.join(EVIDENCE)} (default: all)")
    add("--seeds", type=script.positive, default=3, help="number of seeds (default: %(default)s)")
    add("--jobs", type=script.positive, default=1, help="cells to measure at the same time (default: %(default)s)")
    add("--gold-seconds", type=float, default=settings.GOLD_SECONDS, help="training time (default: %(default)s)")
    add("--retrieved-seconds", type=float, default=settings.RETRIEVED_SECONDS, help="the same, retrieved passages")
    add("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    budget = {
        **{name: getattr(options, name) for name in ("gold_seconds", "retrieved_seconds")},
        "train": settings.TRAIN_QUESTIONS,
        "test": settings.TEST_QUESTIONS,
    }
    new = script.results_head({}, PACKAGES) | {"budget": budget, "cells": {}}
    out = script.results_path(options.out, "quality", new["hardware"])
    results = script.read_results(out) if out.is_file() and not options.fresh else new
    cells = [] if options.report else missing_cells(options, results)
    if cells:
        script.require_same(out, _comparable(results), _comparable(new))
        measure_cells(cells, options, results, out)
    print_tables(results)


def missing_cells(options: argparse.Namespace, results: Mapping[str, Any]) -> list[Cell]:
    """The cells that the options select and the results lack."""
    return [
        cell
        for cell in all_cells(options.seeds)
        if cell.system in options.systems
        and cell.data in options.sets
        and cell.evidence in options.evidence
        and cell.key not in results["cells"]
    ]


def _comparable(results: Mapping[str, Any]) -> dict[str, Any]:
    return {**results["budget"], **{name: results["hardware"][name] for name in SAME_HARDWARE}}


def measure_cells(cells: list[Cell], options: argparse.Namespace, results: dict[str, Any], out: Path) -> None:
    """Measure the cells, some at the same time, and write each one when it ends."""
    print(f"{len(cells)} cells, {options.jobs} at a time", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(measure_cell, cell, options): cell for cell in cells}
        for number, future in enumerate(as_completed(running), 1):
            cell, result = running[future], future.result()
            if result is None:
                print(f"[{number}/{len(cells)}] {cell.key} failed; it is still missing", flush=True)
                continue
            results["cells"][cell.key] = result
            script.write_results(out, results)
            f1 = result["scores"]["f1"]
            print(f"[{number}/{len(cells)}] {cell.key}: token F1 {sum(f1) / len(f1):.3f}", flush=True)


def measure_cell(cell: Cell, options: argparse.Namespace) -> dict[str, Any] | None:
    """One cell in a new process, because methods change the model; None if the process dies."""
    from benchmarks.quality.cells import measure

    seconds = options.gold_seconds if cell.evidence == "gold" else options.retrieved_seconds
    try:
        return script.in_own_process(measure, cell, options.data, options.work, seconds)
    except BrokenProcessPool:
        return None


if __name__ == "__main__":
    main()

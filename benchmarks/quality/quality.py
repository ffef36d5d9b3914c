"""Quality of soft prompts and of other methods for a frozen model, at equal training time.

    python -m benchmarks.quality.quality --data DIR
    python -m benchmarks.quality.quality --data DIR --systems kv,lora-r16 --jobs 2
    python -m benchmarks.quality.quality --data DIR --variants --sets squad --evidence gold --seeds 1

On `squad` (general) and `covidqa` (medical), with the gold passage alone and with four retrieved passages. A cell is
one data set, evidence, system and seed. Each cell is trained for the same CPU seconds on one thread in a separate
process, and written when it ends; if you repeat the command, it measures only what is missing. `--variants` compares
settings on dev; nothing is chosen on test. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.quality.settings import (
    DATA_SETS,
    EVIDENCE,
    SYSTEMS,
    VARIANTS,
    Budget,
    Cell,
    Split,
    all_cells,
    variant_cells,
)

# Hardware that CPU seconds depend on.
SAME_HARDWARE = ("cpu", "cpu_capability", "device")
PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure what is missing and print the tables."""
    # Before torch is imported, here and in the processes of the cells.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/ and covidqa/", work="quality", resumes=True)
    add = parser.add_argument
    add("--systems", help=f"of {', '.join(SYSTEMS)}; or of the variants (default: all)")
    add("--variants", action="store_true", help="compare settings on dev instead of systems on test")
    add("--sets", type=script.names_of(DATA_SETS), default=DATA_SETS, help=f"{', '.join(DATA_SETS)} (default: all)")
    add("--evidence", type=script.names_of(EVIDENCE), default=EVIDENCE, help=f"{', '.join(EVIDENCE)} (default: all)")
    add("--seeds", type=script.positive, default=3, help="number of seeds (default: %(default)s)")
    add("--jobs", type=script.positive, default=1, help="cells to measure at the same time (default: %(default)s)")
    add("--gold-seconds", type=float, default=Budget().gold_seconds, help="training time (default: %(default)s)")
    add("--retrieved-seconds", type=float, default=Budget().retrieved_seconds, help="the same, retrieved passages")
    add("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    budget = Budget(gold_seconds=options.gold_seconds, retrieved_seconds=options.retrieved_seconds)
    head = script.results_head({}, PACKAGES)
    hardware = head["hardware"]
    out = script.results_path(options.out, "quality_variants" if options.variants else "quality", hardware)
    results = {"budget": asdict(budget), "hardware": hardware, "versions": head["versions"], "cells": {}}
    if out.is_file() and not options.fresh:
        results = script.read_results(out)
    cells = [] if options.report else missing_cells(options, results)
    if cells:
        script.require_same(out, _comparable(results), _comparable({"budget": asdict(budget), "hardware": hardware}))
        measure_cells(cells, options, budget, results, out)
    from benchmarks.quality.report import print_tables

    print_tables(results)


def missing_cells(options: argparse.Namespace, results: Mapping[str, Any]) -> list[Cell]:
    """The cells that the options select and the results lack."""
    cells = (variant_cells if options.variants else all_cells)(options.seeds)
    systems = options.systems.split(",") if options.systems else {cell.system for cell in cells}
    if unknown := sorted(set(systems) - {cell.system for cell in cells}):
        raise SystemExit(f"unknown systems: {', '.join(unknown)}. Expected: {', '.join((*SYSTEMS, *VARIANTS))}")
    return [
        cell
        for cell in cells
        if cell.system in systems
        and cell.data in options.sets
        and cell.evidence in options.evidence
        and cell.key not in results["cells"]
    ]


def _comparable(results: Mapping[str, Any]) -> dict[str, Any]:
    return {**results["budget"], **{name: results["hardware"][name] for name in SAME_HARDWARE}}


def measure_cells(
    cells: list[Cell], options: argparse.Namespace, budget: Budget, results: dict[str, Any], out: Path
) -> None:
    """Measure the cells, some at the same time, and write each one when it ends."""
    print(f"{len(cells)} cells, {options.jobs} at a time", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(measure_cell, cell, options, budget): cell for cell in cells}
        for number, future in enumerate(as_completed(running), 1):
            cell, result = running[future], future.result()
            if result is None:
                print(f"[{number}/{len(cells)}] {cell.key} failed; it is still missing", flush=True)
                continue
            results["cells"][cell.key] = result
            script.write_results(out, results)
            f1 = result["scores"]["f1"]
            print(f"[{number}/{len(cells)}] {cell.key}: token F1 {sum(f1) / len(f1):.3f}", flush=True)


def measure_cell(cell: Cell, options: argparse.Namespace, budget: Budget) -> dict[str, Any] | None:
    """One cell in a new process, because methods change the model; None if the process dies."""
    from benchmarks.quality.cells import measure

    split: Split = "dev" if options.variants else "test"
    try:
        return script.in_own_process(measure, cell, options.data, options.work, budget, split)
    except BrokenProcessPool:
        return None


if __name__ == "__main__":
    main()

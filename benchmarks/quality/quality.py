"""Quality of soft prompts beside what else can be done with a frozen model, at equal training seconds.

    python -m benchmarks.quality.quality --data DIR
    python -m benchmarks.quality.quality --data DIR --systems kv,lora-r16 --jobs 2
    python -m benchmarks.quality.quality --data DIR --ways --sets squad --evidence gold --seeds 1

On `squad` (general) and `covidqa` (medical) of the data folder, with the gold passage alone and with the four passages
that retrieval finds. A cell is one data set, evidence, system and seed; it is trained for so many processor seconds on
one thread, in a process of its own, and written as it ends: started again, only what is missing is done. Settings were
chosen on dev, nothing on test. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

# Before torch is loaded: equal seconds need one thread everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.quality.cells import Budget, Cell, all_cells, measure, ways_cells
from benchmarks.quality.data import Evidence, Split
from benchmarks.quality.report import print_tables

ROOT = Path(__file__).resolve().parents[2]
# What makes seconds comparable.
SAME = ("cpu", "cpu_capability", "device")
PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = argparse.ArgumentParser(description="Quality at equal training seconds.")
    parser.add_argument("--data", type=Path, required=True, help="folder with squad/ and covidqa/")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "quality", help="indexes and passages' keys")
    parser.add_argument("--out", type=Path, help="results; by default in benchmarks/results")
    parser.add_argument("--systems", help="only these; by default all, and with --ways all ways")
    parser.add_argument("--ways", action="store_true", help="compare settings on dev in place of systems on test")
    parser.add_argument("--sets", default="squad,covidqa")
    parser.add_argument("--evidence", default="gold,retrieved")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells that run side by side, each on one thread")
    parser.add_argument("--gold-seconds", type=float, default=Budget().gold_seconds)
    parser.add_argument("--retrieved-seconds", type=float, default=Budget().retrieved_seconds)
    parser.add_argument("--report", action="store_true", help="print what is there and measure nothing")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    budget = Budget(gold_seconds=chosen.gold_seconds, retrieved_seconds=chosen.retrieved_seconds)
    if chosen.cell:
        torch.set_num_threads(1)
        data, evidence, system, seed = chosen.cell.split("/")
        cell = Cell(data, cast("Evidence", evidence), system, int(seed))
        split: Split = "dev" if chosen.ways else "test"
        found = measure(cell, chosen.data, chosen.work, budget, split)
        chosen.out.write_text(json.dumps(found), encoding="utf-8")
        return
    hardware = describe_hardware("cpu", 1)
    name = "quality_ways" if chosen.ways else "quality"
    out = chosen.out or ROOT / "benchmarks" / "results" / f"{name}-{hardware_slug(hardware)}.json"
    results = _read(out, asdict(budget), hardware)
    wanted = [
        cell
        for cell in (ways_cells if chosen.ways else all_cells)(chosen.seeds)
        if (not chosen.systems or cell.system in chosen.systems.split(","))
        and cell.data in chosen.sets.split(",")
        and cell.evidence in chosen.evidence.split(",")
        and cell.key not in results["cells"]
    ]
    if not chosen.report and wanted:
        require_same(out, results, hardware)
        _measure_all(wanted, chosen, results, out)
    print_tables(results)


def _read(out: Path, budget: dict[str, Any], hardware: dict[str, Any]) -> dict[str, Any]:
    fresh = {"budget": budget, "hardware": hardware, "versions": describe_versions(PACKAGES), "cells": {}}
    if not out.is_file():
        return fresh
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if found["budget"] != budget:
        raise SystemExit(f"{out} was measured with {found['budget']}. Next: the same settings, or another --out")
    return found


def require_same(out: Path, results: dict[str, Any], hardware: dict[str, Any]) -> None:
    """Refuse to go on with results of another processor, whose seconds are other seconds."""
    if other := [name for name in SAME if results["hardware"][name] != hardware[name]]:
        told = ", ".join(f"{name} {results['hardware'][name]}, here {hardware[name]}" for name in other)
        raise SystemExit(f"{out} was measured on another processor ({told}). Next: another --out")


def _measure_all(cells: list[Cell], chosen: argparse.Namespace, results: dict[str, Any], out: Path) -> None:
    print(f"{len(cells)} cells, {chosen.jobs} at a time", flush=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        running = {pool.submit(_in_process, cell, chosen): cell for cell in cells}
        for number, future in enumerate(as_completed(running), 1):
            cell = running[future]
            found = future.result()
            if found is None:
                print(f"[{number}/{len(cells)}] {cell.key} failed; it stays missing", flush=True)
                continue
            results["cells"][cell.key] = found
            out.parent.mkdir(parents=True, exist_ok=True)
            beside = out.with_suffix(".new")
            beside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            beside.replace(out)
            f1 = found["scores"]["f1"]
            print(f"[{number}/{len(cells)}] {cell.key}: token F1 {sum(f1) / len(f1):.3f}", flush=True)


def _in_process(cell: Cell, chosen: argparse.Namespace) -> dict[str, Any] | None:
    """One cell in a process of its own, so that nothing a method leaves in the model meets the next."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cell.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.quality.quality",
            "--data",
            str(chosen.data),
            "--work",
            str(chosen.work),
            "--cell",
            cell.key,
        ]
        command += ["--gold-seconds", str(chosen.gold_seconds), "--retrieved-seconds", str(chosen.retrieved_seconds)]
        command += ["--ways"] if chosen.ways else []
        if subprocess.run([*command, "--out", str(out)], check=False).returncode:
            return None
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


if __name__ == "__main__":
    main()

"""Trains and evaluates an example domain with one seed, and compares the seeds."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.script import utc_now
from benchmarks.tables import difference
from softgraft import open_domain

BASELINES = ("base", "template", "text-twin", "quote")
# The systems that depend on the seed.
TRAINED = ("soft", "auto")
METRICS = ("f1", "accuracy")


def measure(folder: Path, seed: int, systems: Sequence[str] | None) -> dict[str, Any]:
    """Train and evaluate once in a temporary build folder. With `systems` None, all systems are evaluated."""
    with tempfile.TemporaryDirectory() as build, closing(open_domain(folder, build=Path(build))) as domain:
        domain.ingest()
        settings = domain.file.train.model_copy(update={"seed": seed})
        trained = asdict(domain.train(settings=settings))
        report = domain.evaluate(systems=systems).as_json()
        size = (Path(build) / "soft_prompt" / "soft_prompt.safetensors").stat().st_size if trained["kept"] else None
        values = scores_per_question(Path(build) / "reports" / "eval-test-replies.jsonl")
    trained.pop("folder")
    report["config"].pop("soft_prompt")
    report["config"].pop("machine")
    report.pop("comparisons")
    return {"seed": seed, "train": trained, "eval": report, "values": values, "bytes": size, "finished": utc_now()}


def scores_per_question(replies: Path) -> dict[str, dict[str, list[float]]]:
    """Scores by system, in the order of the test file; questions without a score are left out."""
    values: dict[str, dict[str, list[float]]] = {}
    for line in replies.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        own = values.setdefault(row["system"], {name: [] for name in METRICS})
        for name in METRICS:
            own[name] += [round(row[name], 4)] if row[name] is not None else []
    return values


def compare_seeds(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Paired differences to each baseline: for each seed, and with each question averaged over the seeds."""
    baselines = runs[0]["values"]
    comparisons = []
    for system in TRAINED:
        seeds = {f"seed {run['seed']}": run["values"][system] for run in runs if system in run["values"]}
        if not seeds:
            continue
        mean = {
            name: [statistics.mean(q) for q in zip(*(own[name] for own in seeds.values()), strict=True)]
            for name in METRICS
        }
        for label, own in {**seeds, "mean of seeds": mean}.items():
            for baseline in BASELINES:
                theirs = baselines[baseline]
                comparisons.append({
                    "system": system,
                    "seed": label,
                    "minus": baseline,
                    "token_f1": difference(own["f1"], theirs["f1"]),
                    "accuracy": difference(own["accuracy"], theirs["accuracy"]),
                    "token_f1_ratio": statistics.mean(own["f1"]) / statistics.mean(theirs["f1"]),
                })  # fmt: skip
    return comparisons

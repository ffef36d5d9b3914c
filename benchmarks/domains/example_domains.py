"""Quality of the soft prompt on the example domains, over several seeds.

    python -m benchmarks.domains.example_domains
    python -m benchmarks.domains.example_domains --domains bank --seeds 0

For each domain and seed: train on all training questions with the settings of domain.yaml, then answer all test
questions with every system, exactly as `softgraft train` and `softgraft eval` do; what no seed changes is answered
once. Nothing is chosen on test. A result is written as it ends, and a run that is started again does only what is
missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation import paired_difference
from evaluation.hardware import describe_machine
from softgraft import open_domain

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ("base", "template", "text-twin")
console = Console(width=120)


def measure(folder: Path, seed: int, systems: Sequence[str] | None) -> dict[str, Any]:
    """Train and evaluate once, in a build folder that is thrown away. `systems` None evaluates all."""
    with tempfile.TemporaryDirectory() as build:
        domain = open_domain(folder, build=Path(build))
        domain.ingest()
        settings = domain.file.train.model_copy(update={"seed": seed})
        trained = asdict(domain.train(settings=settings))
        report = domain.evaluate(systems=systems).as_json()
        size = (Path(build) / "soft_prompt" / "soft_prompt.safetensors").stat().st_size if trained["kept"] else None
        values = values_of(Path(build) / "reports" / "eval-test-replies.jsonl")
        domain.close()
    trained.pop("folder")
    report["config"].pop("soft_prompt")
    report["config"].pop("machine")
    report.pop("comparisons")
    finished = datetime.now(UTC).isoformat()
    return {"seed": seed, "train": trained, "eval": report, "values": values, "bytes": size, "finished": finished}


def values_of(replies: Path) -> dict[str, dict[str, list[float]]]:
    """Scores a question, by system, in the order of the test file; questions without a score are left out."""
    values: dict[str, dict[str, list[float]]] = {}
    for line in replies.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        own = values.setdefault(row["system"], {"f1": [], "accuracy": []})
        for name in own:
            own[name] += [round(row[name], 4)] if row[name] is not None else []
    return values


def comparisons(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Paired differences of `soft` and each baseline, a seed at a time, and over the questions' means of all seeds."""
    found = []
    base = runs[0]["values"]
    ours = [run["values"]["soft"] for run in runs if "soft" in run["values"]]
    named = [(f"seed {run['seed']}", run["values"]["soft"]) for run in runs if "soft" in run["values"]]
    mean = {
        name: [statistics.mean(q) for q in zip(*(o[name] for o in ours), strict=True)] for name in ("f1", "accuracy")
    }
    for label, own in [*named, ("mean of seeds", mean)]:
        for other in BASELINES:
            theirs = base[other]
            f1, accuracy = (paired_difference(own[name], theirs[name]) for name in ("f1", "accuracy"))
            assert f1 is not None
            assert accuracy is not None
            ratio = statistics.mean(own["f1"]) / statistics.mean(theirs["f1"])
            found.append({"soft": label, "minus": other, "token_f1": asdict(f1), "accuracy": asdict(accuracy),
                          "token_f1_ratio": ratio})  # fmt: skip
    return found


def summary(runs: list[dict[str, Any]]) -> Table:
    """Means over the seeds, a row a system, and the paired differences."""
    table = Table(title=f"{runs[0]['train']['domain']}, {len(runs)} seeds")
    for name in ("system", "accuracy", "token F1", "by seed", "refused", "wrongly", "citations"):
        table.add_column(name)
    for row in runs[0]["eval"]["rows"]:
        rows = [r for run in runs for r in run["eval"]["rows"] if r["system"] == row["system"]]
        f1 = [r["token_f1"]["mean"] for r in rows]
        table.add_row(
            row["system"],
            f"{statistics.mean(r['accuracy']['mean'] for r in rows):.3f}",
            f"{statistics.mean(f1):.3f}",
            " ".join(f"{value:.3f}" for value in f1),
            *(_mean([r[name] for r in rows]) for name in ("refusal_accuracy", "wrong_refusals", "citation_precision")),
        )
    return table


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):.3f}" if known else "-"


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description="Quality on the example domains, over several seeds.")
    parser.add_argument("--domains", nargs="+", default=["bank", "clinic"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "example_domains.json")
    chosen = parser.parse_args()
    found: dict[str, Any] = {"machine": describe_machine(), "comparisons": {}, "runs": {}}
    if chosen.out.is_file():
        found = json.loads(chosen.out.read_text())
    for name in chosen.domains:
        runs = found["runs"].setdefault(name, [])
        for seed in chosen.seeds:
            if any(run["seed"] == seed for run in runs):
                continue
            console.print(f"{name}, seed {seed} ...")
            # What is not trained answers the same whatever the seed.
            runs.append(measure(ROOT / "domains" / name, seed, ["soft", "soft-gold"] if runs else None))
            found["comparisons"][name] = comparisons(runs)
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text(json.dumps(found, indent=1) + "\n")
        console.print(summary(runs))
        for pair in found["comparisons"][name]:
            difference, accuracy = pair["token_f1"], pair["accuracy"]
            console.print(
                f"  {pair['soft']} minus {pair['minus']}: token F1 {difference['mean']:.3f} "
                f"({difference['low']:.3f} to {difference['high']:.3f}), {pair['token_f1_ratio']:.2f} times; accuracy "
                f"{accuracy['mean']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})"
            )


if __name__ == "__main__":
    main()

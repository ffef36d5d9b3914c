"""Quality of the soft prompt on the example domains, over several seeds.

    python benchmarks/example_domains.py
    python benchmarks/example_domains.py --domains bank --seeds 0

For each domain and seed: train on all training questions with the settings of domain.yaml, then answer all test
questions with every system, exactly as `softgraft train` and `softgraft eval` do. Nothing is chosen on test. A result
is written as it ends, and a run that is started again does only what is missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from softgraft import open_domain
from softgraft.hardware import describe_machine

ROOT = Path(__file__).resolve().parents[1]
console = Console(width=120)


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Train and evaluate once, in a build folder that is thrown away."""
    with tempfile.TemporaryDirectory() as build:
        domain = open_domain(folder, build=Path(build))
        domain.ingest()
        settings = domain.file.train.model_copy(update={"seed": seed})
        trained = asdict(domain.train(settings=settings))
        report = domain.evaluate().as_json()
        size = (Path(build) / "soft_prompt" / "soft_prompt.safetensors").stat().st_size if trained["kept"] else None
        domain.close()
    trained.pop("folder")
    report["config"].pop("soft_prompt")
    report["config"].pop("machine")
    return {"seed": seed, "train": trained, "eval": report, "bytes": size, "finished": datetime.now(UTC).isoformat()}


def summary(runs: list[dict[str, Any]]) -> Table:
    """Means over the seeds, a row a system, and the paired differences."""
    table = Table(title=f"{runs[0]['train']['domain']}, {len(runs)} seeds")
    for name in ("system", "accuracy", "token F1", "by seed", "refused", "wrongly", "citations"):
        table.add_column(name)
    for number, row in enumerate(runs[0]["eval"]["rows"]):
        rows = [run["eval"]["rows"][number] for run in runs]
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
    found = json.loads(chosen.out.read_text()) if chosen.out.is_file() else {"machine": describe_machine(), "runs": {}}
    for name in chosen.domains:
        runs = found["runs"].setdefault(name, [])
        for seed in chosen.seeds:
            if any(run["seed"] == seed for run in runs):
                continue
            console.print(f"{name}, seed {seed} ...")
            runs.append(measure(ROOT / "domains" / name, seed))
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text(json.dumps(found, indent=1) + "\n")
        console.print(summary(runs))
        for run in runs:
            for pair in run["eval"]["comparisons"]:
                difference, ratio = pair["token_f1"], pair["token_f1_ratio"]
                console.print(
                    f"  seed {run['seed']}: {pair['ours']} minus {pair['theirs']}: {difference['mean']:.3f} "
                    f"({difference['low']:.3f} to {difference['high']:.3f}), {ratio:.2f} times"
                )


if __name__ == "__main__":
    main()

"""Speed of two checkouts of the project in one run: training, first token, and CPU time of a follow-up question.

    python -m benchmarks.speed.checkouts --before DIR --domain domains/bank

Both answer with the same trained domain, by turns, each round in a process of its own. A ratio below 1 means that this
checkout is faster than the one before.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.script import ROOT, make_parser, results_head, results_path, write_results
from benchmarks.tables import print_table

WORKLOAD = Path(__file__).with_name("checkouts_workload.py")


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--domain", type=Path, required=True, help="a domain that is ingested and trained")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each checkout (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    for number in range(options.rounds + 1):
        for name, checkout in (("before", options.before), ("after", ROOT)):
            measured = one_round(checkout.resolve(), options.domain.resolve(), options.threads)
            print(name, number, json.dumps(measured), flush=True)
            # The first round fills caches on disk.
            if number:
                rounds[name].append(measured)
    rows = {key: compare([r[key] for r in rounds["before"]], [r[key] for r in rounds["after"]]) for key in measured}
    revisions = {name: revision(path) for name, path in (("before", options.before), ("after", ROOT))}
    config = {"domain": options.domain.name, "rounds": options.rounds, "threads": options.threads, **revisions}
    head = results_head(config, ("torch", "transformers", "langgraph"))
    write_results(results_path(options.out, "checkouts", head["hardware"]), {**head, "rows": rows})
    table = [
        [
            key,
            *(f"{row[name]:.3g}" for name in ("before", "after")),
            f"{row['ratio']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
        ]
        for key, row in rows.items()
    ]
    print_table("", ("median", "before", "after", "after / before", "of the rounds"), table)


def one_round(checkout: Path, domain: Path, threads: int) -> dict[str, float]:
    """One round of the workload in one checkout, on a copy of the domain."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / domain.name
        shutil.copytree(domain, copy, ignore=shutil.ignore_patterns("memory.*"))
        variables = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-P", str(WORKLOAD), str(copy)],
            env={**os.environ, **variables, "TOKENIZERS_PARALLELISM": "false"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(before: list[float], after: list[float]) -> dict[str, Any]:
    """Medians of both, their ratio, and the range of the ratios of rounds that ran one after the other."""
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    old, new = statistics.median(before), statistics.median(after)
    return {"before": old, "after": new, "ratio": new / old, "low": min(ratios), "high": max(ratios)}


def revision(checkout: Path) -> str:
    """The commit of a checkout."""
    return subprocess.check_output(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], text=True).strip()


if __name__ == "__main__":
    main()

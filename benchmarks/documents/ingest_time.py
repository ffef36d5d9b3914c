"""Ingest time per file of two checkouts of the project, for each of four formats.

    python -m benchmarks.documents.ingest_time --before DIR

The files are the cases of `benchmarks.documents.readers` in HTML, DOCX and PDF, and the paragraphs of `bank` as rows of
CSV and JSONL files. Each checkout in turn makes a new domain from them in a process of its own. `read` is what
`plan_ingest` takes: reading and splitting alone. `ingest` also embeds. Both are processor time, with the child process
that converts. A ratio below 1 means that this checkout is faster.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.script import ROOT, make_parser, positive, results_head, results_path, write_results
from benchmarks.speed.checkouts import compare, revision
from benchmarks.tables import print_table

FORMATS = {"html": ("html",), "docx": ("docx",), "pdf": ("pdf",), "rows": ("csv", "jsonl")}
WORKLOAD = """
import json, os, sys
from softgraft import open_domain

def seconds():
    # Of this process and of its children that have ended.
    return sum(os.times()[:4])

domain = open_domain(sys.argv[1])
start = seconds()
domain.plan_ingest()
read = seconds() - start
domain.encoder.encode_queries(["loads the model"])
start = seconds()
domain.ingest()
print(json.dumps({"read": read, "ingest": seconds() - start}))
"""


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each checkout (default: %(default)s)")
    parser.add_argument("--copies", type=positive, default=3, help="copies of each file (default: %(default)s)")
    options = parser.parse_args()
    checkouts = {"before": options.before.resolve(), "after": ROOT}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, suffixes in FORMATS.items():
            documents = write_documents(Path(folder, name), suffixes, options.copies)
            rounds: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
            for _ in range(options.rounds):
                for checkout, path in checkouts.items():
                    rounds[checkout].append(one_round(path, documents))
            count = len(list(documents.iterdir()))
            measured = {
                part: compare(*([1000 * one[part] / count for one in rounds[side]] for side in rounds))
                for part in ("read", "ingest")
            }
            rows[name] = {"documents": count, **measured}
            print(name, json.dumps(rows[name]), flush=True)
    revisions = {name: revision(path) for name, path in checkouts.items()}
    config = {"rounds": options.rounds, "copies": options.copies, **revisions}
    head = results_head(config, ("pypdfium2", "python-docx", "selectolax", "torch"))
    write_results(results_path(options.out, "ingest_time", head["hardware"]), {**head, "formats": rows})
    print_table(
        "milliseconds per file",
        ("format", "documents", "part", "before", "after", "after / before", "of the rounds"),
        [
            [
                name,
                str(row["documents"]),
                part,
                *(f"{row[part][side]:.3g}" for side in ("before", "after")),
                f"{row[part]['ratio']:.2f}",
                f"{row[part]['low']:.2f} to {row[part]['high']:.2f}",
            ]
            for name, row in rows.items()
            for part in ("read", "ingest")
        ],
    )


def write_documents(folder: Path, suffixes: tuple[str, ...], copies: int) -> Path:
    """The cases with one of the suffixes, each several times under another name; rows are made from `bank`."""
    from benchmarks.documents.cases import all_cases

    folder.mkdir(parents=True)
    if "jsonl" in suffixes:
        for path in sorted((ROOT / "domains" / "bank" / "docs").glob("*.md")):
            rows = [one for one in path.read_text("utf-8").split("\n\n") if not one.startswith("#")]
            for copy in range(copies):
                write_rows(folder / f"{copy}-{path.stem}", path.stem, rows)
        return folder
    for case in all_cases():
        if case.suffix[1:] in suffixes:
            for copy in range(copies):
                (folder / f"{copy}-{case.file_name}").write_bytes(case.build())
    return folder


def write_rows(path: Path, title: str, texts: list[str]) -> None:
    """A CSV and a JSONL file with a row for each text."""
    rows = [{"id": f"{path.name}-{n}", "title": f"{title} {n}", "text": text} for n, text in enumerate(texts)]
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["id", "title", "text"])
        table.writeheader()
        table.writerows([{**row, "id": f"csv-{row['id']}"} for row in rows])
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def one_round(checkout: Path, documents: Path) -> dict[str, float]:
    """Processor seconds of a new domain of one checkout."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        new = [sys.executable, "-P", "-m", "softgraft", "new", "domains/timed", "--from", str(documents)]
        subprocess.run(new, env=environment, check=True, capture_output=True, cwd=folder)
        done = subprocess.run(
            [sys.executable, "-P", "-c", WORKLOAD, "domains/timed"],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()

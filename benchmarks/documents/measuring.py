"""Reads the cases with a reader in another process, and scores what it returns."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.documents.case import Case
from benchmarks.documents.reader_list import Reader
from benchmarks.documents.scores import score, summary
from benchmarks.documents.worker import NOT_INSTALLED
from benchmarks.script import ROOT, utc_now

# A reader that takes longer for all files, or crashes more often, is given up.
_SECONDS = 1800
_MOST_CRASHES = 20
_CRASHED = "the process crashed"


def digest(cases: Sequence[Case]) -> str:
    """A digest of the cases: their files and what is expected."""
    found = hashlib.sha256()
    for case in cases:
        expected = (case.name, case.text, case.forbidden, case.optional, case.headings, case.numbers, case.rows)
        found.update(case.build() + repr(expected).encode())
    return found.hexdigest()[:16]


def measure(reader: Reader, cases: Sequence[Case], python: str, repeats: int) -> dict[str, Any] | None:
    """The row of a reader: its summary per format, and all cases. None if it is not installed for `python`."""
    with tempfile.TemporaryDirectory() as folder:
        files, out = Path(folder, "files"), Path(folder, "out.jsonl")
        files.mkdir()
        for case in cases:
            (files / case.file_name).write_bytes(case.build())
        lines = _run(
            [python, "-m", "benchmarks.documents.worker", reader.name, str(files), str(out), str(repeats)], out
        )
    if lines is None:
        return None
    by_file = {line["file"]: line for line in lines if "file" in line}
    scored = {case.name: _row(case, by_file[case.file_name]) for case in cases if case.file_name in by_file}
    formats = sorted({case.format for case in cases if case.name in scored})
    end: dict[str, Any] = next((line for line in reversed(lines) if "memory" in line), {"memory": {}, "network": None})
    return {
        "licence": reader.licence,
        "note": reader.note,
        "measured": utc_now(),
        "python": Path(python).name,
        "versions": lines[0]["versions"],
        "installed_mib": round(lines[0]["bytes"] / 2**20, 1),
        "peak_mib": round(end["memory"]["peak"] / 2**20, 1) if end["memory"] else None,
        # A library that is not written in Python says so only in its message.
        "wants_network": end["network"] or any("ownload" in row.get("error", "") for row in scored.values()),
        "formats": {
            name: summary([scored[case.name] for case in cases if case.format == name and case.name in scored])
            for name in formats
        },
        "cases": scored,
    }


def _run(command: list[str], out: Path) -> list[dict[str, Any]] | None:
    """The lines of the worker. After a crash it is started again, behind the file that it crashed on."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    for _ in range(_MOST_CRASHES):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=_SECONDS)
        if done.returncode == NOT_INSTALLED:
            return None
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.is_file() else []
        if done.returncode == 0:
            return lines
        if not lines:
            sys.stderr.write(done.stderr.decode("utf-8", "replace"))
            raise SystemExit(f"{command[3]} does not start. Next: see the message above")
        finished = {line.get("file") for line in lines}
        crashed = next(name for name in lines[0]["files"] if name not in finished)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"file": crashed, "error": _CRASHED}) + "\n")
    raise SystemExit(f"{command[3]} crashed on {_MOST_CRASHES} files. Next: leave it out with --readers")


def _row(case: Case, line: dict[str, Any]) -> dict[str, Any]:
    """The scores of a case. A file that cannot be read has no words, and so none that are spurious or falsified."""
    row = score(case, line.get("text", ""))
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
    if "error" in line:
        return {**rounded, "spurious": None, "error": line["error"]}
    return {**rounded, "seconds": round(line["seconds"], 5)}

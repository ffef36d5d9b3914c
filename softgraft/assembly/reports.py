"""Evaluation reports in the build folder: the figures as JSON, and every reply as a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_report(build: Path, split: str, report: Mapping[str, Any], replies: Iterable[Mapping[str, Any]]) -> None:
    """Write `reports/eval-SPLIT.json` and `reports/eval-SPLIT-replies.jsonl`.

    Args:
        build: the domain's build folder.
        split: `dev` or `test`.
        report: the figures.
        replies: one object per system and question.
    """
    folder = build / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"eval-{split}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    lines = (json.dumps(reply, ensure_ascii=False) + "\n" for reply in replies)
    (folder / f"eval-{split}-replies.jsonl").write_text("".join(lines), encoding="utf-8")

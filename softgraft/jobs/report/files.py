"""What a report shows, read from the files of a domain; a file that is missing or damaged leaves its part out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluation import Report
from softgraft.settings.domain_file import TRAIN_LOG

_REPORT = TypeAdapter(Report)
TRANSFER = Path("grafts") / "transfer.json"


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of the last training run: by step, and on dev by the step at which they were measured."""

    steps: list[tuple[int, float]]
    dev: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Token F1 of each soft prompt (row) on each domain (column)."""

    split: str
    rows: list[str]
    columns: list[str]
    values: list[list[float]]


def read_evaluation(build: Path, split: str) -> dict[str, Any] | None:
    """The report of `softgraft eval`; None if there is none, or it has other fields than a report."""
    found: Any = _json(build / "reports" / f"eval-{split}.json")
    try:
        return found if _REPORT.validate_python(found).rows else None
    except ValidationError:
        return None


def read_replies(build: Path, split: str) -> list[dict[str, Any]]:
    """The replies of all systems in that evaluation, without lines that hold something else."""
    rows = _lines(build / "reports" / f"eval-{split}-replies.jsonl")
    return [row for row in rows if all(isinstance(row.get(name), str) for name in ("system", "item", "reply"))]


def read_losses(build: Path) -> Losses | None:
    """The losses of the last training run; None if nothing was trained."""
    steps: list[tuple[int, float]] = []
    dev: list[tuple[float, float]] = []
    for row in _lines(build / TRAIN_LOG):
        if isinstance(row.get("dev_loss"), float):
            dev.append((steps[-1][0] if steps else 0, row["dev_loss"]))
        elif isinstance(row.get("loss"), float) and isinstance(row.get("step"), int):
            steps.append((row["step"], row["loss"]))
    return Losses(steps, dev) if steps else None


def read_matrix(domain: str, path: Path = TRANSFER) -> Matrix | None:
    """The last matrix of `softgraft transfer`; None if there is none with this domain."""
    found = _json(path)
    try:
        columns = list(found["domains"])
        cells = {(c["trained_on"], c["asked"]): float(c["token_f1"]) for c in found["cells"] if not c["labels"]}
        rows = list(dict.fromkeys(row for row, _ in cells))
        values = [[cells[row, column] for column in columns] for row in rows]
        split = str(found["split"])
    except (KeyError, TypeError, ValueError):
        return None
    return Matrix(split, rows, columns, values) if rows and domain in columns else None


def worst_answers(
    replies: Iterable[Mapping[str, Any]], system: str, answerable: Collection[str], count: int
) -> list[Mapping[str, Any]]:
    """The answerable questions that a system answered worst, by accuracy and then by token F1.

    `answerable`: their ids. A question without a short answer has no accuracy, so its token F1 counts for both.
    """

    def scores(row: Mapping[str, Any]) -> tuple[float, float]:
        f1 = _number(row.get("f1")) or 0.0
        accuracy = _number(row.get("accuracy"))
        return f1 if accuracy is None else accuracy, f1

    own = [row for row in replies if row["system"] == system and row["item"] in answerable]
    return sorted(own, key=scores)[:count]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        # Not splitlines(): JSON strings may contain U+2028 and other characters that it treats as line breaks.
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError):
        return []
    return [row for row in rows if isinstance(row, dict)]

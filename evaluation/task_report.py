"""The table of an evaluation of a task that is no conversation, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.bootstrap import Estimate


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Scores of one system, by name, over so many texts; `seconds` a text."""

    system: str
    texts: int
    scores: Mapping[str, Estimate]
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """The paired difference of two systems on the same texts, ours minus theirs, by the mean of one score a text."""

    ours: str
    theirs: str
    score: str
    difference: Estimate


@dataclass(frozen=True, slots=True)
class TaskReport:
    """An evaluation of a task."""

    task: str
    rows: tuple[TaskRow, ...]
    comparisons: tuple[TaskDifference, ...]
    config: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

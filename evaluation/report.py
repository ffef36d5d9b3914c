"""The table of an evaluation, as data and on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.bootstrap import Estimate, mean_interval, paired_difference
from evaluation.retrieval_scores import RetrievalScores
from evaluation.systems import Answer, Answers


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one system.

    `refusal_accuracy` is the share of unanswerable questions refused, `wrong_refusals` that of answerable ones;
    `citation_precision` the share of citations that stand where the answer does. None where nothing was to score.
    """

    system: str
    questions: int
    accuracy: Estimate | None
    exact_match: Estimate | None
    token_f1: Estimate | None
    refusal_accuracy: float | None
    wrong_refusals: float | None
    citation_precision: float | None
    seconds_per_answer: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences of two systems on the same questions, ours minus theirs."""

    ours: str
    theirs: str
    token_f1: Estimate | None
    accuracy: Estimate | None
    token_f1_ratio: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation."""

    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    retrieval: RetrievalScores | None
    config: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def score_row(found: Answers) -> Row:
    """Scores of one system."""
    no = [a for a in found.answers if not a.item.answerable]
    yes = [a for a in found.answers if a.item.answerable]
    cited = [a for a in yes if a.citations and a.item.documents]
    return Row(
        system=found.system,
        questions=len(found.answers),
        accuracy=mean_interval(_values(found, "accuracy")),
        exact_match=mean_interval(_values(found, "exact")),
        token_f1=mean_interval(_values(found, "f1")),
        refusal_accuracy=_share([a.refused for a in no]),
        wrong_refusals=_share([a.refused for a in yes]),
        citation_precision=sum(a.right_citations for a in cited) / sum(a.citations for a in cited) if cited else None,
        seconds_per_answer=found.seconds,
    )


def compare(ours: Answers, theirs: Answers) -> Comparison:
    """Paired differences of two systems on the same questions."""
    our_f1, their_f1 = _values(ours, "f1"), _values(theirs, "f1")
    their_mean = sum(their_f1) / len(their_f1) if their_f1 else 0.0
    return Comparison(
        ours=ours.system,
        theirs=theirs.system,
        token_f1=paired_difference(our_f1, their_f1),
        accuracy=paired_difference(_values(ours, "accuracy"), _values(theirs, "accuracy")),
        token_f1_ratio=sum(our_f1) / len(our_f1) / their_mean if their_mean else None,
    )


def _values(found: Answers, name: str) -> list[float]:
    values = (_value(answer, name) for answer in found.answers)
    return [value for value in values if value is not None]


def _value(answer: Answer, name: str) -> float | None:
    value: float | None = getattr(answer, name)
    return value


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


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

"""Reports of question answering and of text tasks; their field names are the keys of the JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.bootstrap import Estimate, mean_interval, paired_difference
from evaluation.retrieval_scores import RetrievalScores
from evaluation.systems import SystemAnswers


@dataclass(frozen=True, slots=True)
class SystemScores:
    """Scores of one system on questions; None if there was nothing to score.

    `refusal_accuracy` and `wrong_refusals` are the shares of unanswerable and answerable questions that were refused;
    `citation_precision` is the share of citations that overlap the gold span; `unsupported` is the share of answers
    with a sentence that the evidence does not support; `words` is the mean length of an answer.
    """

    system: str
    questions: int
    accuracy: Estimate | None
    exact_match: Estimate | None
    token_f1: Estimate | None
    refusal_accuracy: float | None
    wrong_refusals: float | None
    citation_precision: float | None
    unsupported: float | None
    words: float
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
    rows: tuple[SystemScores, ...]
    comparisons: tuple[Comparison, ...]
    retrieval: RetrievalScores | None
    config: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TaskSystemScores:
    """Scores of one system on the texts of a task, by name; `seconds` per text."""

    system: str
    texts: int
    scores: Mapping[str, Estimate]
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """Paired difference of one score of two systems on the same texts, ours minus theirs."""

    ours: str
    theirs: str
    score: str
    difference: Estimate


@dataclass(frozen=True, slots=True)
class TaskReport:
    task: str
    rows: tuple[TaskSystemScores, ...]
    comparisons: tuple[TaskComparison, ...]
    config: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score_system(system: SystemAnswers) -> SystemScores:
    unanswerable = [a for a in system.answers if not a.item.answerable]
    answerable = [a for a in system.answers if a.item.answerable]
    cited = [a for a in answerable if a.citations and a.item.documents]
    return SystemScores(
        system=system.system,
        questions=len(system.answers),
        accuracy=mean_interval(_values(system, "accuracy")),
        exact_match=mean_interval(_values(system, "exact")),
        token_f1=mean_interval(_values(system, "f1")),
        refusal_accuracy=_share([a.refused for a in unanswerable]),
        wrong_refusals=_share([a.refused for a in answerable]),
        citation_precision=sum(a.right_citations for a in cited) / sum(a.citations for a in cited) if cited else None,
        unsupported=_share([not a.supported for a in system.answers if a.supported is not None]),
        words=sum(a.words for a in system.answers) / max(1, len(system.answers)),
        seconds_per_answer=system.seconds,
    )


def compare(ours: SystemAnswers, theirs: SystemAnswers) -> Comparison:
    our_f1, their_f1 = _values(ours, "f1"), _values(theirs, "f1")
    their_mean = sum(their_f1) / len(their_f1) if their_f1 else 0.0
    return Comparison(
        ours=ours.system,
        theirs=theirs.system,
        token_f1=paired_difference(our_f1, their_f1),
        accuracy=paired_difference(_values(ours, "accuracy"), _values(theirs, "accuracy")),
        token_f1_ratio=sum(our_f1) / len(our_f1) / their_mean if their_mean else None,
    )


def _values(system: SystemAnswers, name: str) -> list[float]:
    return [value for answer in system.answers if (value := getattr(answer, name)) is not None]


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None

"""Whether a soft prompt is kept: its scores on dev against those of its text twin, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation import Estimate, paired_difference
from evaluation.items import Item
from evaluation.questions.closed_answers import ClosedAnswers
from evaluation.text_scores import contains_answer


@dataclass(frozen=True, slots=True)
class DevComparison:
    """Soft prompt minus another answerer on the same dev questions, by the score that decides.

    Attributes:
        difference: mean and 95% interval of a paired bootstrap; None without questions.
        better, equal, worse: number of questions on which the soft prompt scores higher, the same and lower.
    """

    questions: int
    difference: Estimate | None
    better: int
    equal: int
    worse: int

    @property
    def by_chance(self) -> bool:
        """Whether the interval of the difference includes zero."""
        return self.difference is None or self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True, slots=True)
class MajorityComparison:
    """Accuracy of the soft prompt on dev beside always giving the most frequent answer of train."""

    answer: str
    questions: int
    accuracy: float
    majority_accuracy: float

    @property
    def beaten(self) -> bool:
        """Whether the soft prompt is more accurate."""
        return self.accuracy > self.majority_accuracy


def compare_on_dev(soft: Sequence[float], other: Sequence[float]) -> DevComparison:
    """Compare scores of the same questions, in the same order."""
    pairs = list(zip(soft, other, strict=True))
    return DevComparison(
        questions=len(pairs),
        difference=paired_difference(soft, other),
        better=sum(a > b for a, b in pairs),
        equal=sum(a == b for a, b in pairs),
        worse=sum(a < b for a, b in pairs),
    )


def compare_with_majority(
    closed: ClosedAnswers | None, items: Sequence[Item], accuracy: Sequence[float]
) -> MajorityComparison | None:
    """Compare on the answerable dev questions; None if the answers are not from a closed set.

    Args:
        closed: the closed set of the train answers.
        items, accuracy: the dev questions, each with whether the reply of the soft prompt contains the answer.
    """
    answerable = [(item, score) for item, score in zip(items, accuracy, strict=True) if item.answerable]
    if closed is None or not answerable:
        return None
    return MajorityComparison(
        answer=closed.majority,
        questions=len(answerable),
        accuracy=sum(score for _, score in answerable) / len(answerable),
        majority_accuracy=sum(contains_answer(closed.majority, i.answers) for i, _ in answerable) / len(answerable),
    )

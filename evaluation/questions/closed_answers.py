"""Answers from a small closed set, such as yes, no and maybe: detect them, and always give the most frequent one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.items import Item
from evaluation.text_scores import normalise

# A closed set has at most this many answers of at most this many tokens each ...
_MAX_ANSWERS, _MAX_TOKENS = 8, 3
# ... which cover this share of the questions, each answer this many questions on average.
_COVERED, _QUESTIONS_PER_ANSWER = 0.95, 5


@dataclass(frozen=True, slots=True)
class ClosedAnswers:
    """The answers of a closed set, the most frequent first, each in its most frequent spelling.

    Attributes:
        counts: number of train questions with each answer.
    """

    answers: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def majority(self) -> str:
        """The most frequent answer of train."""
        return self.answers[0]


def closed_answers(items: Sequence[Item]) -> ClosedAnswers | None:
    """The closed set that the answers of train questions come from; None if they are not from one.

    The first short answer of each answerable question counts; case and punctuation are ignored.
    """
    answers = [item.answers[0] for item in items if item.answerable and item.answers]
    spellings: dict[tuple[str, ...], Counter[str]] = {}
    for answer in answers:
        tokens = tuple(normalise(answer))
        if 0 < len(tokens) <= _MAX_TOKENS:
            spellings.setdefault(tokens, Counter())[answer.strip()] += 1
    by_frequency = sorted(spellings.values(), key=lambda spelling: -spelling.total())[:_MAX_ANSWERS]
    # What occurs once is no answer of the set, but an exception to it.
    frequent = [spelling for spelling in by_frequency if spelling.total() > 1]
    covered = sum(spelling.total() for spelling in frequent)
    enough = covered >= max(_COVERED * len(answers), _QUESTIONS_PER_ANSWER * len(frequent))
    if len(frequent) < 2 or not enough:
        return None
    return ClosedAnswers(
        tuple(spelling.most_common(1)[0][0] for spelling in frequent), tuple(map(Counter.total, frequent))
    )

"""The evidence budget: how much of a ranking the model reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval.documents import RankedPassage


@dataclass(frozen=True, slots=True)
class EvidenceBudget:
    """Limits on the evidence for one answer.

    Attributes:
        passages: maximum number of passages.
        margin: maximum distance of a passage's score from the best score.
        tokens: maximum number of tokens of all passages together. The best passage is always kept.
        neighbours: number of neighbouring passages that each passage includes, on either side.
    """

    passages: int
    margin: float = math.inf
    tokens: int = 320
    neighbours: int = 0


def within_budget(
    ranked: Sequence[RankedPassage],
    budget: EvidenceBudget,
    *,
    expanded: Callable[[Sequence[RankedPassage], int], Sequence[RankedPassage]],
    count_tokens: Callable[[str], int],
) -> tuple[RankedPassage, ...]:
    """The best passages of a ranking that fit into the budget, best first; `expanded` is `Index.expanded`.

    The first passage beyond the margin or the token limit ends the selection, even if a shorter one after it would fit.
    """
    selected: list[RankedPassage] = []
    tokens = 0
    for entry in expanded(ranked[: budget.passages], budget.neighbours):
        if entry.score < ranked[0].score - budget.margin:
            break
        passage = entry.passage
        tokens += count_tokens(f"{passage.title} {passage.heading} {passage.text}")
        if selected and tokens > budget.tokens:
            break
        selected.append(entry)
    return tuple(selected)

"""The evidence budget: how much of a ranking the model reads, and the neighbours of its passages in their document.

Short passages are easier to find, but a neighbour may be needed to understand one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from retrieval.documents import Document, Passage, RankedPassage, passage_id
from retrieval.markup import readable


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
        tokens += count_tokens(f"{passage.title} {passage.heading} {readable(passage.text, passage.markup)}")
        if selected and tokens > budget.tokens:
            break
        selected.append(entry)
    return tuple(selected)


def with_neighbours(
    ranked: Sequence[RankedPassage],
    passages_of: Callable[[Sequence[str]], list[Passage]],
    document_of: Callable[[str], Document],
    count: int,
) -> list[RankedPassage]:
    """The ranking with each passage expanded by up to `count` neighbours on either side, within its section.

    An expanded passage has its own id, and the scores of the original one. No text occurs twice: a passage does not
    include one that ranks higher, and is dropped if a higher one includes it. So there may be fewer results.

    `passages_of` returns the passages of documents by id, ordered by document and position. Raises ValueError if
    `count` is negative.
    """
    if count < 0:
        raise ValueError(f"neighbours are {count}; expected 0 or more")
    if count == 0:
        return list(ranked)
    by_document: dict[str, list[Passage]] = {}
    for passage in passages_of(sorted({entry.passage.doc_id for entry in ranked})):
        by_document.setdefault(passage.doc_id, []).append(passage)
    used: set[str] = set()
    expanded: list[RankedPassage] = []
    for entry in ranked:
        passage = entry.passage
        if passage.id in used:
            continue
        group = _neighbourhood(passage, by_document.get(passage.doc_id, []), used, count)
        used.update(one.id for one in group)
        expanded.append(replace(entry, passage=_joined(passage, group, document_of)))
    return expanded


def _neighbourhood(passage: Passage, passages: Sequence[Passage], used: set[str], count: int) -> list[Passage]:
    """The passage and its unused neighbours in the same section, in document order."""
    position = next((n for n, one in enumerate(passages) if one.id == passage.id), None)
    if position is None:  # deleted from the index meanwhile
        return [passage]
    group = [passage]
    for step in (-1, 1):
        for distance in range(1, count + 1):
            n = position + step * distance
            if not 0 <= n < len(passages) or passages[n].heading != passage.heading or passages[n].id in used:
                break
            group.insert(0 if step < 0 else len(group), passages[n])
    return group


def _joined(passage: Passage, group: Sequence[Passage], document_of: Callable[[str], Document]) -> Passage:
    if len(group) == 1:
        return passage
    start, end = group[0].start, group[-1].end
    text = document_of(passage.doc_id).text[start:end]
    id_ = passage_id(passage.doc_id, start, end, text)
    return replace(passage, id=id_, text=text, start=start, end=end, page=group[0].page)

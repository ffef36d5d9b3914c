"""Retrieval metrics, from the rank of the first passage that holds the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.items import Item
from retrieval import Index, Passage


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over answerable questions. The relevant unit is the quote or, without one, the document."""

    questions: int
    recall_at_1: float
    recall_at_5: float
    ndcg_at_10: float


class GoldSpans:
    """The spans of the documents that hold the answers."""

    def __init__(self, index: Index) -> None:
        self._index = index
        # By document and quote: the ids of questions are unique in one file only.
        self._spans: dict[tuple[str, str], tuple[int, int] | None] = {}

    def overlaps(self, item: Item, doc_id: str, start: int, end: int) -> bool:
        """Whether a span overlaps the quote of a question or, without a quote, is in its document."""
        if doc_id not in item.documents:
            return False
        span = self._span(item)
        return span is None or doc_id != item.doc_id or (start < span[1] and span[0] < end)

    def passage_overlaps(self, item: Item, passage: Passage) -> bool:
        return self.overlaps(item, passage.doc_id, passage.start, passage.end)

    def _span(self, item: Item) -> tuple[int, int] | None:
        if not item.quote or not item.doc_id:
            return None
        key = item.doc_id, item.quote
        if key not in self._spans:
            known = self._index.document_passages([item.doc_id])
            start = self._index.document(item.doc_id).text.find(item.quote) if known else -1
            self._spans[key] = (start, start + len(item.quote)) if start >= 0 else None
        return self._spans[key]


def retrieval_scores(
    items: Sequence[Item], rankings: Sequence[Sequence[Passage]], gold: GoldSpans
) -> RetrievalScores | None:
    """Score rankings of at least ten passages each; None if no question names its document."""
    ranks: list[int | None] = []
    for item, passages in zip(items, rankings, strict=True):
        if item.answerable and item.documents:
            hits = (rank for rank, passage in enumerate(passages, 1) if gold.passage_overlaps(item, passage))
            ranks.append(next(hits, None))
    if not ranks:
        return None
    return RetrievalScores(
        questions=len(ranks),
        recall_at_1=sum(r == 1 for r in ranks) / len(ranks),
        recall_at_5=sum(r is not None and r <= 5 for r in ranks) / len(ranks),
        ndcg_at_10=sum(1 / math.log2(1 + r) for r in ranks if r is not None and r <= 10) / len(ranks),
    )

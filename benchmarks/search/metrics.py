"""How good a ranking of documents is, one question at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

METRICS = ("recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10")


def scores_of(ranked: Sequence[str], gold: Set[str]) -> dict[str, float]:
    """The metrics of one ranking, each in [0, 1].

    Args:
        ranked: ids of documents, best first; one that comes again counts where it came first.
        gold: ids of those that answer. Where there are more than k of them, recall@k is of k.

    Raises:
        ValueError: nothing to find.
    """
    if not gold:
        raise ValueError("a question without a document that answers it cannot be scored")
    hits = [document in gold for document in dict.fromkeys(ranked)][:10]
    found = {f"recall@{k}": sum(hits[:k]) / min(k, len(gold)) for k in (1, 5, 10)}
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(gold)) + 1))
    gained = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
    first = next((rank for rank, hit in enumerate(hits, 1) if hit), None)
    return {**found, "ndcg@10": gained / best, "mrr@10": 1 / first if first else 0.0}

"""Rankings of documents: the project's own and those of other systems, and their metrics.

The project ranks passages, and a document has the rank of its best passage. The other systems rank whole documents,
title and text together. MiniLM reads only the first 256 tokens of a document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence, Set

import bm25s
import faiss
import Stemmer

from retrieval import Document, Encoder, Index, RankedPassage
from retrieval.splitting.scripts import HAN
from retrieval.store.terms import searchable

METRICS = ("recall@1", "recall@5", "recall@10", "ndcg@10", "mrr@10")
# Number of ranked passages for ten documents, since several passages may belong to one document.
RANKED_PASSAGES = 50
DOCUMENTS = 10
# Systems with a single ranking, as opposed to a fusion.
SINGLE = ("dense", "bm25", "minilm-whole", "bm25s-whole")
SERVED = "hybrid"

Weights = tuple[float, float]
# Queries to document ids, best first.
Ranker = Callable[[Sequence[str]], list[list[str]]]


def ranking_scores(ranked: Sequence[str], gold: Set[str]) -> dict[str, float]:
    """The metrics of one ranking, each in [0, 1].

    Args:
        ranked: document ids, best first; only the first occurrence of an id counts.
        gold: ids of the documents that answer. If there are more than k of them, recall@k is over k.

    Raises:
        ValueError: if `gold` is empty.
    """
    if not gold:
        raise ValueError("a question without a document that answers it cannot be scored")
    hits = [document in gold for document in dict.fromkeys(ranked)][:10]
    recalls = {f"recall@{k}": sum(hits[:k]) / min(k, len(gold)) for k in (1, 5, 10)}
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(gold)) + 1))
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
    first = next((rank for rank, hit in enumerate(hits, 1) if hit), None)
    return {**recalls, "ndcg@10": gain / best, "mrr@10": 1 / first if first else 0.0}


def documents_of(ranked: Sequence[RankedPassage]) -> list[str]:
    """The ids of the first ten documents in a ranking of passages."""
    return list(dict.fromkeys(entry.passage.doc_id for entry in ranked))[:DOCUMENTS]


def rankers(index: Index, documents: Sequence[Document], encoder: Encoder, weights: Weights) -> dict[str, Ranker]:
    """Each system by its name; `hybrid` is what a domain serves with these weights."""

    def own(weights: Weights, *, rerank: bool, neighbours: int = 0) -> Ranker:
        def rank(queries: Sequence[str]) -> list[list[str]]:
            rankings = index.search_many(queries, RANKED_PASSAGES, weights=weights, rerank=rerank)
            return [documents_of(index.expanded(ranked, neighbours)) for ranked in rankings]

        return rank

    return {
        "dense": own((1.0, 0.0), rerank=False),
        "bm25": own((0.0, 1.0), rerank=False),
        SERVED: own(weights, rerank=True),
        "hybrid-fused": own(weights, rerank=False),
        "hybrid-neighbours": own(weights, rerank=True, neighbours=1),
        "minilm-whole": _whole_dense(documents, encoder),
        "bm25s-whole": _whole_bm25(documents),
    }


def _whole_text(document: Document) -> str:
    return f"{document.title}\n{document.text}".strip()


def _whole_dense(documents: Sequence[Document], encoder: Encoder) -> Ranker:
    index = faiss.IndexFlatIP(encoder.dimension)
    index.add(encoder.encode([_whole_text(document) for document in documents]))

    def rank(queries: Sequence[str]) -> list[list[str]]:
        _, rankings = index.search(encoder.encode_queries(list(queries)), min(DOCUMENTS, len(documents)))
        return [[documents[row].id for row in rows] for rows in rankings]

    return rank


def _whole_bm25(documents: Sequence[Document]) -> Ranker:
    """bm25s as its guide shows it, with English stop words and stemming. It does not split Chinese, so it gets pairs of
    characters there.
    """
    model, stemmer = bm25s.BM25(), Stemmer.Stemmer("english")
    chinese = any(re.search(f"[{HAN}]", document.text) for document in documents[:20])

    def split(texts: Sequence[str]) -> list[list[str]]:
        if chinese:
            return [[*words.lower().split(), *bigrams.split()] for words, bigrams in map(searchable, texts)]
        words: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return words

    model.index(split([_whole_text(document) for document in documents]), show_progress=False)

    def rank(queries: Sequence[str]) -> list[list[str]]:
        rankings, _ = model.retrieve(split(queries), k=min(DOCUMENTS, len(documents)), show_progress=False)
        return [[documents[row].id for row in rows] for rows in rankings]

    return rank

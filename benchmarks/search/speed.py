"""Speed, size and recall of retrieval.

    python -m benchmarks.search.speed --data DIR
    python -m benchmarks.search.speed --data DIR --parts query --sizes 10000,100000

Parts: `ingest` (documents per second as a share of what the bare encoder reaches on the same texts), `again` (ingest
with one of many documents changed, against ingest from nothing), `query` (search at several sizes, on real text),
`kinds` (the kinds of FAISS index on the same vectors) and `million` (a million clustered vectors). Each part is written
as it ends; a part that is there is not measured again unless it is named.
"""

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

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.search.corpus import Sentences, clustered, passages, questions, read_sentences, write_passages
from retrieval import Encoder, Index, PassageStore, ingest, load_encoder, open_index
from retrieval.store.faiss_record import KINDS
from retrieval.vectors.candidates import ALL, candidates, one_thread, rescored
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import keep_faiss, open_faiss
from retrieval.vectors.index_kind import build, recall_of, tune

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("faiss-cpu", "sentence-transformers", "torch", "numpy")
PARTS = ("ingest", "again", "query", "kinds", "million")
QUERIES = 100
Floats = NDArray[np.float32]


class Timed:
    """An encoder that adds up its own time, so that it can be told from the rest."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.seconds = encoder, 0.0
        self.id, self.dimension, self.window = encoder.id, encoder.dimension, encoder.window

    def count_tokens(self, text: str) -> int:
        return self._encoder.count_tokens(text)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Floats:
        began = time.perf_counter()
        try:
            return self._encoder.encode(texts, progress)
        finally:
            self.seconds += time.perf_counter() - began


def main() -> None:
    """Measure the parts that are asked for and print what was found."""
    parser = argparse.ArgumentParser(description="Speed, size and recall of retrieval.")
    parser.add_argument("--data", type=Path, required=True, help="folder with squad/, covidqa/ and mtrag/")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "retrieval_speed")
    parser.add_argument("--out", type=Path, help="results; by default in benchmarks/results")
    parser.add_argument("--parts", help=f"of {', '.join(PARTS)}; by default those that are missing")
    parser.add_argument("--sizes", default="10000,100000", help="passages in the part `query`")
    parser.add_argument("--documents", type=int, default=300, help="in the part `ingest`")
    parser.add_argument("--again-documents", type=int, default=1000)
    parser.add_argument("--sentences", type=int, default=24_000)
    parser.add_argument("--vectors", type=int, default=1_000_000, help="in the part `million`")
    chosen = parser.parse_args()
    import torch

    hardware = describe_hardware("cpu", torch.get_num_threads())
    out = chosen.out or ROOT / "benchmarks" / "results" / f"retrieval_speed-{hardware_slug(hardware)}.json"
    results = json.loads(out.read_text()) if out.is_file() else {}
    results |= {"hardware": hardware, "versions": describe_versions(PACKAGES)}
    encoder = load_encoder()
    for part in chosen.parts.split(",") if chosen.parts else [part for part in PARTS if part not in results]:
        results[part] = MEASURES[part](chosen, encoder)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(part, json.dumps(results[part], indent=1), flush=True)


def measure_ingest(chosen: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Documents per second of an ingest beside the bare encoder on the same passages, taking turns."""
    from sentence_transformers import SentenceTransformer

    folder = _documents(chosen, chosen.documents)
    texts = _embedded_texts(chosen, folder, encoder)
    bare = SentenceTransformer(str(_encoder_folder()))
    seconds: dict[str, list[float]] = {"ingest": [], "bare": []}
    for _ in range(3):
        index = _empty(chosen.work / "index-ingest")
        began = time.perf_counter()
        ingest(folder, index, encoder)
        seconds["ingest"].append(time.perf_counter() - began)
        began = time.perf_counter()
        bare.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        seconds["bare"].append(time.perf_counter() - began)
    ours, theirs = (statistics.median(seconds[name]) for name in ("ingest", "bare"))
    return {
        "documents": chosen.documents,
        "passages": len(texts),
        "documents_per_second": round(chosen.documents / ours, 2),
        "bare_encoder_documents_per_second": round(chosen.documents / theirs, 2),
        "share_of_bare_encoder": round(theirs / ours, 3),
        "seconds": seconds,
    }


def measure_again(chosen: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Seconds of an ingest from nothing, and of one after a document was edited."""
    folder, index = _documents(chosen, chosen.again_documents), _empty(chosen.work / "index-again")
    began = time.perf_counter()
    ingest(folder, index, encoder)
    first, again = time.perf_counter() - began, []
    for number in range(5):
        edited = folder / f"{number}.md"
        edited.write_text(edited.read_text(encoding="utf-8") + f"\n\nAdded later, number {number}.\n", encoding="utf-8")
        began = time.perf_counter()
        report = ingest(folder, index, encoder)
        again.append(time.perf_counter() - began)
        assert report.changed == 1
    return {
        "documents": chosen.again_documents,
        "from_nothing_seconds": round(first, 3),
        "one_changed_seconds": [round(one, 4) for one in again],
        "times_faster": round(first / statistics.median(again), 1),
    }


def measure_query(chosen: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Latency of hybrid, dense and BM25 search on real text, and the recall of the dense part."""
    sentences = read_sentences(chosen.data, encoder, chosen.sentences, chosen.work)
    asked = questions(chosen.data, QUERIES)
    found = {}
    for size in (int(size) for size in chosen.sizes.split(",")):
        folder = _built(chosen.work / f"index-{size}", sentences, encoder, size)
        timed = Timed(encoder)
        with open_index(folder, timed) as index:
            rows: dict[str, Any] = {"kind": _record(folder).kind, "stored_recall": _record(folder).recall}
            for name, weights in (("hybrid", (1.0, 0.5)), ("dense", (1.0, 0.0)), ("bm25", (0.0, 1.0))):
                rows[name] = _latency(partial(_search, index, weights), asked, timed)
        found[str(size)] = rows | _dense_figures(folder, encoder.encode(asked))
    return found


def measure_kinds(chosen: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Each kind of FAISS index over the vectors of the largest size of real text."""
    sentences = read_sentences(chosen.data, encoder, chosen.sentences, chosen.work)
    size = max(int(size) for size in chosen.sizes.split(","))
    vectors = np.stack([vector for _, vector in passages(sentences, size)])
    asked = encoder.encode(questions(chosen.data, QUERIES))
    return {"vectors": size, **{kind: _kind_figures(kind, vectors, asked) for kind in KINDS}}


def measure_million(chosen: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Build, open and search an index of many clustered vectors."""
    folder = chosen.work / f"index-{chosen.vectors}-vectors"
    database = folder / "index.sqlite"
    result: dict[str, Any] = {"vectors": chosen.vectors, "dimension": encoder.dimension}
    if not database.is_file():
        began = time.perf_counter()
        with PassageStore.open(database, create=True) as store:
            store.bind_encoder(encoder.id, encoder.dimension)
            numbered = (
                (f"v{block}x{row}", vector)
                for block, vectors in enumerate(clustered(chosen.vectors, encoder.dimension))
                for row, vector in enumerate(vectors)
            )
            write_passages(store, numbered)
        result["write_seconds"] = round(time.perf_counter() - began, 1)
    with PassageStore.open(database) as store:
        began = time.perf_counter()
        keep_faiss(store, folder / "index.faiss")
        result["build_seconds"] = round(time.perf_counter() - began, 1)
    return result | _dense_figures(folder, _near(next(clustered(QUERIES, encoder.dimension, seed=0))))


def _search(index: Index, weights: tuple[float, float], question: str) -> object:
    return index.search(question, 4, weights=weights)


def _near(vectors: Floats) -> Floats:
    """Unit queries with a cosine of about 0.8 to vectors of the index."""
    noise = np.random.default_rng(1).standard_normal(vectors.shape).astype(np.float32)
    moved: Floats = vectors + 0.75 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    unit: Floats = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def _dense_figures(folder: Path, queries: Floats) -> dict[str, Any]:
    """Opening, searching one query at a time, recall against exact search, and size."""
    opening = []
    for _ in range(3):
        began = time.perf_counter()
        with PassageStore.open(folder / "index.sqlite") as store:
            open_faiss(store, folder / "index.faiss")
            opening.append(time.perf_counter() - began)
    with PassageStore.open(folder / "index.sqlite") as store:
        dense = open_faiss(store, folder / "index.faiss")
        dense.search(queries[:1], 10)
        times, found = [], []
        for query in queries:
            began = time.perf_counter()
            found.append(dense.search(query[None], 10)[1][0])
            times.append(time.perf_counter() - began)
        wanted = _exact(dense, queries)
        return {
            "kind": dense.record.kind,
            "effort": dense.record.effort,
            "open_seconds": round(statistics.median(opening), 3),
            "dense_index": _milliseconds(times),
            "recall_at_10": round(recall_of(np.stack(found), wanted), 4),
            "faiss_bytes_per_vector": round((folder / "index.faiss").stat().st_size / len(dense), 1),
            "sqlite_bytes_per_passage": round((folder / "index.sqlite").stat().st_size / len(dense), 1),
        }


def _exact(dense: DenseIndex, queries: Floats) -> NDArray[np.int64]:
    import faiss

    _, numbers, vectors = dense.store.all_vectors()
    nearest: NDArray[np.int64] = numbers[faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]]
    return nearest


def _kind_figures(kind: Any, vectors: Floats, queries: Floats) -> dict[str, Any]:
    import faiss

    numbers = np.arange(len(vectors), dtype=np.int64)
    began = time.perf_counter()
    index = build(kind, vectors, numbers)
    built = time.perf_counter() - began

    def search(some: Floats, limit: int, effort: int) -> NDArray[np.int64]:
        if kind == "flat":
            with one_thread():
                exact: NDArray[np.int64] = index.search(some, limit)[1]
            return exact
        found = candidates(kind, index, some, limit, effort, 1.0, ALL)
        return rescored(some, found, lambda which: vectors[which])[1][:, :limit]

    effort, stored = tune(kind, index, vectors, numbers, search)
    times = []
    for query in queries:
        began = time.perf_counter()
        search(query[None], 10, effort)
        times.append(time.perf_counter() - began)
    wanted = faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return {
        "build_seconds": round(built, 2),
        "effort": effort,
        "recall_when_tuned": round(stored, 4),
        "recall_at_10": round(recall_of(search(queries, 10, effort), wanted), 4),
        "bytes_per_vector": round(faiss.serialize_index(index).nbytes / len(vectors), 1),
        **_milliseconds(times),
    }


def _latency(ask: Callable[[str], object], asked: Sequence[str], encoder: Timed) -> dict[str, Any]:
    whole, without = [], []
    for question in asked:
        encoder.seconds, began = 0.0, time.perf_counter()
        ask(question)
        seconds = time.perf_counter() - began
        whole.append(seconds)
        without.append(seconds - encoder.seconds)
    return {"with_encoder": _milliseconds(whole), "without_encoder": _milliseconds(without)}


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(1e3 * float(np.quantile(seconds, 0.5)), 2),
        "p99_ms": round(1e3 * float(np.quantile(seconds, 0.99)), 2),
    }


def _built(folder: Path, sentences: Sentences, encoder: Encoder, size: int) -> Path:
    if not (folder / "index.faiss").is_file():
        _empty(folder)
        with PassageStore.open(folder / "index.sqlite", create=True) as store:
            store.bind_encoder(encoder.id, encoder.dimension)
            write_passages(store, passages(sentences, size))
            keep_faiss(store, folder / "index.faiss")
    return folder


def _record(folder: Path) -> Any:
    with PassageStore.open(folder / "index.sqlite") as store:
        return store.faiss_record()


def _documents(chosen: argparse.Namespace, count: int) -> Path:
    folder = _empty(chosen.work / f"docs-{count}")
    folder.mkdir(parents=True)
    lines = (chosen.data / "squad" / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[:count]):
        row = json.loads(line)
        (folder / f"{number}.md").write_text(f"# {row['title']}\n\n{row['text']}\n", encoding="utf-8")
    return folder


def _embedded_texts(chosen: argparse.Namespace, folder: Path, encoder: Encoder) -> list[str]:
    """What an ingest of the folder gives the encoder."""
    from retrieval import convert_file, split_document
    from retrieval.documents import embedded_text

    found = []
    for path in sorted(folder.iterdir()):
        for document in convert_file(path, folder):
            found += [embedded_text(p.title, p.heading, p.text) for p in split_document(document, encoder.count_tokens)]
    return found


def _encoder_folder() -> Path:
    from retrieval.encoders.load import embedded_folder

    return embedded_folder()


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


MEASURES = {
    "ingest": measure_ingest,
    "again": measure_again,
    "query": measure_query,
    "kinds": measure_kinds,
    "million": measure_million,
}

if __name__ == "__main__":
    main()

"""Data sets for measuring retrieval: questions with the documents that answer them, and a caching encoder.

Dev is cut from train with a fixed seed, by source document, or by conversation for `mtrag`. Test shares no source with
either.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation import Item, read_items
from evaluation.items import spread
from evaluation.systems import joined_queries
from retrieval import Document, Encoder, Index, convert_file, ingest, load_encoder, open_index
from retrieval.encoders.load import EMBEDDED
from retrieval.ranking.index import DEFAULT_WEIGHTS
from softgraft.training.ranking_weights import usual_weights

Split = Literal["train", "dev", "test"]
# View -> the set of its documents and questions, and whether follow-ups are rewritten.
VIEWS = {
    "squad": ("squad", False),
    "covidqa": ("covidqa", False),
    "mtrag": ("mtrag", False),
    "mtrag-rewritten": ("mtrag", True),
    "xquad_zh": ("xquad_zh", False),
}
PASSAGE_TOKENS = 72
DEV_SHARE, SEED = 0.5, 0
# Defaults of `domain.yaml`: the passages and tokens of evidence that the model reads.
MAX_PASSAGES, EVIDENCE_TOKENS = 3, 320


@dataclass(frozen=True, slots=True)
class Query:
    """The text that a question is searched with, and the documents that answer it."""

    id: str
    text: str
    gold: frozenset[str]


class EncoderWrapper:
    """An encoder that passes calls to another one."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.id, self.dimension, self.window = encoder.id, encoder.dimension, encoder.window

    def count_tokens(self, text: str) -> int:
        return self.encoder.count_tokens(text)


class CachingEncoder(EncoderWrapper):
    """An encoder that stores its vectors in a file, so that a later run does not encode a text again; thread-safe."""

    def __init__(self, encoder: Encoder, path: Path) -> None:
        super().__init__(encoder)
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=120, check_same_thread=False)
        self._connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        keys = [hashlib.sha256(f"{self.id}\0{text}".encode()).digest() for text in texts]
        with self._lock:
            known = self._known(keys)
            missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
            for first in range(0, len(missing), 1024):
                some = missing[first : first + 1024]
                vectors = self.encoder.encode([text for _, text in some])
                rows = [(key, vector.astype("<f4").tobytes()) for (key, _), vector in zip(some, vectors, strict=True)]
                self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                self._connection.commit()
                known.update(rows)
        if progress is not None:
            progress(len(texts))
        joined = b"".join(known[key] for key in keys)
        return np.frombuffer(joined, dtype="<f4").reshape(len(texts), self.dimension).astype(np.float32)

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for first in range(0, len(keys), 500):
            some = keys[first : first + 500]
            marks = ", ".join("?" * len(some))
            known.update(self._connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some))
        return known


def caching_encoder(work: Path) -> CachingEncoder:
    """The embedded encoder with its vectors stored in the work folder."""
    return CachingEncoder(load_encoder(EMBEDDED), work / "vectors.sqlite")


def index_documents(source: Path, work: Path, encoder: Encoder) -> Index:
    """The index of a data set's `docs.jsonl`; unchanged documents are not embedded again."""
    (work / "docs").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "docs.jsonl", work / "docs" / "docs.jsonl")
    ingest(work / "docs", work / "index", encoder, max_tokens=PASSAGE_TOKENS)
    return open_index(work / "index", encoder)


class DataSet:
    """One set of the data folder, indexed in the work folder."""

    def __init__(self, name: str, data: Path, work: Path, encoder: Encoder) -> None:
        self.name, self._data, self._work, self._encoder = name, data / name, work / name, encoder

    def documents(self) -> list[Document]:
        """The whole documents, each of at most 200 words."""
        return convert_file(self._data / "docs.jsonl", self._data)

    def index(self) -> Index:
        """The project's own index over the documents."""
        return index_documents(self._data, self._work, self._encoder)

    @property
    def weights(self) -> tuple[float, float]:
        """Dense and BM25 weights that a domain in this language starts with."""
        return usual_weights("zh" if self.name == "xquad_zh" else "en", EMBEDDED)

    def items(self, split: Split, suffix: str = "") -> list[Item]:
        """Questions of a split; the suffix "_unanswerable" selects those that the documents do not answer."""
        name = "test" if split == "test" else "train"
        items = read_items(self._data / f"{name}{suffix}.jsonl")
        if suffix:
            items = [item.model_copy(update={"answerable": False}) for item in items]
        if split == "test":
            return items
        train, dev = train_and_dev(items)
        return train if split == "train" else dev


def source_of(item: Item) -> str:
    """The source that dev and train do not share: a conversation, or else a source document."""
    return item.id.rsplit("-t", 1)[0] if item.history or item.multi_turn is not None else item.group


def train_and_dev(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split the items into train and dev, with no source in both."""
    sources = sorted({source_of(item) for item in items})
    random.Random(SEED).shuffle(sources)
    dev: set[str] = set()
    count = 0
    for source in sources:
        if count >= DEV_SHARE * len(items):
            break
        dev.add(source)
        count += sum(source_of(item) == source for item in items)
    return [i for i in items if source_of(i) not in dev], [i for i in items if source_of(i) in dev]


def query_texts(index: Index, items: Sequence[Item], *, rewritten: bool) -> list[str]:
    """The questions themselves, or rewritten as the chain rewrites them by default with a local backbone."""
    return joined_queries(index, items, DEFAULT_WEIGHTS) if rewritten else [item.question for item in items]


def make_queries(index: Index, items: Sequence[Item], *, rewritten: bool, limit: int | None = None) -> list[Query]:
    """Queries of the questions with known documents, at most `limit` of them, spread over the file."""
    known = spread([item for item in items if item.documents], limit)
    # `doc_ids` come first: the answer of a conversation may be in several documents.
    return [
        Query(item.id, text, frozenset(item.doc_ids) or item.documents)
        for item, text in zip(known, query_texts(index, known, rewritten=rewritten), strict=True)
    ]

"""Data sets for measuring retrieval: questions with the documents that answer them, and an encoder that remembers.

Dev is cut from train with a fixed seed, by group: by source document, and for the conversations of `mtrag` by
conversation. Test shares no source with either.
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
from evaluation.systems import searched_for
from retrieval import Document, Encoder, Index, convert_file, ingest, load_encoder, open_index
from retrieval.ranking.index import DEFAULT_WEIGHTS

Split = Literal["train", "dev", "test"]
# Each with the set that its documents and questions come from, and whether follow-ups are rewritten.
VIEWS = {
    "squad": ("squad", False),
    "covidqa": ("covidqa", False),
    "mtrag": ("mtrag", False),
    "mtrag-rewritten": ("mtrag", True),
    "xquad_zh": ("xquad_zh", False),
}
LANGUAGES = {"xquad_zh": "zh"}
PASSAGE_TOKENS = 72
DEV_SHARE, SEED = 0.5, 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is searched for, and the documents that answer it: none where nothing does."""

    id: str
    query: str
    gold: frozenset[str]


class RememberingEncoder:
    """An encoder whose vectors are kept in a file, so that a second run encodes nothing again; safe for threads."""

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self._encoder = encoder
        self._path = path
        self.id, self.dimension, self.window = encoder.id, encoder.dimension, encoder.window
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def count_tokens(self, text: str) -> int:
        return self._encoder.count_tokens(text)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        keys = [hashlib.sha256(f"{self.id}\0{text}".encode()).digest() for text in texts]
        with self._lock:
            known = self._known(keys)
            missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
            for first in range(0, len(missing), 1024):
                some = missing[first : first + 1024]
                vectors = self._encoder.encode([text for _, text in some])
                rows = [(key, vector.astype("<f4").tobytes()) for (key, _), vector in zip(some, vectors, strict=True)]
                connection = self._opened()
                connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                connection.commit()
                known.update(rows)
        if progress is not None:
            progress(len(texts))
        joined = b"".join(known[key] for key in keys)
        return np.frombuffer(joined, dtype="<f4").reshape(len(texts), self.dimension).astype(np.float32)

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for first in range(0, len(keys), 500):
            some = keys[first : first + 500]
            marks = ", ".join("?" * len(some))
            found.update(self._opened().execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some))
        return found

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=120, check_same_thread=False)
            self._connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
        return self._connection


def remembering_encoder(work: Path) -> RememberingEncoder:
    """The embedded encoder, with its vectors kept in the work folder."""
    return RememberingEncoder(load_encoder("embedded"), work / "vectors.sqlite")


class DataSet:
    """One set of the data folder, indexed in the work folder."""

    def __init__(self, name: str, data: Path, work: Path, encoder: Encoder) -> None:
        self.name, self._data, self._work, self._encoder = name, data / name, work / name, encoder

    def documents(self) -> list[Document]:
        """The documents as they are, each at most 200 words."""
        return convert_file(self._data / "docs.jsonl", self._data)

    def index(self) -> Index:
        """The project's own index over them; what is there already is not made again."""
        docs = self._work / "docs"
        docs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._data / "docs.jsonl", docs / "docs.jsonl")
        ingest(docs, self._work / "index", self._encoder, max_tokens=PASSAGE_TOKENS)
        return open_index(self._work / "index", self._encoder)

    def items(self, split: Split, kind: str = "") -> list[Item]:
        """Questions of a split; `kind` is "_unanswerable" for those that the documents do not answer."""
        name = "test" if split == "test" else "train"
        items = read_items(self._data / f"{name}{kind}.jsonl")
        if kind:
            items = [item.model_copy(update={"answerable": False}) for item in items]
        if split == "test":
            return items
        train, dev = cut(items)
        return train if split == "train" else dev


def source_of(item: Item) -> str:
    """What dev and train do not share: a conversation where there is one, else a source document."""
    return item.id.rsplit("-t", 1)[0] if item.history or item.multi_turn is not None else item.group


def cut(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Train and dev, no source in both."""
    sources = sorted({source_of(item) for item in items})
    random.Random(SEED).shuffle(sources)
    dev: set[str] = set()
    taken = 0
    for source in sources:
        if taken >= DEV_SHARE * len(items):
            break
        dev.add(source)
        taken += sum(source_of(item) == source for item in items)
    return [i for i in items if source_of(i) not in dev], [i for i in items if source_of(i) in dev]


def queries_of(index: Index, items: Sequence[Item], *, rewritten: bool) -> list[str]:
    """What is searched for: the last turns, or what the chain makes of them by default with a local backbone."""
    return searched_for(index, items, DEFAULT_WEIGHTS) if rewritten else [item.question for item in items]


def asked(index: Index, items: Sequence[Item], *, rewritten: bool, limit: int | None = None) -> list[Asked]:
    """Questions whose documents are known, or at most `limit` of them, spread over the file."""
    known = spread([item for item in items if item.documents], limit)
    # `doc_ids` where there are any: the answer of a conversation may stand in several pieces.
    return [
        Asked(item.id, query, frozenset(item.doc_ids) or item.documents)
        for item, query in zip(known, queries_of(index, known, rewritten=rewritten), strict=True)
    ]

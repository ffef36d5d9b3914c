"""Data sets for measuring retrieval: questions with the documents that answer them, and a caching encoder.

Dev is cut from train with a fixed seed, by source document, or by conversation for `mtrag`. Test shares no source with
either.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation import Item, read_items
from evaluation.items import spread
from evaluation.systems import joined_queries
from retrieval import Document, Encoder, Index, convert_file, ingest, open_index
from retrieval.ranking.index import DEFAULT_WEIGHTS
from softgraft.training.retrieval_fit import usual_weights

Split = Literal["train", "dev", "test"]
PASSAGE_TOKENS = 72
DEV_SHARE, SEED = 0.5, 0
# Defaults of `domain.yaml`: the passages and tokens of evidence that the model reads.
MAX_PASSAGES, EVIDENCE_TOKENS = 3, 320


class CachingEncoder:
    """An encoder that encodes each text once."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.count_tokens = encoder, encoder.count_tokens
        self.id, self.dimension, self.window = encoder.id, encoder.dimension, encoder.window
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._queries: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        return self._cached(self._vectors, texts, lambda missing: self.encoder.encode(missing, progress))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._cached(self._queries, texts, self.encoder.encode_queries)

    def _cached(
        self,
        cache: dict[str, NDArray[np.float32]],
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        if missing := [text for text in dict.fromkeys(texts) if text not in cache]:
            cache.update(zip(missing, encode(missing), strict=True))
        return np.array([cache[text] for text in texts], np.float32).reshape(len(texts), self.dimension)


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
        return usual_weights("zh" if self.name == "xquad_zh" else "en", self._encoder.id)

    def items(self, split: Split, suffix: str = "") -> list[Item]:
        """Questions of a split; the suffix "_unanswerable" selects those that the documents do not answer."""
        items = read_items(self._data / f"{'test' if split == 'test' else 'train'}{suffix}.jsonl")
        if suffix:
            items = [item.model_copy(update={"answerable": False}) for item in items]
        return items if split == "test" else train_and_dev(items)[split == "dev"]


def source_of(item: Item) -> str:
    """The source that dev and train do not share: a conversation, or else a source document."""
    return item.id.rsplit("-t", 1)[0] if item.history or item.multi_turn is not None else item.group


def train_and_dev(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split the items into train and dev, with no source in both."""
    counts = Counter(map(source_of, items))
    sources = sorted(counts)
    random.Random(SEED).shuffle(sources)
    dev: set[str] = set()
    while sources and sum(counts[source] for source in dev) < DEV_SHARE * len(items):
        dev.add(sources.pop(0))
    return [i for i in items if source_of(i) not in dev], [i for i in items if source_of(i) in dev]


def query_texts(index: Index, items: Sequence[Item], *, rewritten: bool) -> list[str]:
    """The questions themselves, or rewritten as the chain rewrites them by default with a local backbone."""
    return joined_queries(index, items, DEFAULT_WEIGHTS) if rewritten else [item.question for item in items]


def make_queries(
    index: Index, items: Sequence[Item], *, rewritten: bool, limit: int | None = None
) -> tuple[list[str], list[frozenset[str]]]:
    """Queries of at most `limit` questions with known documents, spread over the file, and these documents."""
    known = spread([item for item in items if item.documents], limit)
    # `doc_ids` come first: the answer of a conversation may be in several documents.
    gold = [frozenset(item.doc_ids) or item.documents for item in known]
    return query_texts(index, known, rewritten=rewritten), gold

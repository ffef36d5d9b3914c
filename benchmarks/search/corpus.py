"""Many passages of real sentences with real vectors, for measuring how an index scales.

The encoder would take more than an hour for a hundred thousand passages on two cores. So each sentence is encoded once,
and a passage is three consecutive sentences with the weighted mean of their vectors. After the first round, the last
two sentences come from other places, so that no two passages are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval import Document, Encoder, Passage, PassageStore
from retrieval.documents import passage_id
from retrieval.store.document_rows import Entry

SETS = ("squad", "covidqa", "mtrag")
_SENTENCE_WEIGHTS = np.array([1.0, 0.5, 0.35], np.float32)

Floats = NDArray[np.float32]
T = TypeVar("T")


def read_sentences(data: Path, encoder: Encoder, limit: int, cache: Path) -> tuple[list[str], Floats]:
    """Real sentences in the order of their documents, and their vectors `[sentences, dimension]`, stored in `cache`."""
    texts: list[str] = []
    for name in SETS:
        for line in (data / name / "docs.jsonl").read_text(encoding="utf-8").splitlines():
            sentences = re.split(r"(?<=[.!?])\s+", json.loads(line)["text"])
            texts += [sentence for sentence in sentences if 20 < len(sentence) < 220]
    texts = list(dict.fromkeys(texts))
    # Runs of three sentences from all of the text, so that neighbours stay together.
    step = max(1, len(texts) // limit)
    texts = [sentence for first in range(0, len(texts), 3 * step) for sentence in texts[first : first + 3]][:limit]
    path = cache / f"sentences-{encoder.id.replace('/', '-')[:40]}-{len(texts)}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, encoder.encode(texts))
    return texts, np.load(path)


def read_questions(data: Path, limit: int) -> list[str]:
    """Real questions of the training files."""
    questions: list[str] = []
    for name in ("squad", "covidqa"):
        lines = (data / name / "train.jsonl").read_text(encoding="utf-8").splitlines()
        questions += [json.loads(line)["question"] for line in lines[: limit // 2]]
    return questions


def make_passages(sentences: list[str], vectors: Floats, number: int) -> Iterator[tuple[str, Floats]]:
    """Texts and unit vectors of `number` passages."""
    rng, total = np.random.default_rng(0), len(sentences)
    for n in range(number):
        first = n % total
        chosen = [first, *(np.array([first + 1, first + 2]) % total)]
        if n >= total:
            chosen[1:] = rng.integers(total, size=2).tolist()
        mean = _SENTENCE_WEIGHTS @ vectors[chosen]
        yield " ".join(sentences[i] for i in chosen), mean / np.linalg.norm(mean)


def write_passages(store: PassageStore, passages: Iterable[tuple[str, Floats]]) -> None:
    """Write the passages to a store, ten per document and many documents per transaction."""
    binding = store.binding
    documents = (_entry(f"d{n}", some) for n, some in enumerate(batched(passages, 10)))
    for block in batched(documents, 200):
        store.replace_documents(block, binding)


def _entry(name: str, passages: Sequence[tuple[str, Floats]]) -> Entry:
    text = "\n".join(part for part, _ in passages)
    rows, start = [], 0
    for part, _ in passages:
        end = start + len(part)
        rows.append(Passage(passage_id(name, start, end, part), name, "", "", part, start, end))
        start = end + 1
    document = Document(name, "", text, name, f"{name}.txt", "0", "benchmark")
    return Entry(document, "benchmark", rows, np.stack([vector for _, vector in passages]))


def clustered(number: int, dimension: int, seed: int = 0) -> Iterator[Floats]:
    """Unit vectors around a thousand centres, in blocks `[vectors, dimension]`.

    A vector differs from its centre in 32 directions only, as the vectors of an encoder use few of their dimensions.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((1000, dimension)).astype(np.float32)
    directions = rng.standard_normal((16, 32, dimension)).astype(np.float32) / np.sqrt(32, dtype=np.float32)
    for first in range(0, number, 50_000):
        size = min(50_000, number - first)
        centre = rng.integers(1000, size=size)
        block = centres[centre] + 0.1 * rng.standard_normal((size, dimension)).astype(np.float32)
        for group in range(16):
            rows = centre % 16 == group
            inner = rng.standard_normal((int(rows.sum()), 32)).astype(np.float32)
            block[rows] += 0.8 * inner @ directions[group]
        yield unit(block)


def unit(vectors: Floats) -> Floats:
    """The vectors `[vectors, dimension]` at length 1."""
    normalised: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` values; the last may be shorter."""
    iterator = iter(values)
    while block := list(islice(iterator, size)):
        yield block

"""Many passages of real sentences with vectors of the real encoder, for measuring how an index grows.

A hundred thousand passages would take the encoder more than an hour on two cores. So each sentence is encoded once, and
a passage is three sentences in a row with the weighted mean of their vectors; from the second round on the last two
come from other places, so that no two passages are alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval import Document, Encoder, Passage, PassageStore
from retrieval.documents import passage_id
from retrieval.store.document_rows import Entry

SETS = ("squad", "covidqa", "mtrag")
_A_DOCUMENT = 10
_TOGETHER = 200
_WEIGHTS = np.array([1.0, 0.5, 0.35], np.float32)

Floats = NDArray[np.float32]
Some = TypeVar("Some")


@dataclass(frozen=True)
class Sentences:
    """Real sentences, in the order of their documents, and their vectors `[n, dimension]`."""

    texts: list[str]
    vectors: Floats


def read_sentences(data: Path, encoder: Encoder, limit: int, cache: Path) -> Sentences:
    """Sentences of the data folder, encoded once and kept in `cache`."""
    texts: list[str] = []
    for name in SETS:
        for line in (data / name / "docs.jsonl").read_text(encoding="utf-8").splitlines():
            found = re.split(r"(?<=[.!?])\s+", json.loads(line)["text"])
            texts += [sentence for sentence in found if 20 < len(sentence) < 220]
    texts = list(dict.fromkeys(texts))
    # Whole stretches of each set, so that neighbours stay neighbours.
    step = max(1, len(texts) // limit)
    texts = [sentence for first in range(0, len(texts), 3 * step) for sentence in texts[first : first + 3]][:limit]
    path = cache / f"sentences-{encoder.id.replace('/', '-')[:40]}-{len(texts)}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, encoder.encode(texts))
    return Sentences(texts, np.load(path))


def questions(data: Path, limit: int) -> list[str]:
    """Real questions, from training files."""
    found: list[str] = []
    for name in ("squad", "covidqa"):
        lines = (data / name / "train.jsonl").read_text(encoding="utf-8").splitlines()
        found += [json.loads(line)["question"] for line in lines[: limit // 2]]
    return found


def passages(sentences: Sentences, wanted: int, seed: int = 0) -> Iterator[tuple[str, Floats]]:
    """Texts and unit vectors of so many passages."""
    generator, total = np.random.default_rng(seed), len(sentences.texts)
    for number in range(wanted):
        first = number % total
        chosen = [first, *(np.array([first + 1, first + 2]) % total)]
        if number >= total:
            chosen[1:] = generator.integers(total, size=2).tolist()
        mean = _WEIGHTS @ sentences.vectors[chosen]
        yield " ".join(sentences.texts[one] for one in chosen), mean / np.linalg.norm(mean)


def write_passages(store: PassageStore, texts: Iterable[tuple[str, Floats]]) -> None:
    """Ten passages a document, many documents a transaction."""
    binding, numbers = store.binding, count()
    for block in batched(batched(texts, _A_DOCUMENT), _TOGETHER):
        store.replace_documents([_entry(f"d{next(numbers)}", made) for made in block], binding)


def _entry(name: str, made: Sequence[tuple[str, Floats]]) -> Entry:
    text = "\n".join(part for part, _ in made)
    found, start = [], 0
    for part, _ in made:
        end = start + len(part)
        found.append(Passage(passage_id(name, start, end, part), name, "", "", part, start, end))
        start = end + 1
    document = Document(name, "", text, name, f"{name}.txt", "0", "benchmark")
    return Entry(document, "benchmark", found, np.stack([vector for _, vector in made]))


def clustered(wanted: int, dimension: int, seed: int = 0) -> Iterator[Floats]:
    """Unit vectors around a thousand centres, in blocks `[n, dimension]`.

    Around its centre a vector varies in 32 directions, as the vectors of an encoder fill few of their dimensions.
    """
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((1000, dimension)).astype(np.float32)
    directions = generator.standard_normal((16, 32, dimension)).astype(np.float32) / np.sqrt(32, dtype=np.float32)
    for first in range(0, wanted, 50_000):
        size = min(50_000, wanted - first)
        of = generator.integers(1000, size=size)
        made = centres[of] + 0.1 * generator.standard_normal((size, dimension)).astype(np.float32)
        for which in range(16):
            rows = of % 16 == which
            inner = generator.standard_normal((int(rows.sum()), 32)).astype(np.float32)
            made[rows] += 0.8 * inner @ directions[which]
        yield made / np.linalg.norm(made, axis=1, keepdims=True)


def batched(values: Iterable[Some], size: int) -> Iterator[list[Some]]:
    """Lists of `size` values, the last perhaps shorter."""
    iterator = iter(values)
    while block := list(islice(iterator, size)):
        yield block

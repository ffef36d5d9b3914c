"""The nouns: a document, a passage of it, and a passage ranked for a query."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A converted file, or one row of a JSONL file.

    `text` is what every span points into, in code points. `page_starts` holds the offset in `text` at
    which each page begins, and is empty for formats without pages. `source` is the path below the docs
    folder, "/"-separated; `source_digest` the SHA-256 (hex) of the bytes it was made from: the file, or
    for JSONL the row, so that one edited row does not make its neighbours look changed.
    """

    id: str
    title: str
    text: str
    group: str
    source: str
    source_digest: str
    converter: str
    page_starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document: `document.text[start:end] == text`, always.

    `title` and `heading` ("Fees > Abroad") are what is embedded in front of `text`; they are shortened
    with "…" where they would leave too little of the encoder's window to the text. `page` counts from 1.
    """

    id: str
    doc_id: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A passage and how it fits a query.

    `score` orders the results of one query and means nothing across queries. `dense` is the cosine to
    the query in [-1, 1], and `sentence` that of the passage's best sentence, or 0.0 where none was read;
    `bm25` is positive, 0.0 where no query term matched; `coverage` in [0, 1] is the share of the query's
    idf weight whose terms stand in the passage, and `around` that of the passage with those beside it.
    """

    passage: Passage
    score: float
    dense: float
    bm25: float
    coverage: float
    sentence: float = 0.0
    around: float = 0.0


def passage_id(doc_id: str, start: int, end: int, text: str) -> str:
    """16 hex digits that stay the same for as long as the passage does."""
    payload = "\x1f".join((doc_id, str(start), str(end), text))
    return hashlib.sha256(payload.encode()).hexdigest()[:16]


def embedded_text(title: str, heading: str, text: str) -> str:
    """The text the encoder reads for a passage."""
    return "\n".join(part for part in (title, heading, text) if part)


def embedded_digest(passage: Passage) -> str:
    """SHA-256 (hex) of what the encoder reads: two passages with the same digest share a vector."""
    text = embedded_text(passage.title, passage.heading, passage.text)
    return hashlib.sha256(text.encode()).hexdigest()

"""The data types: a document, a passage of it, and a passage ranked for a query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from retrieval.markup import Markup, readable

# How the text of a document is written. "fields": Markdown, or nothing, and then lines of the form "name: value".
Writing = Literal["markdown", "plain", "fields"]


class Mark(NamedTuple):
    """A heading, list, table or code that a converter recorded, as a span of the text. `level` is that of a heading."""

    kind: Literal["heading", "list", "table", "code"]
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A converted file, or one row of a JSONL or CSV file.

    Attributes:
        text: the converted text. All spans are in its code points.
        source: the path below the docs folder, "/"-separated.
        source_digest: SHA-256 (hex) of the file or the row, so that an edited row does not change the others.
        page_starts: the offset in `text` of each page; empty for formats without pages.
        writing: how `text` is written.
        marks: the headings, lists, tables and code of plain text, in order.
        metadata: a JSON object by which the passages can be filtered: the columns of a row.
    """

    id: str
    title: str
    text: str
    group: str
    source: str
    source_digest: str
    converter: str
    page_starts: tuple[int, ...] = ()
    writing: Writing = "markdown"
    marks: tuple[Mark, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document: always `document.text[start:end] == text`.

    `title` and `heading` ("Fees > Abroad") are embedded before `text`. They are shortened with "…" if they would
    leave the text too little of the encoder's window. Where the text begins within a table, the heading ends with the
    names of its columns ("Fees > Country | Price"). `page` counts from 1. `markup` says how `text` is written.
    """

    id: str
    doc_id: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    page: int | None = None
    markup: Markup = "markdown"


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A passage and its fit to a query.

    Attributes:
        score: orders the results of one query; not comparable across queries.
        dense: cosine to the query, in [-1, 1].
        bm25: BM25 score; 0.0 if no query term matched.
        coverage: share of the query's idf weight whose terms occur in the passage, in [0, 1].
        sentence: cosine of the best sentence to the query; 0.0 if the sentences were not encoded.
        around: `coverage` of the passage together with its neighbours.
    """

    passage: Passage
    score: float
    dense: float
    bm25: float
    coverage: float
    sentence: float = 0.0
    around: float = 0.0


def passage_id(doc_id: str, start: int, end: int, text: str) -> str:
    """16 hex digits that depend only on the passage."""
    payload = "\x1f".join((doc_id, str(start), str(end), text))
    return hashlib.sha256(payload.encode()).hexdigest()[:16]


def embedded_text(title: str, heading: str, text: str, markup: Markup = "markdown") -> str:
    """The text the encoder reads for a passage, without markup."""
    return "\n".join(part for part in (title, heading, readable(text, markup)) if part)


def passage_text(passage: Passage) -> str:
    """`embedded_text` of a passage."""
    return embedded_text(passage.title, passage.heading, passage.text, passage.markup)


def embedded_digest(passage: Passage) -> str:
    """SHA-256 (hex) of the encoded text: passages with the same digest share a vector."""
    text = passage_text(passage)
    return hashlib.sha256(text.encode()).hexdigest()

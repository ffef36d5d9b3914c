"""A record: its validation, and its representation as a document with one passage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage
from retrieval.errors import EncoderError, RecordError
from retrieval.store.document_rows import Entry

_MAX_DEPTH = 64
_CONVERTER = "record/1"
_SPLITTER = "whole"


@dataclass(frozen=True, slots=True)
class Record:
    """A text with an id and metadata, a JSON object."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def check_record(record: Record) -> None:
    """Raises RecordError if a part of a record has the wrong type, or is text that UTF-8 cannot encode."""
    if not isinstance(record.id, str) or not record.id:
        raise _record_error(f"the id {record.id!r}", "ids that are non-empty text")
    if not isinstance(record.text, str):
        raise _record_error(f"a text of type {type(record.text).__name__} for the id {record.id!r}", "text")
    _check_text(record.id, "the id")
    _check_text(record.text, f"the text of {record.id!r}")
    if not isinstance(record.metadata, Mapping):
        raise _record_error(f"metadata of type {type(record.metadata).__name__} for {record.id!r}", "a dict")
    _check_json(dict(record.metadata), f"the metadata of {record.id!r}", 0)


def record_entry(record: Record, vector: NDArray[np.float32]) -> Entry:
    """A record as a document with a single passage. Raises RecordError as `check_record`."""
    check_record(record)
    digest = hashlib.sha256(record.text.encode()).hexdigest()
    document = Document(record.id, "", record.text, "", source="", source_digest=digest, converter=_CONVERTER)
    passage = Passage(record.id, record.id, title="", heading="", text=record.text, start=0, end=len(record.text))
    metadata = json.dumps(dict(record.metadata), ensure_ascii=False, allow_nan=False)
    return Entry(document, _SPLITTER, (passage,), vector[None, :], (metadata,))


def _check_json(value: object, where: str, depth: int) -> None:
    """Raises RecordError for values that JSON would change, such as tuples."""
    if depth > _MAX_DEPTH:
        raise _record_error(f"{where} is nested too deeply", f"at most {_MAX_DEPTH} levels")
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, where)
            # SQLite's JSON functions end a text there, so filters would compare only a part.
            if "\0" in value:
                raise _record_error(f"{where} contains the character U+0000", "text without it")
        case int():
            if value.bit_length() > 1024:
                raise _record_error(f"{where} is a number of {value.bit_length()} bits", "numbers below 2**1024")
        case float():
            if not math.isfinite(value):
                raise _record_error(f"{where} is {value}", "a finite number, or null")
        case list():
            for position, item in enumerate(value):
                _check_json(item, f"{where}[{position}]", depth + 1)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise _record_error(f"{where} has the key {key!r}", "keys that are text")
                _check_json(key, f"a key of {where}", depth + 1)
                _check_json(item, f"{where}[{key!r}]", depth + 1)
        case _:
            raise _record_error(
                f"{where} is of type {type(value).__name__}",
                "JSON: text, numbers, true, false, null, and lists and dicts of these; write a date as ISO text",
            )


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _record_error(f"{where} contains an unpaired surrogate", "text that UTF-8 can encode") from error


def unit_rows(vectors: object, count: int) -> NDArray[np.float32]:
    """Vectors of any length, normalised to unit length: `[count, dimension]`, float32.

    Raises EncoderError if there are not `count` vectors of one dimension, or a vector is zero or not finite.
    """
    try:
        rows = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _vector_error(
            f"vectors of different dimensions, or no vectors ({error})", f"{count} lists of numbers"
        ) from error
    if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
        raise _vector_error(f"vectors of the shape {list(rows.shape)}", f"{count} lists of numbers of one dimension")
    if not np.isfinite(rows).all():
        raise _vector_error("a vector with numbers that are not finite", "finite numbers")
    # Scale first: squares of very large or very small numbers would overflow or vanish.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        position = int(np.flatnonzero(largest == 0)[0])
        raise _vector_error(
            f"a vector of zeros (number {position})", "vectors with a direction, because cosines are compared"
        )
    rows = rows / largest
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _record_error(found: str, expected: str) -> RecordError:
    return RecordError(found=found, expected=expected, next_step="correct that and add again; nothing was written")


def _vector_error(found: str, expected: str) -> EncoderError:
    return EncoderError(
        found=f"the embeddings returned {found}",
        expected=expected,
        next_step="check the embeddings and the texts; nothing was written",
    )

"""What a record may hold, checked before anything is written, and how it stands among documents and passages."""

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
    """A text under an id, with metadata: a JSON object."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def record_entry(record: Record, vector: NDArray[np.float32]) -> Entry:
    """A record as a document with one passage that covers it whole, so that every search finds it.

    Raises RecordError for an id or text that is no text, and for metadata that is not JSON.
    """
    if not isinstance(record.id, str) or not record.id:
        raise _refusal(f"the id {record.id!r}", "ids that are text and not empty")
    if not isinstance(record.text, str):
        raise _refusal(f"a text of type {type(record.text).__name__} for the id {record.id!r}", "text")
    _check_text(record.id, "the id")
    _check_text(record.text, f"the text of {record.id!r}")
    document = Document(
        id=record.id,
        title="",
        text=record.text,
        group="",
        source="",
        source_digest=hashlib.sha256(record.text.encode()).hexdigest(),
        converter=_CONVERTER,
    )
    passage = Passage(record.id, record.id, title="", heading="", text=record.text, start=0, end=len(record.text))
    return Entry(document, _SPLITTER, (passage,), vector[None, :], (metadata_json(record),))


def metadata_json(record: Record) -> str:
    """Raises RecordError for what JSON does not hold, or would give back as something else (a tuple, say)."""
    metadata = record.metadata
    if not isinstance(metadata, Mapping):
        raise _refusal(f"metadata of type {type(metadata).__name__} for {record.id!r}", "a dict")
    _check_json(dict(metadata), f"the metadata of {record.id!r}", 0)
    return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)


def _check_json(value: object, where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _refusal(f"{where} is nested too deeply", f"at most {_MAX_DEPTH} levels")
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, where)
            # SQLite's JSON functions end a text there, so filters would compare half of it.
            if "\0" in value:
                raise _refusal(f"{where} holds the character U+0000", "text without it")
        case int():
            if value.bit_length() > 1024:
                raise _refusal(f"{where} is a number of {value.bit_length()} bits", "numbers below 2**1024")
        case float():
            if not math.isfinite(value):
                raise _refusal(f"{where} is {value}", "a finite number, or null")
        case list():
            for position, item in enumerate(value):
                _check_json(item, f"{where}[{position}]", depth + 1)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise _refusal(f"{where} has the key {key!r}", "keys that are text")
                _check_json(key, f"a key of {where}", depth + 1)
                _check_json(item, f"{where}[{key!r}]", depth + 1)
        case _:
            raise _refusal(
                f"{where} is of type {type(value).__name__}",
                "JSON: text, numbers, true, false, null, lists and dicts of these (a date as its ISO text, say)",
            )


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal(f"{where} holds half a surrogate pair", "text that can be written as UTF-8") from error


def unit_rows(vectors: object, count: int) -> NDArray[np.float32]:
    """Vectors of any length as `[count, dimension]` rows of length 1, float32.

    Raises EncoderError where there are not `count` of one length, and for zero vectors and numbers that are
    not finite, which have no direction to compare.
    """
    try:
        rows = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _no_vectors(f"vectors of different lengths, or none ({error})", f"{count} lists of numbers") from error
    if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
        raise _no_vectors(f"vectors of the shape {list(rows.shape)}", f"{count} lists of numbers, all of one length")
    if not np.isfinite(rows).all():
        raise _no_vectors("a vector with numbers that are not finite", "finite numbers")
    # First by the largest number: squares of very large or small ones would not fit.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        position = int(np.flatnonzero(largest == 0)[0])
        raise _no_vectors(
            f"a vector of zeros (number {position})", "vectors with a direction, since cosines are compared"
        )
    rows = rows / largest
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _refusal(found: str, expected: str) -> RecordError:
    return RecordError(found=found, expected=expected, next_step="mend that and add again; nothing was written")


def _no_vectors(found: str, expected: str) -> EncoderError:
    return EncoderError(
        found=f"the embeddings gave {found}",
        expected=expected,
        next_step="check the embeddings and their text; nothing was written",
    )

"""Metadata of the FAISS file, stored in SQLite: which rows it holds and how to search it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from retrieval.store.schema import row_checksum

IndexKind = Literal["flat", "pq"]
IndexChoice = Literal["auto", "flat", "pq"]
INDEX_KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
INDEX_CHOICES: tuple[IndexChoice, ...] = get_args(IndexChoice)


@dataclass(frozen=True, slots=True)
class FaissRecord:
    """The FAISS file that was last written.

    Attributes:
        revision: of the rows when the file was built.
        digest: SHA-256 (hex) of the file.
        kind: an older release may have written one that `INDEX_KINDS` no longer has.
        last_number: rows with a higher number are not in the file.
        last_tombstone: rows deleted after this tombstone are still in the file.
        effort: number of candidates that a search rescores; 0 for exact search.
        recall: recall@10 against exact search, measured with this effort when the file was built.
    """

    revision: int
    digest: str
    kind: IndexKind
    count: int
    last_number: int
    last_tombstone: int
    effort: int
    recall: float

    def to_json(self) -> str:
        """JSON with a checksum: a search that trusted a damaged record would miss rows."""
        fields = asdict(self)
        stored = {"generation": fields.pop("revision"), **fields}
        return json.dumps({**stored, "checksum": row_checksum(stored)})

    @classmethod
    def from_json(cls, text: str) -> FaissRecord | None:
        """None if the text is not a valid record: the file is then rebuilt."""
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            stored = json.loads(text)
            if stored.pop("checksum") == row_checksum(stored):
                return cls(revision=stored.pop("generation"), **stored)
        return None

"""What SQLite knows of the FAISS file: whose rows are in it, and how it is to be searched."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from retrieval.store.checksum import row_checksum


@dataclass(frozen=True, slots=True)
class FaissRecord:
    """The FAISS file that was last written.

    Attributes:
        generation: of the rows when it was made.
        digest: SHA-256 (hex) of the file.
        kind: of index.
        count: vectors in it.
        last_number: rows with a higher number came later.
        last_tombstone: rows deleted after this tombstone are still in it.
        effort: how far a search looks (candidates, `efSearch` or lists); 0 for exact search.
        recall: recall@10 against exact search that this effort had when it was made.
    """

    generation: int
    digest: str
    kind: Kind
    count: int
    last_number: int
    last_tombstone: int
    effort: int
    recall: float

    def to_json(self) -> str:
        """As it stands in SQLite, with a checksum: a search that believed a changed record would miss rows."""
        fields = asdict(self)
        return json.dumps({**fields, "checksum": row_checksum(fields)})

    @classmethod
    def from_json(cls, text: str) -> FaissRecord | None:
        """None for what is no record: then the file is made anew."""
        try:
            fields = json.loads(text)
            checksum = fields.pop("checksum")
            record = cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return record if checksum == row_checksum(fields) else None


Kind = Literal["flat", "pq", "hnsw", "ivf"]


IndexChoice = Literal["auto", "flat", "pq", "hnsw", "ivf"]


KINDS: tuple[Kind, ...] = get_args(Kind)


INDEX_CHOICES: tuple[IndexChoice, ...] = get_args(IndexChoice)

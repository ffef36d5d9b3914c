"""What an ingest tells on its way and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["reading", "embedding", "indexing", "scoring"]


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is: `done` of `total` files read, of the passages of this batch embedded, or,
    once the index is there, of the questions searched for to fit the evidence score.

    `documents` are in the index as they should be, `seconds` after the start.
    """

    stage: Stage
    done: int
    total: int
    source: str = ""
    documents: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, or would do. Counts are of documents, but `passages` (in the index then) and `embedded`.

    `failed` are files and why; what the index held of them is kept. `skipped` are files of formats that
    nothing here reads.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    passages: int
    embedded: int
    seconds: float
    failed: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def documents_per_second(self) -> float:
        """Of those that were added and changed."""
        return (self.added + self.changed) / self.seconds if self.seconds > 0 else 0.0

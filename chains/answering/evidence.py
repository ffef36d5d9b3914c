"""The evidence for one answer, and its form as plain data in the graph's state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from retrieval import Passage, RankedPassage


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one answer is given.

    Attributes:
        passages: the best first, within the token budget; kept for the record even where they are too weak to use.
        score: how likely they answer the query, 0 to 1; None where no scale was fitted.
        enough: False means that nothing in the documents fits.
    """

    passages: tuple[RankedPassage, ...]
    score: float | None
    enough: bool


# What a ranking says of a passage, besides the passage itself.
_RANKS = tuple(f.name for f in fields(RankedPassage) if f.name != "passage")


def evidence_record(entry: RankedPassage) -> dict[str, Any]:
    """A ranked passage as plain data."""
    return {**asdict(entry.passage), **{name: getattr(entry, name) for name in _RANKS}}


def _ranked(record: dict[str, Any]) -> RankedPassage:
    ranks = {name: record[name] for name in _RANKS}
    return RankedPassage(Passage(**{k: v for k, v in record.items() if k not in ranks}), **ranks)

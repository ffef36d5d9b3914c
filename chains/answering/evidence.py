"""The evidence of one answer, as an object, as plain data in the graph's state, and as inputs of a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from prompts import PassageInput
from retrieval import Passage, RankedPassage
from retrieval.markup import readable

# The fields of a ranked passage besides the passage itself.
_RANK_FIELDS = tuple(field.name for field in fields(RankedPassage) if field.name != "passage")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The passages for one answer.

    Attributes:
        passages: the best first, within the evidence budget; kept for the record even if they are too weak to use.
        score: probability, 0 to 1, that they answer the query; None if no evidence scale was fitted.
        enough: False if nothing in the documents fits.
    """

    passages: tuple[RankedPassage, ...]
    score: float | None
    enough: bool

    def to_state(self) -> dict[str, Any]:
        """Plain data, under the keys of the graph's state."""
        records = [
            {**asdict(entry.passage), **{name: getattr(entry, name) for name in _RANK_FIELDS}}
            for entry in self.passages
        ]
        return {"evidence": records, "evidence_score": self.score, "enough": self.enough}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Evidence:
        return cls(tuple(map(_ranked_passage, state["evidence"])), state["evidence_score"], state["enough"])


def passage_input(passage: Passage) -> PassageInput:
    """What a model reads of a passage: its text without markup."""
    return PassageInput(passage.id, passage.title, passage.heading, readable(passage.text, passage.markup))


def _ranked_passage(record: Mapping[str, Any]) -> RankedPassage:
    ranks = {name: record[name] for name in _RANK_FIELDS}
    return RankedPassage(Passage(**{key: value for key, value in record.items() if key not in ranks}), **ranks)

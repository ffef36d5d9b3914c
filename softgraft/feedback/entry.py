"""One rating of one answer, and its row in the database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from soft_prompt.json_text import dump_json

Rating = Literal["up", "down"]
# Characters. A longer text is a document, not an answer.
MAX_CORRECTION = 8000


def graft_digest(answered_by: Mapping[str, str]) -> str:
    """A short digest of what `Answering.answered_by` returns; "" if it is empty."""
    if not answered_by:
        return ""
    return hashlib.sha256(dump_json(dict(answered_by), sort_keys=True).encode()).hexdigest()[:12]


class EvidenceSpan(BaseModel):
    """A span of a document, in code points.

    `quote` is its text if the answer cites it, and "" if it is a passage that was found for the question.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    doc_id: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    quote: str = ""


class Feedback(BaseModel):
    """A rating of one turn of a conversation, with the turn as it was.

    Attributes:
        turn: number of the turn, from 1.
        at: time of the rating, ISO 8601 in UTC.
        correction: what the answer should have been; "" if none was given.
        query: the standalone search query; "" for turns that an earlier version stored.
        history: the earlier [question, answer] pairs that the model could read.
        evidence: first the spans that the answer cites, then the passages that were found.
        refused: whether the answer refuses.
        form: what the answer consists of: `quote`, `generate`, `both` or `extract`.
        answered_by: names and digests of what answered; see `Answering.answered_by`. Empty for earlier versions.
        accepted: time at which it was added to train.jsonl; "" if it was not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thread: str
    turn: Annotated[int, Field(ge=1)]
    at: str
    rating: Rating
    correction: str = ""
    question: str
    query: str = ""
    answer: str
    history: tuple[tuple[str, str], ...] = ()
    evidence: tuple[EvidenceSpan, ...] = ()
    refused: bool = False
    form: str = ""
    answered_by: dict[str, str] = Field(default_factory=dict)
    accepted: str = ""

    @property
    def id(self) -> str:
        """The id on the command line and in train.jsonl: a digest of thread and turn, since an id may be a name."""
        return f"feedback-{hashlib.sha256(f'{self.thread}{chr(31)}{self.turn}'.encode()).hexdigest()[:12]}"

    @property
    def graft(self) -> str:
        """A digest of what answered: soft prompt or text twin, template, index, backbone; "" if it is unknown."""
        return graft_digest(self.answered_by)

    @property
    def system(self) -> str:
        """What filled the soft slot: `soft`, `source` or `text-twin`; "" if it is unknown."""
        return self.answered_by.get("system", "")

    @property
    def cited(self) -> tuple[EvidenceSpan, ...]:
        """The spans that the answer cites."""
        return tuple(span for span in self.evidence if span.quote)

"""Which of two answers a person preferred, in the database of the conversations, one row per question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from chains.conversation.stored import row_digest
from softgraft.feedback.intervals import Share, sign_test, wilson
from softgraft.feedback.place import FeedbackDomain

Preferred = Literal["first", "second", "tie"]


class Pair(BaseModel):
    """Two systems that are compared: their names and the digests of what answered, in the order of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    systems: tuple[str, str]
    grafts: tuple[str, str]


class Preference(BaseModel):
    """One judgement: `first` and `second` are the systems of the pair, whatever the order on the screen was.

    `identical` is true if the two answers were the same, which is a tie that nobody was asked about.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pair: Pair
    question_id: str
    question: str
    preferred: Preferred
    identical: bool = False
    at: str

    @property
    def name(self) -> str:
        """The key of the row."""
        return preference_name(self.pair, self.question_id)


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The preferences between two systems.

    Attributes:
        ties, identical: number of undecided judgements, and of those the questions with twice the same answer.
        share: share of the decided judgements that prefer the first system, with its 95% interval.
        p: of the exact two-sided sign test: how likely a split at least this uneven is if neither is better.
    """

    systems: tuple[str, str]
    grafts: tuple[str, str]
    first: int
    second: int
    ties: int
    identical: int
    share: Share
    p: float
    last: str


def preference_name(pair: Pair, question_id: str) -> str:
    fields = "\x1f".join((*pair.systems, *pair.grafts, question_id))
    return hashlib.sha256(fields.encode()).hexdigest()[:24]


def keep_preference(domain: FeedbackDomain, preference: Preference) -> None:
    """Store a judgement in place of an earlier one of the same question and pair.

    Raises:
        MemoryDamagedError: if the database is damaged.
        MemoryUnavailableError: if the database is locked, full or cannot be written.
    """
    content = preference.model_dump_json().encode()
    with domain.conversations.memory.cursor() as cursor:
        cursor.execute(
            "INSERT OR REPLACE INTO preferences (name, digest, entry) VALUES (?, ?, ?)",
            (preference.name, row_digest(preference.name, content), content),
        )


def preferences(domain: FeedbackDomain) -> tuple[list[Preference], tuple[str, ...]]:
    """The intact judgements in the order in which they were made, and the names of damaged ones."""
    if not domain.conversations.path.is_file():
        return [], ()
    with domain.conversations.memory.cursor(transaction=False) as cursor:
        cursor.execute("SELECT name, digest, entry FROM preferences ORDER BY rowid")
        rows = cursor.fetchall()
    found, damaged = [], []
    for name, digest, content in rows:
        try:
            if not isinstance(content, bytes) or digest != row_digest(name, content):
                raise ValueError("wrong checksum")
            found.append(Preference.model_validate_json(content))
        except ValueError:
            damaged.append(f"the preference {name}")
    return found, tuple(damaged)


def per_pair(found: Iterable[Preference]) -> list[PairCounts]:
    """The preferences of each pair, the last judged pair last."""
    by_pair: dict[Pair, list[Preference]] = {}
    for one in found:
        by_pair.setdefault(one.pair, []).append(one)
    groups = sorted(by_pair.items(), key=lambda entry: entry[1][-1].at)
    return [_pair_counts(pair, group) for pair, group in groups]


def _pair_counts(pair: Pair, group: list[Preference]) -> PairCounts:
    first = sum(one.preferred == "first" for one in group)
    second = sum(one.preferred == "second" for one in group)
    return PairCounts(
        systems=pair.systems,
        grafts=pair.grafts,
        first=first,
        second=second,
        ties=len(group) - first - second,
        identical=sum(one.identical for one in group),
        share=wilson(first, first + second),
        p=sign_test(first, second),
        last=group[-1].at[:10],
    )

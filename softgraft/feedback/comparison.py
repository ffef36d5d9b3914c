"""Blind pairwise comparison: two systems answer the same questions, and a person prefers one answer without names."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from chains import DomainChain
from evaluation.items import Item, spread
from evaluation.rows import split_file
from softgraft.assembly.evaluation import held_out, system_names
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.feedback.entry import graft_digest
from softgraft.feedback.preferences import (
    Pair,
    Preference,
    Preferred,
    keep_preference,
    preference_name,
    preferences,
)
from softgraft.feedback.store import now

# Systems that read what the chain retrieves; the others need gold evidence or answer without any.
COMPARED = ("template", "text-twin", "source", "soft", "quote", "auto")
Choice = Literal["left", "right", "tie"]


@dataclass(frozen=True, slots=True)
class Shown:
    """One question with both answers in random order.

    `left_is_first` says whether the first system of the pair wrote the answer on the left: for `Comparison.prefer`, not
    for the person who judges.
    """

    item: Item
    left: str
    right: str
    left_is_first: bool


class Comparison:
    """Two systems of a domain, and the questions that are not judged yet.

    A retrained soft prompt or a changed template or index is another system, whose comparison begins anew.

    Args:
        domain: an open domain; its models load with the first question.
        systems: two names of `COMPARED`.
        questions: maximum number of questions, spread over the split.
        split: `dev`, or `test` for a last comparison.

    Raises:
        UsageError: if the domain's task does not answer questions, a name is unknown or not trained, the two are the
            same, or the split has no questions.
    """

    def __init__(
        self, domain: Domain, systems: Sequence[str], questions: int, split: Literal["dev", "test"] = "dev"
    ) -> None:
        name = domain.cli_name
        if domain.file.text_task is not None:
            raise UsageError(
                found=f"the task of {name} is {domain.file.task}, whose answers are right or wrong",
                expected="a domain that answers questions",
                next_step=f"softgraft eval {name}",
            )
        if len(systems) != 2 or systems[0] == systems[1]:
            raise UsageError(
                found=f"the systems {', '.join(systems) or '(none)'}",
                expected=f"two different ones of {', '.join(COMPARED)}",
                next_step=f"softgraft feedback {name} compare --systems {_other(systems)},quote",
            )
        trained, source = domain.manifest is not None, domain.source is not None
        system_names(systems, trained=trained, cli_name=name, among=COMPARED, source=source)
        self._domain = domain
        asked = held_out(domain.items(split), None, split_file(domain.folder, split))
        self._items = spread(asked, questions)
        self._chains = [DomainChain(domain.system(one).answering, domain.conversations.path) for one in systems]
        digests = [graft_digest(chain.answering.answered_by()) for chain in self._chains]
        self.pair = Pair(systems=(systems[0], systems[1]), grafts=(digests[0], digests[1]))

    def progress(self) -> tuple[int, int]:
        """Number of questions that are judged, and of all."""
        return len(self._items) - len(self._left()), len(self._items)

    def pending(self) -> Iterator[Shown]:
        """Answer the questions that are not judged yet, one by one. Twice the same answer is stored as a tie."""
        for item in self._left():
            history = [list(turn) for turn in item.history]
            first, second = (
                str(chain.invoke({"question": item.question, "history": history})["answer"]) for chain in self._chains
            )
            if first.split() == second.split():
                self._keep(item, "tie", identical=True)
                continue
            left_is_first = random.SystemRandom().random() < 0.5
            left, right = (first, second) if left_is_first else (second, first)
            yield Shown(item, left, right, left_is_first)

    def prefer(self, shown: Shown, choice: Choice) -> None:
        """Store what a person chose; it is not asked again."""
        preferred: Preferred = "tie"
        if choice != "tie":
            preferred = "first" if (choice == "left") == shown.left_is_first else "second"
        self._keep(shown.item, preferred)

    def _keep(self, item: Item, preferred: Preferred, *, identical: bool = False) -> None:
        keep_preference(
            self._domain,
            Preference(
                pair=self.pair,
                question_id=item.id,
                question=item.question,
                preferred=preferred,
                identical=identical,
                at=now(),
            ),
        )

    def _left(self) -> list[Item]:
        judged = {one.name for one in preferences(self._domain)[0]}
        return [item for item in self._items if preference_name(self.pair, item.id) not in judged]


def _other(systems: Sequence[str]) -> str:
    return next((name for name in systems if name in COMPARED and name != "quote"), "auto")

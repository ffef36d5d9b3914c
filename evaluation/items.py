"""Questions with answers, one JSON object a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluation.errors import ItemsError

_T = TypeVar("_T")


class Item(BaseModel):
    """One question.

    Attributes:
        answers: short answers, each good by itself.
        response: what the chatbot should say; training aims at it, or at the first answer where there is none.
        answerable: False where the documents hold no answer.
        doc_id, quote: where the answer stands; `doc_ids` where several documents do.
        group: the source; splits share no group.
        history: earlier [question, answer] pairs of the conversation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    question: Annotated[str, Field(min_length=1)]
    answers: tuple[str, ...] = ()
    response: str = ""
    answerable: bool = True
    doc_id: Annotated[str, BeforeValidator(lambda given: "" if given is None else given)] = ""
    doc_ids: tuple[str, ...] = ()
    quote: str = ""
    group: str = ""
    history: tuple[tuple[str, str], ...] = ()
    # Notes of the data's authors; read and kept, not used.
    source: str | None = None
    answerability: str | None = None
    question_type: str | tuple[str, ...] | None = None
    multi_turn: str | tuple[str, ...] | None = None

    @property
    def target(self) -> str:
        """What training aims at; empty where the data gives nothing."""
        return self.response or (self.answers[0] if self.answers else "")

    @property
    def references(self) -> tuple[str, ...]:
        """What a reply is compared with."""
        return (self.response,) if self.response else self.answers

    @property
    def documents(self) -> frozenset[str]:
        """Ids of the documents that hold the answer."""
        return frozenset(d for d in (self.doc_id, *self.doc_ids) if d)


def read_items(path: Path) -> list[Item]:
    """Read a question file.

    Raises:
        ItemsError: no such file, a line that is no JSON or no item, or an id that comes twice.
    """
    try:
        # Not splitlines: JSON lets U+2028 and its like stand in a string, where they end no line.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ItemsError(
            found=f"{path} cannot be read: {error}",
            expected="one JSON object a line, with id, question and answers",
            next_step=f"write {path}, or make the domain again: softgraft new NAME --from FOLDER",
        ) from error
    items: list[Item] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            items.append(Item.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ItemsError(
                found=f"line {number} of {path}: {place + ': ' if place else ''}{first['msg']}",
                expected="one JSON object a line, with id, question and answers",
                next_step=f"correct line {number} of {path}",
            ) from error
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ItemsError(
                found=f"the id {item.id!r} twice in {path}",
                expected="an id of its own for each question",
                next_step=f"rename one of the two in {path}",
            )
        seen.add(item.id)
    return items


def items_hash(items: Sequence[Item]) -> str:
    """SHA-256 over the questions and their targets."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode())
    return digest.hexdigest()


def spread(items: Sequence[_T], limit: int | None) -> list[_T]:
    """At most `limit` entries, evenly spread over the list, so that a part has all its kinds; None takes all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]

"""Questions with reference answers, one JSON object per line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluation.errors import ItemsError

_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)


class Item(BaseModel):
    """One question.

    Attributes:
        answers: short answers, each correct by itself.
        response: the full reply that the chatbot should give: the training target, if there is one.
        doc_id, quote: the document that holds the answer and its text there; `doc_ids` if several documents do.
        group: the source; train, dev and test share no group.
        history: earlier [question, answer] turns of the conversation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    question: Annotated[str, Field(min_length=1)]
    answers: tuple[str, ...] = ()
    response: str = ""
    answerable: bool = True
    doc_id: Annotated[str, BeforeValidator(lambda doc_id: "" if doc_id is None else doc_id)] = ""
    doc_ids: tuple[str, ...] = ()
    quote: str = ""
    group: str = ""
    history: tuple[tuple[str, str], ...] = ()
    # Annotations of the dataset's authors, which nothing here uses.
    source: str | None = None
    answerability: str | None = None
    question_type: str | tuple[str, ...] | None = None
    multi_turn: str | tuple[str, ...] | None = None

    @property
    def target(self) -> str:
        """Training target: the response, else the first short answer; empty if there is neither."""
        return self.response or (self.answers[0] if self.answers else "")

    @property
    def references(self) -> tuple[str, ...]:
        """References for exact match and F1: the response, else the short answers."""
        return (self.response,) if self.response else self.answers

    @property
    def documents(self) -> frozenset[str]:
        return frozenset(d for d in (self.doc_id, *self.doc_ids) if d)


def read_items(path: Path) -> list[Item]:
    expected = "one JSON object per line, with id, question and answers"
    create = f"write {path}, or create the domain again: softgraft new NAME --from FOLDER"
    return unique_items(read_json_lines(path, Item, expected=expected, create=create), path)


def read_json_lines(path: Path, model: type[_Model], *, expected: str, create: str) -> Iterator[tuple[int, _Model]]:
    """Line numbers and validated objects of a file with one JSON object per line; empty lines are skipped.

    `expected` and `create` are parts of the errors: the format, and the next step if the file cannot be read.
    """
    try:
        # Not splitlines(): JSON strings may contain U+2028 and other characters that it treats as line breaks.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ItemsError(found=f"{path} cannot be read: {error}", expected=expected, next_step=create) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parsed = model.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"]))
            raise ItemsError(
                found=f"line {number} of {path}: {location + ': ' if location else ''}{first['msg']}",
                expected=expected,
                next_step=f"correct line {number} of {path}",
            ) from error
        yield number, parsed


def unique_items(numbered: Iterable[tuple[int, Item]], path: Path) -> list[Item]:
    """The items of numbered lines; raises ItemsError if two have the same id."""
    lines: dict[str, int] = {}
    items: list[Item] = []
    for number, item in numbered:
        if item.id in lines:
            raise ItemsError(
                found=f"the id {item.id!r} in lines {lines[item.id]} and {number} of {path}",
                expected="a unique id per line",
                next_step=f"change one of the two in {path}",
            )
        lines[item.id] = number
        items.append(item)
    return items


def items_hash(items: Sequence[Item]) -> str:
    """SHA-256 over the items."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode())
    return digest.hexdigest()


def spread(items: Sequence[_T], limit: int | None) -> list[_T]:
    """At most `limit` entries, evenly spread over the list; None takes all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]

"""Questions with reference answers, in a JSONL or CSV file with one question per row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

from evaluation.errors import ItemsError
from evaluation.rows import RowFormat, read_data_file

_T = TypeVar("_T")
# Separates several answers or documents in one text.
SEPARATOR = "|"


class Item(BaseModel):
    """One question.

    Attributes:
        answers: short answers, each correct by itself.
        response: the full reply that the chatbot should give: the training target, if there is one.
        doc_id, quote: the document that holds the answer and its text there; `doc_ids` if several documents do.
        group: the source; train, dev and test share no group.
        history: earlier [question, answer] turns of the conversation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

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


def _texts(given: Any) -> Any:
    """A list of texts; one text may be a JSON list, or several texts separated by `|`."""
    if isinstance(given, str):
        parsed = _from_json(given) if given.lstrip().startswith("[") else None
        return parsed if isinstance(parsed, list) else [t for part in given.split(SEPARATOR) if (t := part.strip())]
    return [given] if isinstance(given, (int, float)) and not isinstance(given, bool) else given


def _from_json(given: Any) -> Any:
    """What a text holds as JSON; anything else as it is."""
    try:
        return from_json(given) if isinstance(given, str) else given
    except ValueError:
        return given


class _ItemRow(Item):
    """A question as it is written: lists may be texts, and the id may be missing."""

    id: str = ""
    answers: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    doc_ids: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    history: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_from_json)] = ()


QUESTION_ROWS = RowFormat(
    _ItemRow,
    "one JSON object per line, or a CSV file with a header, with question and answers",
    {"answer": "answers"},
    frozenset(("source", "answerability", "question_type", "multi_turn")),
)


@dataclass(frozen=True, slots=True)
class ItemFile:
    """The questions of a file, or the examples of a task, and the names of its columns that nothing uses."""

    path: Path
    items: tuple[Item, ...]
    ignored: tuple[str, ...] = ()


def read_items(path: Path) -> list[Item]:
    """The questions of a JSONL or CSV file; see `read_item_file`."""
    return list(read_item_file(path).items)


def read_item_file(path: Path) -> ItemFile:
    """The questions of a JSONL or CSV file. A question without an id is named after a digest of its text.

    Raises:
        ItemsError: if the file cannot be read, a row is malformed, or two rows have the same id.
    """
    create = f"write {path}, or create the domain again: softgraft new NAME --from FOLDER"
    file = read_data_file(path, QUESTION_ROWS, create=create)
    seen: Counter[str] = Counter()
    numbered = [(line, Item(**{**dict(row), "id": row.id or _digest_id(row, seen)})) for line, row in file.rows]
    return ItemFile(path, tuple(unique_items(numbered, path)), file.ignored)


def _digest_id(row: Item, seen: Counter[str]) -> str:
    """An id that depends on the question and its history, so that it stays when rows are added or sorted."""
    digest = "q-" + hashlib.sha256(repr((row.question, row.history)).encode()).hexdigest()[:10]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


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

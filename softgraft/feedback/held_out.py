"""The questions and documents of dev and test, on which a domain must not be trained."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from evaluation.items import Item, read_items
from evaluation.rows import split_file

HELD_OUT = ("dev", "test")


def plain(question: str) -> str:
    """A question without case, punctuation and white space, so that two spellings of it are equal."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    # Nothing but signs, such as "?!", is its own plain form.
    return "".join(character for character in folded if character.isalnum()) or folded


@dataclass(frozen=True)
class HeldOut:
    """What dev and test ask about.

    Attributes:
        questions: the split of each held-out question, by its plain form.
        documents: the split of each document that dev or test asks about and train does not.
    """

    questions: dict[str, str]
    documents: dict[str, str]


def held_out_questions(folder: Path, train: list[Item]) -> HeldOut:
    """What dev.jsonl and test.jsonl of a domain hold.

    Raises:
        ItemsError: if one of them is malformed.
    """
    questions: dict[str, str] = {}
    documents: dict[str, str] = {}
    trained = {name for item in train for name in _sources(item)}
    for split in HELD_OUT:
        path = split_file(folder, split)
        for item in read_items(path) if path.is_file() else []:
            questions.setdefault(plain(item.question), split)
            for name in _sources(item) - trained:
                documents.setdefault(name, split)
    return HeldOut(questions, documents)


def _sources(item: Item) -> set[str]:
    return {*item.documents, *([item.group] if item.group else [])}

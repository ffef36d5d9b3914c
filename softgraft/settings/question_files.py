"""The question files of a domain: reads a split, cuts dev from train if it is missing, and reports what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evaluation.items import Item, ItemFile, read_item_file
from evaluation.questions.dev_split import cut_dev
from evaluation.questions.references import DocumentNames, LostReference, resolve
from evaluation.rows import split_file
from retrieval import PassageStore
from retrieval.store.store import DATABASE_NAME

SplitName = Literal["train", "dev", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")
Cut = Callable[[Sequence[Item]], tuple[list[Item], list[Item]]]


@dataclass(frozen=True, slots=True)
class QuestionReport:
    """A report on the file of a split.

    Attributes:
        file: name of the file.
        questions: number of questions of the split.
        cut: number of questions in the file if train and dev were both cut from it; else None.
        ignored_columns: names of columns that nothing uses.
        lost: documents and quotes that the documents do not have.
    """

    split: SplitName
    file: str
    questions: int
    cut: int | None
    ignored_columns: tuple[str, ...]
    lost: tuple[LostReference, ...]


@dataclass(frozen=True, slots=True)
class SplitItems:
    """The items of a split, and the report on its file."""

    items: list[Item]
    report: QuestionReport


def has_split(folder: Path, split: SplitName) -> bool:
    """Whether a domain has a split; dev may be cut from train."""
    return split_file(folder, split).is_file() or (split == "dev" and split_file(folder, "train").is_file())


def read_split(folder: Path, split: SplitName, read: Callable[[Path], ItemFile], cut: Cut) -> SplitItems:
    """The items of a split. If a domain has no dev file, train and dev are cut from train, always in the same way.

    Raises:
        ItemsError: if the file of the split is missing or malformed.
    """
    path = split_file(folder, split)
    cuts = split != "test" and not split_file(folder, "dev").is_file() and split_file(folder, "train").is_file()
    if cuts:
        path = split_file(folder, "train")
    file = read(path)
    items = list(file.items)
    of_file = None
    if cuts:
        train, dev = cut(items)
        of_file, items = len(items), train if split == "train" else dev
    return SplitItems(items, QuestionReport(split, path.name, len(items), of_file, file.ignored, ()))


def read_questions(folder: Path, split: SplitName, build: Path) -> SplitItems:
    """The questions of a split. Paths of documents become their ids, and quotes the exact text of the documents.

    Before the first ingest, questions are taken as they are.
    """
    found, database = read_split(folder, split, read_item_file, cut_dev), build / "index" / DATABASE_NAME
    if not database.is_file():
        return found
    with PassageStore.open(database) as store:
        items, lost = resolve(found.items, DocumentNames(store))
    return SplitItems(items, replace(found.report, lost=tuple(lost)))

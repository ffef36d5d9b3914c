"""drafts.jsonl in a domain's folder: drafted questions with what was decided about them. It is text that may be edited.

Drafting appends lines, and a review replaces them, both under a lock and so that a killed process loses no line.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.errors import ItemsError
from evaluation.items import Item
from retrieval.regular_files import open_regular
from soft_prompt.files import write_bytes

DRAFTS, TRIED = "drafts.jsonl", "drafts-tried.jsonl"
Decision = Literal["", "accepted", "rejected"]


class Draft(BaseModel):
    """One drafted question.

    Attributes:
        answers: spans of the document, each correct by itself; empty if the documents do not answer the question.
        response: the reply to train on, or "" if the answer itself is it.
        doc_id: the document that holds the answer; of a question without an answer, the document that seems to.
        quote: the sentence with the answer, verbatim, at `start` to `end` of the document's text.
        writer: `rules`, or the model that worded the question.
        decision: of the review; "" before it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1)]
    question: Annotated[str, Field(min_length=1)]
    answers: tuple[str, ...] = ()
    response: str = ""
    answerable: bool = True
    doc_id: str = ""
    title: str = ""
    heading: str = ""
    quote: str = ""
    start: int = 0
    end: int = 0
    group: str = ""
    kind: str = ""
    writer: str = "rules"
    source: str = ""
    subject: str = ""
    decision: Decision = ""

    def item(self) -> Item:
        """The draft as a question of train.jsonl. An unanswerable question names no document."""
        return Item(
            id=self.id,
            question=self.question,
            answers=self.answers,
            response=self.response,
            answerable=self.answerable,
            doc_id=self.doc_id if self.answerable else "",
            quote=self.quote,
            group=self.group,
        )


def draft_id(question: str, doc_id: str) -> str:
    """An id that depends on the question and its document only."""
    return f"draft-{hashlib.sha256(f'{doc_id}{chr(31)}{question}'.encode()).hexdigest()[:10]}"


class DraftFile:
    """The drafts of a domain; `folder` is the domain's, `build` that of everything generated."""

    def __init__(self, folder: Path, build: Path) -> None:
        self.path = folder / DRAFTS
        self._lock = build / "drafts.lock"

    def read(self) -> list[Draft]:
        """All drafts in the order of the file; none if there is no file.

        Raises:
            ItemsError: if a line is malformed, or two have the same id.
        """
        drafts: dict[str, Draft] = {}
        for number, line in enumerate(complete_lines(self.path), 1):
            if not line.strip():
                continue
            try:
                draft = Draft.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise _problem(self.path, number, f"{where + ': ' if where else ''}{first['msg']}") from error
            if draft.id in drafts:
                raise _problem(self.path, number, f"the id {draft.id!r} a second time")
            drafts[draft.id] = draft
        return list(drafts.values())

    def append(self, draft: Draft) -> None:
        """Add a draft at the end, unless another run has added the same one meanwhile."""
        with self._locked():
            if all(known.id != draft.id for known in self.read()):
                append_line(self.path, draft.model_dump_json(exclude_defaults=True))

    def replace(self, changed: Draft) -> None:
        """Write a draft in place of the one with its id."""
        with self._locked():
            drafts = [changed if draft.id == changed.id else draft for draft in self.read()]
            lines = "".join(draft.model_dump_json(exclude_defaults=True) + "\n" for draft in drafts)
            write_bytes(self.path, lines.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            yield


def complete_lines(path: Path) -> list[str]:
    """The lines of a JSONL file, without the part of a last line that a killed process left; none if there is no file.

    Raises:
        ItemsError: if the file cannot be read.
    """
    if not path.exists():
        return []
    try:
        with open_regular(path) as file:
            content = file.read()
        # Not splitlines(): JSON strings may contain U+2028 and other characters that it treats as line breaks.
        *lines, last = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
        return [line.decode() for line in (*lines, *([last] if _is_json(last) else []))]
    except (OSError, UnicodeDecodeError) as error:
        raise ItemsError(
            found=f"{path} cannot be read: {error}",
            expected="one JSON object per line, in UTF-8",
            next_step=f"correct {path}, or move it away",
        ) from error


def append_line(path: Path, line: str, *, sync: bool = True) -> None:
    """Add a line to a JSONL file. What a killed process left of a line before it is removed.

    A line that cannot be written, as on a full disk, is not written in part. With `sync`, the line is on the disk
    afterwards, which takes time on a busy one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = None
    try:
        with path.open("a+b") as file:
            file.seek(0)
            content = file.read()
            last = content.rpartition(b"\n")[2]
            if last and _is_json(last):
                line = f"\n{line}"
            elif last:
                file.truncate(len(content) - len(last))
            end = file.seek(0, os.SEEK_END)
            file.write(f"{line}\n".encode())
            file.flush()
            if sync:
                os.fsync(file.fileno())
    except OSError:
        # Closed first: what is still buffered would be written at the next attempt.
        if end is not None:
            os.truncate(path, end)
        raise


def counts(drafts: Sequence[Draft]) -> dict[str, int]:
    """Number of drafts, of accepted and rejected ones, of those left, and of those without an answer."""
    decisions = Counter(draft.decision for draft in drafts)
    return {
        "drafted": len(drafts),
        "accepted": decisions["accepted"],
        "rejected": decisions["rejected"],
        "left": decisions[""],
        "unanswerable": sum(not draft.answerable for draft in drafts),
    }


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _problem(path: Path, number: int, message: str) -> ItemsError:
    return ItemsError(
        found=f"line {number} of {path}: {message}",
        expected="one draft per line, as `softgraft questions DOMAIN draft` writes it",
        next_step=f"correct or delete line {number} of {path}",
    )

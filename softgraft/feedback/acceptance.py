"""Turn feedback into questions of train.jsonl, each after a person has agreed.

A question that stands in dev or test is never added, nor one twice. The file is replaced in one step, so that a kill
leaves the old or the new one, and the entries are marked afterwards: what a killed process added is recognised by its
id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.added_rows import adding_rows, append_rows
from evaluation.items import Item, read_items
from evaluation.rows import split_file
from softgraft.errors import UsageError
from softgraft.feedback.entry import Feedback
from softgraft.feedback.evidence import supporting_quote
from softgraft.feedback.held_out import HeldOut, held_out_questions, plain
from softgraft.feedback.place import FeedbackDomain
from softgraft.feedback.store import entries, mark_accepted


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that can be added to train.jsonl, the row that would be added, and what to know before."""

    entry: Feedback
    row: Item
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The row as it would stand in train.jsonl."""
        return self.row.model_dump_json(exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that cannot be added, and why."""

    entry: Feedback
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be added to train.jsonl, and what cannot."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The ids of the rows that were added, and what was left out because it was added or changed meanwhile."""

    added: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


class Acceptance:
    """The feedback of a domain, on its way to train.jsonl.

    Args:
        domain: a `Domain`, or a `stored_domain`.
        rated_up: also answers that were rated up and not corrected.
        held_out_documents: also questions about documents that only dev or test asks about.

    Raises:
        UsageError: if the domain's task does not answer questions, or its training questions are in a CSV file.
    """

    def __init__(self, domain: FeedbackDomain, *, rated_up: bool = False, held_out_documents: bool = False) -> None:
        if domain.file.text_task is not None:
            raise UsageError(
                found=f"the task of {domain.file.name} is {domain.file.task}, whose answers are not rated",
                expected="a domain with `task: chat` or `extractive-qa`",
                next_step="add examples to train.jsonl by hand",
            )
        self.path = split_file(domain.folder, "train")
        if self.path.suffix != ".jsonl":
            raise UsageError(
                found=f"the training questions in {self.path}",
                expected="train.jsonl, to which accepted feedback is added",
                next_step=f"write the questions of {self.path.name} to train.jsonl, and move {self.path.name} away",
            )
        self._domain = domain
        self._rated_up = rated_up
        self._held_out_documents = held_out_documents

    def offer(self) -> Offer:
        """What would be added. Answers that were rated down and not corrected give no question and are not named.

        Raises:
            ItemsError: if a question file is malformed.
        """
        rows = _Rows(self._domain.folder, self.path)
        return self._offer(entries(self._domain), rows)

    def add(self, candidates: Sequence[Candidate]) -> Accepted:
        """Append rows to train.jsonl in one step, as they were shown. What is there already is not added again.

        Raises:
            ItemsError: if a question file is malformed.
            OSError: if train.jsonl cannot be written; it is as before then.
        """
        with adding_rows(self._domain.build):
            rows = _Rows(self._domain.folder, self.path)
            shown = {candidate.entry.id: candidate for candidate in candidates}
            current = self._offer([one for one in entries(self._domain) if one.id in shown], rows)
            added = [one for one in current.candidates if one.row == shown[one.entry.id].row]
            gone = shown.keys() - {one.entry.id for one in added} - {one.entry.id for one in current.left_out}
            if added:
                append_rows(self.path, [one.line for one in added])
            for candidate in added:
                mark_accepted(self._domain, candidate.entry)
        changed = [LeftOut(shown[one].entry, "it was added, changed or deleted meanwhile") for one in sorted(gone)]
        return Accepted(tuple(one.row.id for one in added), (*current.left_out, *changed))

    def _offer(self, found: Sequence[Feedback], rows: _Rows) -> Offer:
        candidates: list[Candidate] = []
        left_out: list[LeftOut] = []
        for entry in found:
            if not entry.correction and not (self._rated_up and entry.rating == "up"):
                continue
            if entry.id in rows.ids:
                if not entry.accepted:
                    # A process was killed after it had written the row and before the mark.
                    mark_accepted(self._domain, entry)
                continue
            candidate = self._candidate(entry, rows.cuts_dev)
            reason = self._objection(entry, candidate.row, rows)
            if reason:
                left_out.append(LeftOut(entry, reason))
            else:
                rows.questions[_key(candidate.row)] = candidate.row.id
                candidates.append(candidate)
        return Offer(tuple(candidates), tuple(left_out))

    def _objection(self, entry: Feedback, row: Item, rows: _Rows) -> str:
        """Why an entry is not added; "" if nothing speaks against it."""
        if entry.accepted:
            return f"it was accepted on {entry.accepted[:10]} and has been removed from {self.path.name} since"
        for text in (entry.question, entry.query):
            if split := rows.held_out.questions.get(plain(text)) if text else None:
                return f"its question stands in {split}, which must not be trained on"
        if twin := rows.questions.get(_key(row)):
            return f"its question stands in {self.path.name} already, or is about to ({twin})"
        split = rows.held_out.documents.get(row.doc_id, "")
        if split and not self._held_out_documents:
            return f"only {split} asks about its document {row.doc_id}; --held-out-documents adds it all the same"
        return ""

    def _candidate(self, entry: Feedback, cuts_dev: bool) -> Candidate:
        text = entry.correction or entry.answer
        notes: list[str] = []
        refuses = text.strip() == self._domain.file.refusal.strip() or (entry.refused and not entry.correction)
        quote = None if refuses else supporting_quote(entry, text, self._domain.build)
        if quote is None and not refuses:
            notes.append("no sentence of the evidence supports it, so the row names no document: check it")
        if cuts_dev:
            notes.append("dev is cut from train.jsonl, so other questions may be in it from now on")
        row = Item(
            id=entry.id,
            question=entry.question,
            response=text,
            answerable=not refuses,
            doc_id=quote.doc_id if quote else "",
            quote=quote.quote if quote else "",
            group=quote.doc_id if quote else "",
            # A question that was searched for as it is needs no turns before it.
            history=() if entry.query == entry.question else entry.history,
        )
        return Candidate(entry, row, tuple(notes))


class _Rows:
    """The questions that a domain has now."""

    def __init__(self, folder: Path, path: Path) -> None:
        train = read_items(path) if path.is_file() else []
        self.ids = {item.id for item in train}
        # Of a question in train or among the candidates before: its id.
        self.questions = {_key(item): item.id for item in train}
        self.held_out: HeldOut = held_out_questions(folder, train)
        self.cuts_dev = not split_file(folder, "dev").is_file()


def _key(item: Item) -> tuple[str, str]:
    """Two rows with this in common ask the same: a follow-up asks what it does after the question before it."""
    return plain(item.question), plain(item.history[-1][0]) if item.history else ""

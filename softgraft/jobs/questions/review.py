"""Decide about drafts one by one. Only accepted ones enter train.jsonl, and every decision is saved at once."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.added_rows import adding_rows, append_rows
from evaluation.items import read_items
from evaluation.rows import split_file
from evaluation.text_scores import contains_answer
from softgraft.domain import Domain
from softgraft.errors import SoftgraftError, UsageError
from softgraft.jobs.questions.draft_file import Decision, Draft, DraftFile, counts
from softgraft.jobs.questions.drafting import require_questions


@dataclass(frozen=True, slots=True)
class Edit:
    """New texts of a draft; None keeps the old one."""

    question: str | None = None
    answer: str | None = None
    reply: str | None = None


class DraftChangedError(SoftgraftError):
    """Another review decided about a draft, or changed it, after it was shown; nothing was written.

    Attributes:
        current: the draft as it is now; None if it was deleted.
    """

    def __init__(self, current: Draft | None, *, found: str, expected: str, next_step: str) -> None:
        self.current = current
        super().__init__(found=found, expected=expected, next_step=next_step)


class Review:
    """The drafts of a domain, and what is decided about them.

    Raises:
        UsageError: if the domain's task does not answer questions, or the training questions are in a CSV file.
        ItemsError: if drafts.jsonl or train.jsonl has a malformed line.
    """

    def __init__(self, domain: Domain) -> None:
        require_questions(domain)
        self._train = split_file(domain.folder, "train")
        if self._train.suffix != ".jsonl":
            raise UsageError(
                found=f"the training questions in {self._train}",
                expected="train.jsonl, to which a review adds questions",
                next_step=f"write the questions of {self._train.name} to train.jsonl, and move {self._train.name} away",
            )
        self._file = DraftFile(domain.folder, domain.build)
        self._drafts = {draft.id: draft for draft in self._file.read()}
        self._build = domain.build
        added = self._read_ids()
        for draft in self.left():
            if draft.id in added:
                # A process was killed after it had written the question and before the decision.
                self._save(draft.model_copy(update={"decision": "accepted"}))

    def left(self) -> list[Draft]:
        """The drafts without a decision, in the order of the file."""
        return [draft for draft in self._drafts.values() if not draft.decision]

    def counts(self) -> dict[str, int]:
        """Number of drafts by decision."""
        return counts(list(self._drafts.values()))

    def accept(self, draft: Draft) -> None:
        """Append a draft to train.jsonl, unless another review has done so meanwhile.

        Raises:
            DraftChangedError: if another review decided otherwise, or changed the text.
        """
        with adding_rows(self._build):
            self._require_as_shown(draft, "accepted")
            if draft.id not in self._read_ids():
                append_rows(self._train, [_row(draft)])
            self._save(draft.model_copy(update={"decision": "accepted"}))

    def reject(self, draft: Draft) -> None:
        """Never show a draft again.

        Raises:
            DraftChangedError: if another review decided otherwise, or changed the text.
        """
        with adding_rows(self._build):
            self._require_as_shown(draft, "rejected")
            self._save(draft.model_copy(update={"decision": "rejected"}))

    def edit(self, draft: Draft, edit: Edit) -> Draft:
        """Change the question, the answer or the reply of a draft; it still has to be accepted.

        A reply that does not contain a new answer is replaced by it, unless a new reply is given.

        Raises:
            DraftChangedError: if another review decided about the draft, or changed its text.
        """
        changed: dict[str, object] = {}
        if edit.question:
            changed["question"] = edit.question
        if edit.answer and draft.answerable:
            changed["answers"] = (edit.answer,)
            if draft.response and not contains_answer(draft.response, [edit.answer]):
                changed["response"] = edit.answer
        if edit.reply:
            changed["response"] = edit.reply
        edited = draft.model_copy(update=changed)
        with adding_rows(self._build):
            self._require_as_shown(draft, "", edited if changed else None)
            self._save(edited)
        return edited

    def _require_as_shown(self, shown: Draft, decision: Decision, edited: Draft | None = None) -> None:
        """Refuse to overwrite what another review did since a draft was shown. Call it in `adding_rows`.

        Args:
            shown: the draft that the reviewer saw.
            decision: of the reviewer; the same decision about the same text is no conflict.
            edited: the draft with the reviewer's edit, which the error shows so that it is not lost.

        Raises:
            DraftChangedError: if drafts.jsonl has something else.
        """
        current = next((draft for draft in self._file.read() if draft.id == shown.id), None)
        if current is not None and not current.decision and current.id in self._read_ids():
            # The other review was killed before it had saved its decision.
            current = current.model_copy(update={"decision": "accepted"})
            self._save(current)
        same_text = current is not None and current.model_copy(update={"decision": shown.decision}) == shown
        if current is not None and same_text and current.decision in (shown.decision, decision):
            return
        if current is None:
            self._drafts.pop(shown.id, None)
            found, remedy = f"deleted from {self._file.path}", "draft questions again if you want it back"
        else:
            self._drafts[shown.id] = current
            found = f"{current.decision or 'changed'} by another review"
            remedy = {
                "": "decide about its new text",
                "accepted": f'to change it, edit the line with "id":"{shown.id}" in {self._train}; to reject it, '
                "delete the line",
                "rejected": f'to review it again, delete "decision":"rejected" in its line of {self._file.path}',
            }[current.decision]
        if edited is not None:
            remedy += f". Your edit is not saved: {_row(edited)}"
        raise DraftChangedError(
            current,
            found=f"the draft {shown.id} was {found} meanwhile",
            expected="the draft as it was shown to you",
            next_step=remedy,
        )

    def _read_ids(self) -> set[str]:
        return {item.id for item in read_items(self._train)} if self._train.is_file() else set()

    def _save(self, draft: Draft) -> None:
        self._file.replace(draft)
        self._drafts[draft.id] = draft


def _row(draft: Draft) -> str:
    """A draft as a line of train.jsonl."""
    return draft.item().model_dump_json(exclude_defaults=True)

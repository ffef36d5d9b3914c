"""Notes on the question files of a domain, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.questions.references import LostReference
    from softgraft.settings.question_files import QuestionReport

# The whole list is in the output of --json.
_SHOWN = 3
_WIDTH = 80


def data_notes(reports: Iterable[QuestionReport]) -> list[str]:
    """Unused columns, a dev set that was cut from train, and documents and quotes that do not exist."""
    notes: list[str] = []
    for report in reports:
        # Train and dev may be cut from one file, whose columns are listed once.
        if report.ignored_columns and not (report.cut is not None and report.split == "dev"):
            notes.append(f"{report.file}: unused columns: {', '.join(report.ignored_columns)}")
        if report.cut is not None and report.split == "dev":
            notes.append(
                f"there is no dev.jsonl, so {report.questions} of the {report.cut} questions in {report.file} are dev, "
                "always the same; they share no group or document with train where that is possible"
            )
        quotes = [lost for lost in report.lost if lost.column == "quote"]
        ids = [lost for lost in report.lost if lost.column != "quote"]
        if ids:
            notes.append(f"{report.file}: {len(ids)} doc_id without a document: {_listed(ids)}")
        if quotes:
            notes.append(f"{report.file}: {len(quotes)} quotes that their document does not have: {_listed(quotes)}")
    return notes


def _listed(lost: Sequence[LostReference]) -> str:
    """The first of the lost values, each with its closest match, and the number of the others."""
    named = "; ".join(_named(reference) for reference in lost[:_SHOWN])
    more = len(lost) - _SHOWN
    return named + (f"; and {more} more (all in --json)" if more > 0 else "")


def _named(lost: LostReference) -> str:
    closest = f" (closest: {_short(lost.closest)})" if lost.closest else ""
    # The id may be a digest; people know their questions by their words.
    return f"{_short(lost.value)}{closest} of {_short(lost.question)}"


def _short(text: str) -> str:
    return repr(textwrap.shorten(text, _WIDTH, placeholder="…"))

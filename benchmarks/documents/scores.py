"""The scores of a reader's text for one case, and their means over cases."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.documents.case import Case
from benchmarks.documents.structure import has_cell, headings, records
from benchmarks.documents.words import is_number, plain, without_struck, words

# Shares between 0 and 1. A case without headings, list numbers or tables has no such score.
SHARES = ("recall", "spurious", "headings", "levels", "numbers", "cells")


def score(case: Case, text: str) -> dict[str, Any]:
    """All scores of a text. `falsified` lists what must not be there: forbidden strings, and invented numbers."""
    expected, produced = words(case.text), words(text)
    surplus = Counter(produced) - Counter(expected)
    optional = set(words(case.optional, list_marks=True))
    extra = sum(count for word, count in surplus.items() if word not in optional)
    return {
        "recall": common_length(expected, produced) / len(expected),
        "spurious": extra / len(produced) if produced else 0.0,
        "falsified": falsified(case, text),
        **_heading_scores(case, text),
        "numbers": _share([has_number(text, number) for number in case.numbers]),
        "cells": _cell_share(case, text),
    }


def common_length(expected: Sequence[str], produced: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(produced) + 1)
    for word in expected:
        before = 0
        for place, other in enumerate(produced, start=1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def falsified(case: Case, text: str) -> list[str]:
    """Forbidden strings in the text, and numbers that the document does not show."""
    shown = " ".join(plain(text).split())
    raw = " ".join(without_struck(text).split())
    found = [bad for bad in case.forbidden if occurs(bad, shown) or occurs(bad, raw)]
    known = set(words(f"{case.text}\n{case.optional}\n" + "\n".join(case.numbers), list_marks=True))
    invented = {word for word in words(text) if is_number(word) and word not in known}
    return [*found, *sorted(invented - set(found))]


def occurs(part: str, text: str) -> bool:
    """Whether a string occurs, not as a part of a longer word or number if it is in Latin script."""
    if not part.isascii():
        return part in text
    return re.search(rf"(?<![\w.,]){re.escape(part)}(?!\w)(?![.,]\d)", text) is not None


def has_number(text: str, number: str) -> bool:
    """Whether a list number stands before its entry: `3. Close the account`."""
    wanted, found = words(number, list_marks=True), words(text, list_marks=True)
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found)))


def _heading_scores(case: Case, text: str) -> dict[str, float | None]:
    """`headings`: the F1 of the headings found. `levels`: the share of expected headings with their level."""
    if case.headings is None:
        return {"headings": None, "levels": None}
    expected = [(level, " ".join(words(title))) for level, title in case.headings]
    found = headings(text)
    common = sum((Counter(title for _, title in expected) & Counter(title for _, title in found)).values())
    total = len(expected) + len(found)
    return {
        "headings": 2 * common / total if total else 1.0,
        "levels": sum((Counter(expected) & Counter(found)).values()) / len(expected) if expected else None,
    }


def _cell_share(case: Case, text: str) -> float | None:
    found = records(text) if case.rows else []
    return _share([has_cell(found, [*row.items()], name, value) for row in case.rows for name, value in row.items()])


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over cases; `falsified` and `failed` are numbers of cases. A file that cannot be read has recall 0."""
    found: dict[str, Any] = {"cases": len(rows)}
    for name in SHARES:
        values = [row[name] for row in rows if row.get(name) is not None]
        found[name] = round(statistics.mean(values), 4) if values else None
    found["falsified"] = sum(bool(row["falsified"]) for row in rows)
    found["failed"] = sum("error" in row for row in rows)
    seconds = [row["seconds"] for row in rows if row.get("seconds") is not None]
    found["seconds"] = round(statistics.median(seconds), 5) if seconds else None
    return found

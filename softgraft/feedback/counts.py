"""Counts of feedback: per day, and per graft with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from softgraft.feedback.entry import Feedback
from softgraft.feedback.intervals import Share, wilson
from softgraft.feedback.store import HasConversations, entries


@dataclass(frozen=True, slots=True)
class DayCounts:
    """The feedback of one day in UTC: ratings, and how many of them came with a correction."""

    day: str
    up: int
    down: int
    corrections: int


@dataclass(frozen=True, slots=True)
class GraftCounts:
    """The ratings of what one graft answered.

    Attributes:
        graft: digest of what answered; "" for answers of an earlier version, which did not store it.
        system, form: of the answers.
        soft_prompt, template, index: digests that `graft` covers.
        share: share of positive ratings, with its 95% interval.
        first, last: days of the first and the last rating.
    """

    graft: str
    system: str
    form: str
    soft_prompt: str
    template: str
    index: str
    up: int
    down: int
    corrections: int
    share: Share
    first: str
    last: str


def per_day(domain: HasConversations) -> list[DayCounts]:
    """The feedback of each day that has any, the first day first. Each rating counts on the day of its last change."""
    return counts_by_day(entries(domain))


def counts_by_day(found: Iterable[Feedback]) -> list[DayCounts]:
    """The same, of these entries."""
    by_day: dict[str, list[Feedback]] = {}
    for entry in found:
        by_day.setdefault(entry.at[:10], []).append(entry)
    return [DayCounts(day, *_counts(by_day[day])) for day in sorted(by_day)]


def per_graft(found: Iterable[Feedback]) -> list[GraftCounts]:
    """The ratings per graft and form of the answers, the last rated one last."""
    by_graft: dict[tuple[str, str], list[Feedback]] = {}
    for entry in sorted(found, key=lambda one: one.at):
        by_graft.setdefault((entry.graft, entry.form), []).append(entry)
    groups = sorted(by_graft.values(), key=lambda group: group[-1].at)
    return [_graft_counts(group) for group in groups]


def _graft_counts(group: list[Feedback]) -> GraftCounts:
    last, (up, down, corrections) = group[-1], _counts(group)
    return GraftCounts(
        graft=last.graft,
        system=last.system,
        form=last.form,
        **{name: last.answered_by.get(name, "") for name in ("soft_prompt", "template", "index")},
        up=up,
        down=down,
        corrections=corrections,
        share=wilson(up, up + down),
        first=group[0].at[:10],
        last=last.at[:10],
    )


def _counts(group: list[Feedback]) -> tuple[int, int, int]:
    up = sum(entry.rating == "up" for entry in group)
    return up, len(group) - up, sum(bool(entry.correction) for entry in group)

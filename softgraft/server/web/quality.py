"""GET /api/quality: the latest evaluation, feedback over time, and what is asked and refused most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from chains import Conversations
from softgraft.domain import Domain
from softgraft.feedback import read_feedback
from softgraft.feedback.counts import counts_by_day
from softgraft.jobs.report.files import read_evaluation
from softgraft.server.callers import shown_thread
from softgraft.server.served import ServedDomains

_MOST = 10
# Conversations that are counted, the most recent first: enough to see what is asked, and read in a moment.
_THREADS = 500


def add_quality_route(router: APIRouter, served: ServedDomains) -> None:
    @router.get("/api/quality")
    def quality(domain: str) -> dict[str, Any]:
        """A caller with a key sees the questions and ratings of its own conversations."""
        with served.open(domain) as opened:
            turns, threads = _own_turns(opened.conversations)
            rated = [one for one in read_feedback(opened).entries if shown_thread(one.thread) is not None]
            evaluation = _evaluation(opened)
        refused = [turn for turn in turns if turn.get("refused")]
        return {
            "evaluation": evaluation,
            "feedback": [asdict(counts) for counts in counts_by_day(rated)],
            "conversations": threads,
            "questions": len(turns),
            "refusals": len(refused),
            "asked": _most(turns),
            "refused": _most(refused),
        }


def _own_turns(conversations: Conversations) -> tuple[list[Mapping[str, Any]], int]:
    """The turns of the caller's latest conversations, and the number of these."""
    threads = [one.thread for one in conversations.threads() if shown_thread(one.thread) is not None][:_THREADS]
    return [turn for thread in threads for turn in conversations.transcript(thread)["turns"]], len(threads)


def _most(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The most frequent questions, ignoring case and spaces."""
    counts: Counter[str] = Counter()
    wording: dict[str, str] = {}
    for turn in turns:
        key = " ".join(turn["question"].casefold().split())
        counts[key] += 1
        wording.setdefault(key, turn["question"])
    return [{"question": wording[key], "count": count} for key, count in counts.most_common(_MOST)]


def _evaluation(domain: Domain) -> dict[str, Any] | None:
    """The report on test or, without one, on dev: one row per system."""
    for split in ("test", "dev"):
        report = read_evaluation(domain.build, split)
        if report is not None:
            changed = (domain.build / "reports" / f"eval-{split}.json").stat().st_mtime
            names = ("system", "accuracy", "token_f1", "unsupported", "refusal_accuracy", "wrong_refusals")
            return {
                "split": split,
                "at": datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
                "rows": [{name: row[name] for name in names} for row in report["rows"]],
            }
    return None

"""An evaluation from questions to report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chains import Evidence
from evaluation.items import Item
from evaluation.refusals import RefusalJudge
from evaluation.report import Report, compare, score_row
from evaluation.retrieval_scores import Gold, retrieval_scores
from evaluation.systems import Answers, System, answer_all, gold_evidence, retrieve_all, turns_of

# Deep enough for recall@5 and nDCG@10.
_RANKED = 10

OnProgress = Callable[[str, int, int], None]


def evaluate(
    items: Sequence[Item],
    systems: Sequence[System],
    judge: RefusalJudge | None,
    config: dict[str, Any],
    *,
    on_progress: OnProgress | None = None,
) -> tuple[Report, list[Answers]]:
    """Let every system answer every question.

    Args:
        items: held-out questions.
        systems: the rows, all over one index; `soft` is compared with each of the others.
        judge: tells worded refusals; None counts the gate's only.
        config: recorded with the report.
        on_progress: called with the system's name, answers done and answers in all.

    Returns:
        The report, and every answer.
    """
    tell = on_progress or (lambda *_: None)
    retrieving = next((s.answering for s in systems if s.source != "none"), systems[0].answering)
    gold = Gold(retrieving.index)
    evidence, seconds = retrieve_all(retrieving, items)
    found: list[Answers] = []
    for system in systems:
        given = {
            "none": lambda: [Evidence((), None, True)] * len(items),
            "retrieved": lambda: evidence,
            "gold": lambda: gold_evidence(retrieving, items, gold),
        }[system.source]()
        tell(system.name, 0, len(items))

        def on_reply(done: int, name: str = system.name) -> None:
            tell(name, done, len(items))

        spent = seconds if system.source == "retrieved" else 0.0
        found.append(answer_all(system, items, given, gold, judge, retrieval_seconds=spent, on_reply=on_reply))
        tell(system.name, len(items), len(items))
    queries = [retrieving.query(item.question, turns_of(item)) for item in items]
    ranked = retrieving.index.search_many(queries, _RANKED, weights=retrieving.settings.weights)
    scores = retrieval_scores(items, [[entry.passage for entry in r] for r in ranked], gold)
    ours = next((answers for answers in found if answers.system == "soft"), None)
    comparisons = [compare(ours, other) for other in found if ours is not None and other is not ours]
    return Report(tuple(map(score_row, found)), tuple(comparisons), scores, config), found

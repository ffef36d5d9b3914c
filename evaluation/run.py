"""An evaluation from questions to report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chains import Evidence
from chains.answering.answering import PreparedAnswer
from evaluation.items import Item
from evaluation.refusals import RefusalJudge
from evaluation.report import Report, compare, score_row
from evaluation.retrieval_scores import Gold, retrieval_scores
from evaluation.systems import Answers, System, answer_all, asked_of, gold_evidence, retrieve_all

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
    report = on_progress or (lambda *_: None)
    retrieving = next((s.answering for s in systems if s.source != "none"), systems[0].answering)
    gold = Gold(retrieving.index)
    retrieved = retrieve_all(retrieving, items)
    results: list[Answers] = []
    for system in systems:
        report(system.name, 0, len(items))

        def on_reply(done: int, name: str = system.name) -> None:
            report(name, done, len(items))

        spent = 0.0
        if system.source == "none":
            prepared = _prepared(system, items, [Evidence((), None, True)] * len(items))
        elif system.source == "gold":
            prepared = _prepared(system, items, gold_evidence(retrieving, items, gold))
        elif system.answering.template is retrieving.template:
            prepared, spent = retrieved.prepared, retrieved.seconds
        else:
            prepared = _prepared(system, items, [one.evidence for one in retrieved.prepared])
            spent = retrieved.seconds
        results.append(answer_all(system, items, prepared, gold, judge, retrieval_seconds=spent, on_reply=on_reply))
        report(system.name, len(items), len(items))
    ranked = retrieving.index.search_many(retrieved.queries, _RANKED, weights=retrieving.settings.weights)
    scores = retrieval_scores(items, [[entry.passage for entry in r] for r in ranked], gold)
    ours = next((answers for answers in results if answers.system == "soft"), None)
    comparisons = [compare(ours, other) for other in results if ours is not None and other is not ours]
    return Report(tuple(map(score_row, results)), tuple(comparisons), scores, config), results


def _prepared(system: System, items: Sequence[Item], evidence: Sequence[Evidence]) -> list[PreparedAnswer]:
    return [system.answering.prepare(*asked_of(item), known) for item, known in zip(items, evidence, strict=True)]

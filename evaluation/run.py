"""Run an evaluation: every system answers every question; the report compares them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chains import Evidence
from evaluation.items import Item
from evaluation.refusals import RefusalClassifier
from evaluation.report import Report, compare, score_system
from evaluation.retrieval_scores import GoldSpans, retrieval_scores
from evaluation.systems import (
    System,
    SystemAnswers,
    answer_all,
    constant_answers,
    gold_evidence,
    prepare_all,
    retrieve_all,
)

# Ranking depth for recall@5 and nDCG@10.
_DEPTH = 10

OnProgress = Callable[[str, int, int], None]


def evaluate(
    items: Sequence[Item],
    systems: Sequence[System],
    refusal_classifier: RefusalClassifier | None,
    config: dict[str, Any],
    *,
    majority: str | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Report, list[SystemAnswers]]:
    """Evaluate systems over one index on held-out questions; returns the report and the answers of each system.

    `soft` is compared with each of the others. Without a `refusal_classifier`, only refusals by the evidence score
    count.

    Args:
        config: recorded with the report.
        majority: the most frequent answer of train, for a row that always gives it; None adds no such row.
        on_progress: gets the name of the system, the number of its answers so far, and the total.
    """
    report_progress = on_progress or (lambda *_: None)
    results = [] if majority is None else [constant_answers("majority", majority, items)]
    if not systems:
        return Report(tuple(map(score_system, results)), (), None, config), results
    retrieving = next((s.answering for s in systems if s.source != "none"), systems[0].answering)
    gold = GoldSpans(retrieving.index)
    retrieved = retrieve_all(retrieving, items)
    for system in systems:
        report_progress(system.name, 0, len(items))

        def on_reply(done: int, name: str = system.name) -> None:
            report_progress(name, done, len(items))

        evidence, seconds = [answer.evidence for answer in retrieved.prepared], retrieved.seconds
        if system.source == "none":
            evidence, seconds = [Evidence((), None, True)] * len(items), 0.0
        elif system.source == "gold":
            evidence, seconds = gold_evidence(retrieving, items, gold), 0.0
        prepared = retrieved.prepared
        if system.source != "retrieved" or system.answering.template is not retrieving.template:
            prepared = prepare_all(system.answering, items, evidence)
        results.append(
            answer_all(system, items, prepared, gold, refusal_classifier, retrieval_seconds=seconds, on_reply=on_reply)
        )
        report_progress(system.name, len(items), len(items))
    rankings = retrieving.index.search_many(retrieved.queries, _DEPTH, weights=retrieving.settings.weights)
    scores = retrieval_scores(items, [[entry.passage for entry in ranking] for ranking in rankings], gold)
    soft = next((answers for answers in results if answers.system == "soft"), None)
    comparisons = [compare(soft, other) for other in results if soft is not None and other is not soft]
    return Report(tuple(map(score_system, results)), tuple(comparisons), scores, config), results

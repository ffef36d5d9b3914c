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
    Replies,
    System,
    SystemAnswers,
    constant_answers,
    generate_replies,
    gold_evidence,
    prepare_all,
    retrieve_all,
    score_answers,
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

    `auto` is compared with each of the others; without it, `soft` is. Without a `refusal_classifier`, only refusals
    by the evidence score count.

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
    replies: dict[tuple[str, str, str], Replies] = {}
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
        if (
            system.source != "retrieved"
            or system.answering.template is not retrieving.template
            or system.answering.settings.form != retrieving.settings.form
        ):
            prepared = prepare_all(system.answering, items, evidence)
        form = system.answering.settings.form
        key = (system.model or system.name, system.source, "generate" if form == "both" else form)
        if key not in replies:
            replies[key] = generate_replies(system, prepared, on_reply=on_reply)
        results.append(
            score_answers(
                system,
                items,
                prepared,
                replies[key],
                retrieved.queries,
                gold,
                refusal_classifier,
                retrieval_seconds=seconds,
            )
        )
        report_progress(system.name, len(items), len(items))
    rankings = retrieving.index.search_many(retrieved.queries, _DEPTH, weights=retrieving.settings.weights)
    scores = retrieval_scores(items, [[entry.passage for entry in ranking] for ranking in rankings], gold)
    by_name = {answers.system: answers for answers in results}
    ours = by_name.get("auto", by_name.get("soft"))
    comparisons = [compare(ours, other) for other in results if ours is not None and other is not ours]
    return Report(tuple(map(score_system, results)), tuple(comparisons), scores, config), results

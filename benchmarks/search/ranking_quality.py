"""Measures how well questions find the documents that answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.search.data import EVIDENCE_TOKENS, MAX_PASSAGES, DataSet, make_queries, query_texts
from benchmarks.search.rankings import METRICS, SERVED, SINGLE, Weights, rankers, ranking_scores
from benchmarks.tables import difference, estimate
from evaluation import contains_answer
from evaluation.items import Item, spread
from retrieval import Encoder, Index
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from softgraft.training.retrieval_fit import choose_weights

NEIGHBOURS = (0, 1, 2)


def measure_rankings(name: str, data: Path, work: Path, encoder: Encoder, limit: int | None) -> dict[str, Any]:
    """Every system on the test questions of one set; with the suffix "-rewritten", follow-ups are rewritten."""
    rewritten = name.endswith("-rewritten")
    source = DataSet(name.removesuffix("-rewritten"), data, work, encoder)
    test = source.items("test")
    with source.index() as index:
        queries, gold = make_queries(index, test, rewritten=rewritten, limit=limit)
        choice = choose_weights(index, source.weights, spread(source.items("dev"), limit))
        scores: dict[str, list[dict[str, float]]] = {}
        for system, rank in rankers(index, source.documents(), encoder, choice.weights).items():
            scores[system] = [ranking_scores(*pair) for pair in zip(rank(queries), gold, strict=True)]
        shown = answers_shown(index, test, choice.weights, rewritten=rewritten, limit=limit)
    return {
        "questions": len(queries),
        "chosen_on_dev": asdict(choice),
        "systems": {
            system: {metric: estimate([row[metric] for row in rows]) for metric in METRICS}
            for system, rows in scores.items()
        },
        "served_against": compare_served(scores),
        "answers_shown": shown,
    }


def compare_served(scores: Mapping[str, Sequence[Mapping[str, float]]], metric: str = "ndcg@10") -> dict[str, Any]:
    """The best single ranking, and the paired difference of the served ranking to every other system."""
    values = {system: [row[metric] for row in rows] for system, rows in scores.items()}
    best = max((system for system in values if system in SINGLE), key=lambda system: sum(values[system]))
    differences = {
        system: interval
        for system, theirs in values.items()
        if system != SERVED and (interval := difference(values[SERVED], theirs)) is not None
    }
    return {"metric": metric, "best_single": best, "differences": differences}


def answers_shown(
    index: Index, items: Sequence[Item], weights: Weights, *, rewritten: bool, limit: int | None
) -> dict[str, Any] | None:
    """How often the evidence contains a short answer, by neighbours; None if answers are free-form."""
    if any(item.history for item in items):
        return None
    items = spread(items, limit)
    rankings = index.search_many(query_texts(index, items, rewritten=rewritten), MAX_PASSAGES, weights=weights)
    count_tokens = index.encoder.count_tokens
    shown: dict[str, Any] = {}
    for neighbours in NEIGHBOURS:
        budget = EvidenceBudget(MAX_PASSAGES, tokens=EVIDENCE_TOKENS, neighbours=neighbours)
        texts = [
            [
                entry.passage.text
                for entry in within_budget(ranked, budget, expanded=index.expanded, count_tokens=count_tokens)
            ]
            for ranked in rankings
        ]
        hits = [contains_answer(" ".join(text), item.answers) for text, item in zip(texts, items, strict=True)]
        tokens = [sum(map(count_tokens, text)) for text in texts]
        shown[str(neighbours)] = {"answer": estimate(hits), "tokens": sum(tokens) / len(tokens)}
    return shown

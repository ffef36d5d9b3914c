"""Measures the methods of making a query from a follow-up question."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.search.condense_methods import METHODS, FollowUp, Search
from benchmarks.search.data import SEED, DataSet
from benchmarks.search.rankings import METRICS, ranking_scores
from benchmarks.tables import difference, estimate
from evaluation import Item, read_items
from evaluation.items import spread
from retrieval import Encoder

# The baseline: the last turn alone.
ALONE = "off"
# Methods that decide themselves whether to rewrite a question.
DECIDING = (ALONE, "join by words", "join by evidence")


def measure_follow_ups(
    split: str, methods: Mapping[str, tuple[str, Search]], data: Path, work: Path, encoder: Encoder, limit: int | None
) -> dict[str, Any]:
    """The metrics of each method on the follow-ups of `mtrag`, and its gain over the last turn alone."""
    source = DataSet("mtrag", data, work, encoder)
    items = [item for item in read_items(data / "mtrag" / f"{split}.jsonl") if item.history and item.documents]
    items = spread(items, limit)
    follow_ups = [FollowUp(item.question, item.history) for item in items]
    rows: dict[str, dict[str, Any]] = {}
    baseline: dict[str, list[float]] = {}
    with source.index() as index:
        for name, (_, search) in methods.items():
            start = time.perf_counter()
            rankings = search(index, follow_ups, source.weights)
            milliseconds = 1000 * (time.perf_counter() - start) / len(items)
            scores = [
                ranking_scores(ranking.documents, frozenset(item.doc_ids) or item.documents)
                for ranking, item in zip(rankings, items, strict=True)
            ]
            values = {metric: [row[metric] for row in scores] for metric in METRICS}
            baseline = baseline or values
            rows[name] = {
                **{metric: estimate(values[metric]) for metric in METRICS},
                "gain": {metric: difference(values[metric], baseline[metric]) for metric in METRICS},
                "rewritten": sum(ranking.rewritten for ranking in rankings) / len(items),
                "milliseconds": milliseconds,
            }
            print(f"mtrag {split}: {name}", flush=True)
    return {"questions": len(items), "methods": rows}


def measure_standalone(
    questions: str, histories: str, split: str, data: Path, work: Path, encoder: Encoder, limit: int
) -> dict[str, Any]:
    """How many standalone questions a method rewrites, and whether their document stays among the best five.

    The questions of one set come after unrelated conversations of another.
    """
    rng = random.Random(SEED)
    source = DataSet(questions, data, work, encoder)
    items = spread(read_items(data / questions / f"{split}.jsonl"), limit)
    others = read_items(data / histories / f"{split}.jsonl")
    follow_ups = [FollowUp(item.question, _unrelated_history(item, others, rng)) for item in items]
    rows: dict[str, dict[str, float]] = {}
    with source.index() as index:
        for name in DECIDING:
            rankings = METHODS[name][1](index, follow_ups, source.weights)
            hits = [bool(set(r.documents[:5]) & item.documents) for r, item in zip(rankings, items, strict=True)]
            rewritten = sum(ranking.rewritten for ranking in rankings) / len(items)
            rows[name] = {"rewritten": rewritten, "recall@5": sum(hits) / len(items)}
            print(f"{questions} behind {histories}, {split}: {name}", flush=True)
    return {"questions": len(items), "methods": rows}


def _unrelated_history(item: Item, others: Sequence[Item], rng: random.Random) -> tuple[tuple[str, str], ...]:
    """A conversation of `mtrag`, or a question about another source with its answer."""
    while True:
        other = rng.choice(others)
        if other.history:
            return other.history
        if other.multi_turn is None and other.group != item.group:
            return ((other.question, other.target),)

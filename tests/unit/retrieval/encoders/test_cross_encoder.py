"""Reranking by a scorer of query-passage pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import Encoder, Index, ingest, open_index
from retrieval.documents import embedded_text
from retrieval.encoders.cross_encoder import CROSS_ENCODER_DEPTH, cross_encoder_order


class LongestFirst:
    """Scores a pair by the length of the passage, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.pairs: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.calls += 1
        self.pairs.extend(pairs)
        return np.array([min(1.0, len(text) / 1000) for _, text in pairs], dtype=np.float32)


@pytest.fixture
def scorer() -> LongestFirst:
    return LongestFirst()


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder, scorer: LongestFirst) -> Iterator[Index]:
    rows = [f'{{"id": "r{n}", "text": "A card of the bell{" and more" * (n * 7 % 20)}."}}' for n in range(20)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder, scorer) as opened:
        yield opened


def test_the_best_passages_are_in_the_order_of_the_scores(index: Index, scorer: LongestFirst) -> None:
    results = index.search_many(["card", "bell"], 20)
    assert scorer.calls == 1
    assert {query for query, _ in scorer.pairs} == {"card", "bell"}
    for ranked in results:
        lengths = [
            len(embedded_text(e.passage.title, e.passage.heading, e.passage.text)) for e in ranked[:CROSS_ENCODER_DEPTH]
        ]
        assert lengths == sorted(lengths, reverse=True)
        assert len(set(lengths)) == CROSS_ENCODER_DEPTH
        scores = [entry.score for entry in ranked]
        assert scores == sorted(scores, reverse=True)


def test_the_reranker_orders_the_results_of_a_plain_search(index: Index, encoder: Encoder, tmp_path: Path) -> None:
    with open_index(tmp_path / "index", encoder) as plain:
        usual = plain.search("card", 20)
    results = index.search("card", 20)
    assert {e.passage.id for e in results[:CROSS_ENCODER_DEPTH]} == {e.passage.id for e in usual[:CROSS_ENCODER_DEPTH]}
    assert [e.passage.id for e in results[CROSS_ENCODER_DEPTH:]] == [e.passage.id for e in usual[CROSS_ENCODER_DEPTH:]]
    assert [e.passage.id for e in results] != [e.passage.id for e in usual]


def test_without_reranking_the_fused_order_remains(index: Index, scorer: LongestFirst) -> None:
    assert index.search("card", 3, rerank=False)[0].score < 0.1
    assert scorer.calls == 0


def test_an_empty_ranking_is_not_scored(scorer: LongestFirst) -> None:
    assert cross_encoder_order(scorer, [], []) == []
    assert cross_encoder_order(scorer, ["x"], [[]]) == [[]]
    assert scorer.calls == 0

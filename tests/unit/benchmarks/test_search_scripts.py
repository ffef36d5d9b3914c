"""The retrieval benchmark: metrics, dev split, caching encoder, evidence score."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from evaluation import Item
from tests.support.hashing_encoder import HashingEncoder

pytestmark = pytest.mark.bench


def test_metrics_follow_from_the_rank_of_a_single_document() -> None:
    from benchmarks.search.rankings import METRICS, ranking_scores

    ranked = [f"d{n}" for n in range(12)]
    third = ranking_scores(ranked, {"d2"})
    assert tuple(third) == METRICS
    assert list(third.values()) == pytest.approx([0, 1, 1, 1 / math.log2(4), 1 / 3])
    assert list(ranking_scores(ranked, {"d0"}).values()) == [1, 1, 1, 1, 1]
    assert list(ranking_scores(ranked, {"d10"}).values()) == [0, 0, 0, 0, 0]
    assert list(ranking_scores([], {"d0"}).values()) == [0, 0, 0, 0, 0]
    # Only the first occurrence of a document counts.
    assert ranking_scores(["a", "a", "b"], {"b"})["mrr@10"] == 0.5


def test_metrics_with_several_gold_documents() -> None:
    from benchmarks.search.rankings import ranking_scores

    scores = ranking_scores(["a", "x", "b"], {"a", "b", "c"})
    assert scores["recall@1"] == 1
    assert scores["recall@5"] == pytest.approx(2 / 3)
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert scores["ndcg@10"] == pytest.approx(1.5 / best)
    many = {f"d{n}" for n in range(20)}
    assert ranking_scores([f"d{n}" for n in range(10)], many)["ndcg@10"] == pytest.approx(1)
    assert ranking_scores([f"d{n}" for n in range(10)], many)["recall@10"] == 1
    with pytest.raises(ValueError, match="without a document"):
        ranking_scores(["a"], set())


def test_dev_and_train_share_no_source() -> None:
    from benchmarks.search.data import source_of, train_and_dev

    items = [Item(id=f"{n}", question="?", group=f"g{n % 9}") for n in range(90)]
    talks = [Item(id=f"talk{n % 9}-t{n}", question="?", group="all", history=(("a", "b"),)) for n in range(90)]
    for some in (items, talks):
        train, dev = train_and_dev(some)
        assert {source_of(item) for item in train}.isdisjoint(source_of(item) for item in dev)
        assert sorted(item.id for item in (*train, *dev)) == sorted(item.id for item in some)
        assert 40 <= len(dev) <= 60
        assert train_and_dev(some) == (train, dev)


def test_follow_ups_are_rewritten_as_in_the_chain(tmp_path: Path) -> None:
    from benchmarks.search.data import make_queries
    from retrieval import ingest, open_index

    encoder = HashingEncoder(dimension=256)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "card.txt").write_text("A replacement card costs 12 euros.\n")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    history = (("A replacement card costs?", "12 euros."),)
    item = Item(id="1", question="And what about that?", doc_id="a", doc_ids=("b", "c"), history=history)
    with open_index(tmp_path / "index", encoder) as index:
        assert make_queries(index, [item], rewritten=False) == ([item.question], [{"b", "c"}])
        joined, _ = make_queries(index, [item], rewritten=True)
        assert joined == [f"A replacement card costs? {item.question}"]
        assert make_queries(index, [Item(id="2", question="Where?")], rewritten=False) == ([], [])


def test_a_text_is_encoded_once() -> None:
    from benchmarks.search.data import CachingEncoder

    encoder = HashingEncoder()
    caching = CachingEncoder(encoder)
    first = caching.encode(["one", "two", "one"])
    again = caching.encode(["two", "three"])
    assert encoder.encoded == ["one", "two", "three"]
    assert np.array_equal(first[1], again[0])
    assert np.allclose(first, encoder.encode(["one", "two", "one"]))
    assert caching.encode([]).shape == (0, encoder.dimension)


def test_the_nearest_sentence_of_the_evidence_is_scored(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.encoder_rows import measure_sentences
    from retrieval import ingest, open_index

    encoder = HashingEncoder(dimension=512)
    (tmp_path / "docs").mkdir()
    text = "# Cards\n\nA replacement card costs 12 euros. The yard is closed at night.\n"
    (tmp_path / "docs" / "card.md").write_text(text)
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    items = [
        Item(id="1", question="What does a replacement card cost?", answers=["12 euros"]),
        Item(id="2", question="Is the yard closed or is a replacement card closed?", answers=["12 euros"]),
    ]
    with open_index(tmp_path / "index", encoder) as index:
        scores = measure_sentences(index, encoder, items, (1.0, 0.5))
        assert measure_sentences(index, encoder, [Item(id="3", question="?")], (1.0, 0.5)) is None
    assert scores is not None
    assert scores["questions"] == 2
    assert {name: value["mean"] for name, value in scores.items() if name != "questions"} == {
        "evidence": 1.0,
        "best_with_heading": 0.5,
        "best_two_with_heading": 1.0,
        "best_alone": 0.5,
        "best_two_alone": 1.0,
    }


def test_the_served_ranking_is_compared_with_the_best_single_ranking() -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.ranking_quality import compare_served
    from benchmarks.search.rankings import METRICS

    def rows(value: float) -> list[dict[str, float]]:
        return [dict.fromkeys(METRICS, value + n / 100) for n in range(20)]

    comparison = compare_served({"dense": rows(0.2), "bm25": rows(0.5), "hybrid": rows(0.6), "bm25s-whole": rows(0.4)})
    assert comparison["best_single"] == "bm25"
    assert comparison["differences"]["bm25"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert "hybrid" not in comparison["differences"]


def test_the_calibration_error_separates_good_scales_from_bad_ones() -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.refusals.evidence import error_interval, evaluate_scores
    from retrieval.ranking.evidence_score import LabelledRanking

    rng = np.random.default_rng(1)
    scores = rng.random(2000)
    answered = rng.random(2000) < scores
    good, bad = error_interval(scores, answered), error_interval(scores**3, answered)
    assert 0 <= good["low"] <= good["high"] < 0.05 < 0.15 < bad["low"] < bad["mean"] < bad["high"]
    labelled = [LabelledRanking([], bool(label), bool(label)) for label in answered]
    evaluation = evaluate_scores(scores.tolist(), labelled, 0.5)
    assert evaluation["answered_of_those_above_half"] == pytest.approx(0.75, abs=0.05)
    assert evaluation["refusals"]["wrong"] == pytest.approx(0.25, abs=0.05)

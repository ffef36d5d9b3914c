"""The benchmark of retrieval: its metrics, its dev cut, and that a run can be taken up again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from evaluation import Item
from tests.support.hashing_encoder import HashingEncoder


def test_a_single_document_is_scored_by_its_rank() -> None:
    from benchmarks.search.metrics import METRICS, scores_of

    ranked = [f"d{n}" for n in range(12)]
    third = scores_of(ranked, {"d2"})
    assert tuple(third) == METRICS
    assert list(third.values()) == pytest.approx([0, 1, 1, 1 / math.log2(4), 1 / 3])
    assert list(scores_of(ranked, {"d0"}).values()) == [1, 1, 1, 1, 1]
    assert list(scores_of(ranked, {"d10"}).values()) == [0, 0, 0, 0, 0]
    assert list(scores_of([], {"d0"}).values()) == [0, 0, 0, 0, 0]
    # A document counts where its best passage stands.
    assert scores_of(["a", "a", "b"], {"b"})["mrr@10"] == 0.5


def test_several_documents_share_the_gain() -> None:
    from benchmarks.search.metrics import scores_of

    found = scores_of(["a", "x", "b"], {"a", "b", "c"})
    assert found["recall@1"] == 1
    assert found["recall@5"] == pytest.approx(2 / 3)
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert found["ndcg@10"] == pytest.approx(1.5 / best)
    many = {f"d{n}" for n in range(20)}
    assert scores_of([f"d{n}" for n in range(10)], many)["ndcg@10"] == pytest.approx(1)
    assert scores_of([f"d{n}" for n in range(10)], many)["recall@10"] == 1
    with pytest.raises(ValueError, match="without a document"):
        scores_of(["a"], set())


def test_dev_and_train_share_no_source() -> None:
    from benchmarks.search.data import cut, source_of

    items = [Item(id=f"{n}", question="?", group=f"g{n % 9}") for n in range(90)]
    talks = [Item(id=f"talk{n % 9}-t{n}", question="?", group="all", history=(("a", "b"),)) for n in range(90)]
    for some in (items, talks):
        train, dev = cut(some)
        assert {source_of(item) for item in train}.isdisjoint(source_of(item) for item in dev)
        assert sorted(item.id for item in (*train, *dev)) == sorted(item.id for item in some)
        assert 40 <= len(dev) <= 60
        assert cut(some) == (train, dev)


def test_follow_ups_are_searched_for_as_the_chain_does(tmp_path: Path) -> None:
    from benchmarks.search.data import asked
    from retrieval import ingest, open_index

    encoder = HashingEncoder(dimension=256)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "card.txt").write_text("A replacement card costs 12 euros.\n")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    told = (("A replacement card costs?", "12 euros."),)
    item = Item(id="1", question="And what about that?", doc_id="a", doc_ids=("b", "c"), history=told)
    with open_index(tmp_path / "index", encoder) as index:
        [alone], [joined] = asked(index, [item], rewritten=False), asked(index, [item], rewritten=True)
        assert (alone.query, joined.query) == (item.question, f"A replacement card costs? {item.question}")
        assert alone.gold == {"b", "c"}
        assert asked(index, [Item(id="2", question="Where?")], rewritten=False) == []


def test_vectors_are_remembered_from_run_to_run(tmp_path: Path) -> None:
    from benchmarks.search.data import RememberingEncoder

    encoder = HashingEncoder()
    first = RememberingEncoder(encoder, tmp_path / "vectors.sqlite").encode(["one", "two", "one"])
    assert len(encoder.encoded) == 2
    again = RememberingEncoder(encoder, tmp_path / "vectors.sqlite").encode(["two", "three"])
    assert encoder.encoded[2:] == ["three"]
    assert np.array_equal(first[1], again[0])
    assert np.allclose(first, encoder.encode(["one", "two", "one"]))


def test_vectors_are_remembered_by_several_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from benchmarks.search.data import RememberingEncoder

    encoder = HashingEncoder()
    remembering = RememberingEncoder(encoder, tmp_path / "vectors.sqlite")
    expected = remembering.encode(["word"])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(remembering.encode, [["word", f"word {n}"] for n in range(8)]))
    assert all(np.array_equal(vectors[0], expected[0]) for vectors in found)
    assert encoder.encoded.count("word") == 1


def test_what_is_served_is_compared_with_the_best_single_ranking() -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.metrics import METRICS
    from benchmarks.search.quality import against

    def rows(value: float) -> list[dict[str, float]]:
        return [dict.fromkeys(METRICS, value + n / 100) for n in range(20)]

    found = against({"dense": rows(0.2), "bm25": rows(0.5), "hybrid": rows(0.6), "bm25s-whole": rows(0.4)})
    assert found["best_single"] == "bm25"
    assert found["differences"]["bm25"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert "hybrid" not in found["differences"]


def test_results_of_other_settings_are_not_continued(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.quality import read_results, write_results

    out = tmp_path / "results" / "out.json"
    results = read_results(out, {"config": {"limit": None}})
    results["rankings"]["squad"] = {"questions": 1}
    write_results(out, results)
    assert read_results(out, {"config": {"limit": None}}) == results
    assert [path.name for path in out.parent.iterdir()] == ["out.json"]
    with pytest.raises(SystemExit, match="another --out"):
        read_results(out, {"config": {"limit": 3}})
    assert json.loads(out.read_text(encoding="utf-8")) == results


def test_a_calibrated_scale_is_told_from_one_that_is_not() -> None:
    pytest.importorskip("bm25s")
    from benchmarks.search.evidence import error_interval, judge
    from retrieval.ranking.evidence_score import Labelled

    rng = np.random.default_rng(1)
    scores = rng.random(2000)
    answered = rng.random(2000) < scores
    good, bad = error_interval(scores, answered), error_interval(scores**3, answered)
    assert 0 <= good["low"] <= good["high"] < 0.05 < 0.15 < bad["low"] < bad["mean"] < bad["high"]
    labelled = [Labelled([], bool(label), bool(label)) for label in answered]
    found = judge(scores.tolist(), labelled, 0.5)
    assert found["answered_of_those_above_half"] == pytest.approx(0.75, abs=0.05)
    assert found["refusals"] == found["refusals_at_half"]
    assert found["refusals"]["wrong"] == pytest.approx(0.25, abs=0.05)
    assert sum(one["questions"] for one in found["reliability"]) == 2000

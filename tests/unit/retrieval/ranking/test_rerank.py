"""Reranking by the best sentences and the query's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval import Encoder, Index, Passage, RankedPassage, ingest, open_index
from retrieval.ranking.rerank import DEPTH, POOL, SentenceReranker

ROWS = (
    '{"id": "one", "text": "The parcel fee is nine euros. Nobody pays at night. The yard is closed for winter."}\n'
    '{"id": "other", "text": "The parcel came. A fee list hangs there. It is nine. Some euros lay around."}\n'
)


def ranked(name: str, text: str, *, dense: float = 0.5, coverage: float = 0.5) -> RankedPassage:
    return RankedPassage(Passage(name, name, "", "", text, 0, len(text)), 0.1, dense, 0.0, coverage)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text(ROWS, encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder) as opened:
        yield opened


def test_of_passages_with_the_same_words_the_one_with_the_best_sentence_wins(encoder: Encoder) -> None:
    query = encoder.encode(["the parcel fee is nine euros"])
    whole = ranked("a", "The parcel fee is nine euros. The yard is closed.")
    torn = ranked("b", "The parcel came. A fee list hangs there. It is nine. Some euros lay around.")
    [results] = SentenceReranker(encoder).rerank(query, [[torn, whole]], (1.0, 0.5))
    assert [entry.passage.id for entry in results] == ["a", "b"]
    assert results[0].sentence > 0.9 > results[1].sentence
    assert results[0].score > results[1].score


@pytest.mark.parametrize(
    ("weights", "first"),
    [((1.0, 0.5), "told"), ((0.0, 0.5), "worded"), ((1.0, 0.0), "told"), ((1.0, 4.0), "worded")],
)
def test_weights_decide_between_meaning_and_words(encoder: Encoder, weights: tuple[float, float], first: str) -> None:
    entries = [ranked("told", "x", dense=0.9, coverage=0.2), ranked("worded", "x", dense=0.4, coverage=1.0)]
    [results] = SentenceReranker(encoder).rerank(encoder.encode(["y"]), [entries], weights)
    assert results[0].passage.id == first


def test_each_line_of_a_list_is_a_sentence(encoder: Encoder) -> None:
    query = encoder.encode(["gold card 90 euros"])
    entry = ranked("a", "- plain card 20 euros\n- gold card 90 euros\n- black card 300 euros")
    [[results]] = SentenceReranker(encoder).rerank(query, [[entry]], (1.0, 0.5))
    # The list mark belongs to the line.
    assert results.sentence > 0.85


def test_sentences_are_encoded_once_and_not_with_weight_0(index: Index, encoder: Encoder) -> None:
    def read(query: str = "the parcel fee") -> list[str]:
        before = len(encoder.encoded)  # type: ignore[attr-defined]
        index.search(query, 2, weights=weights)
        return list(encoder.encoded[before:])  # type: ignore[attr-defined]

    weights = (0.0, 1.0)
    assert read() == ["the parcel fee"]
    weights = (1.0, 0.5)
    assert len(read()) == 1 + 3 + 4
    assert read("the parcels fee") == ["the parcels fee"]


def test_scores_are_the_weighted_sums(index: Index, encoder: Encoder) -> None:
    results = index.search("the parcel fee is nine euros", 2)
    assert [entry.passage.doc_id for entry in results] == ["one", "other"]
    for entry in results:
        assert -1.0 <= entry.sentence <= 1.0
        assert entry.around == entry.coverage
        words = 0.8 * entry.coverage + 0.1 * np.log1p(entry.bm25)
        assert entry.score == pytest.approx(entry.dense + 0.5 * entry.sentence + 0.5 * words)
    assert SentenceReranker(encoder).rerank(np.zeros((0, encoder.dimension), np.float32), [], (1.0, 0.5)) == []


@pytest.mark.parametrize("name", ["multilingual-e5-small", "intfloat/multilingual-e5-base", "/models/e5-large-v2"])
def test_a_difference_between_cosines_of_e5_counts_more(index: Index, encoder: Encoder, name: str) -> None:
    # All its cosines are close together, so the same words would outweigh any meaning.
    entries = [ranked("told", "x", dense=0.86, coverage=0.2), ranked("worded", "x", dense=0.80, coverage=0.8)]
    query = encoder.encode(["y"])
    [plain] = SentenceReranker(encoder).rerank(query, [entries], (1.0, 0.5))
    assert index.cosine_scale == 1.0
    encoder.id = f"{name}@sha256:1"  # type: ignore[misc]
    [scaled] = SentenceReranker(encoder).rerank(query, [entries], (1.0, 0.5))
    assert [entry.passage.id for entry in plain] == ["worded", "told"]
    assert [entry.passage.id for entry in scaled] == ["told", "worded"]
    assert index.cosine_scale > 1.0


def test_the_first_passages_do_not_depend_on_k(tmp_path: Path, encoder: Encoder) -> None:
    words = ["parcel", "fee", "nine", "euros", "yard", "winter", "night"]
    texts = [f"The {words[n % 7]} of {words[n * 3 % 7]} is {n}. A {words[n // 7]} lies around." for n in range(49)]
    rows = [f'{{"id": "r{n}", "text": "{text}"}}' for n, text in enumerate(texts)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder) as index:
        whole = index.search("the parcel fee in winter", 49)
        assert len(whole) == 49
        assert [entry.score for entry in whole] == sorted((entry.score for entry in whole), reverse=True)
        for k in (1, 4, DEPTH, POOL, POOL + 5):
            assert [e.passage.id for e in index.search("the parcel fee in winter", k)] == [
                e.passage.id for e in whole[:k]
            ]


def test_passages_of_one_ranking_are_weighed_whatever_its_weight(tmp_path: Path, encoder: Encoder) -> None:
    rows = [f'{{"id": "r{n}", "text": "parcel fee nine euros night {n}"}}' for n in range(60)]
    rows.append('{"id": "rare", "text": "Zyx. " , "title": ""}')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    query = "zyx parcel fee nine euros night"
    with open_index(tmp_path / "index", encoder) as index:
        # With these weights, a passage that only BM25 finds has a fused rank below fifty others.
        fused = [entry.passage.doc_id for entry in index.search(query, 61, weights=(1.0, 0.1), rerank=False)]
        assert "rare" not in fused[:POOL]
        assert "rare" in [entry.passage.doc_id for entry in index.search(query, POOL, weights=(1.0, 0.1))]

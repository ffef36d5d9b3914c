"""Dense and BM25 rankings, their fusion, and the scores of each result."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from retrieval import Encoder, Index, ingest, open_index
from retrieval.documents import embedded_text
from retrieval.ranking import index as search
from retrieval.ranking.index import fuse
from retrieval.store.terms import Tokenizer, searchable

# Left out of `make check`.
pytestmark = pytest.mark.heavy


@pytest.fixture
def index(docs: Path, index_dir: Path, encoder: Encoder) -> Iterator[Index]:
    ingest(docs, index_dir, encoder)
    with open_index(index_dir, encoder) as opened:
        yield opened


def test_the_best_passage_comes_first(index: Index, encoder: Encoder) -> None:
    query = "How long do I have to dispute a card payment?"
    results = index.search(query, 3)
    assert results[0].passage.text == "You have 120 days to dispute a card payment."
    assert results == sorted(results, key=lambda one: -one.score)
    vector = encoder.encode([query])[0]
    for one in results:
        text = embedded_text(one.passage.title, one.passage.heading, one.passage.text)
        assert one.dense == pytest.approx(float(encoder.encode([text])[0] @ vector), abs=1e-5)
    assert results[0].bm25 > 0
    # Of "long dispute card payment" only "long" does not occur.
    assert 0.5 < results[0].coverage < 1


def test_many_queries_match_single_queries(index: Index) -> None:
    queries = ["replacement card", " ", "境外取现"]
    assert index.search_many(queries, 2) == [index.search(query, 2) for query in queries]
    assert index.search_many([], 2) == []


def test_a_repeated_query_is_not_encoded_again(index: Index, encoder: Encoder) -> None:
    first = index.search_many(["replacement card", "the receipt"], 3)
    first[0].clear()  # the caller's own
    encoder.encoded.clear()  # type: ignore[attr-defined]
    again = index.search_many(["the receipt", "replacement card", "fees abroad", "the receipt"], 3)
    assert again[0] == again[3] == first[1]
    assert len(again[1]) == 3
    assert encoder.encoded == ["fees abroad"]  # type: ignore[attr-defined]
    assert index.search("replacement card", 1) == again[1][:1]


def test_other_weights_and_depths_are_cached_separately(index: Index) -> None:
    plain = index.search("receipt", 10)
    assert index.search("receipt", 10, weights=(0.0, 1.0)) != plain
    assert len(index.search("receipt", 2, rerank=False)) == 2
    assert len(index.search("receipt", 5, rerank=False)) == 5
    assert index.search("receipt", 10) == plain


def test_a_repeated_query_sees_later_writes(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    with open_index(index_dir, encoder) as index:
        assert "pets" not in index.search("insurance of pets", 1)[0].passage.text
        (docs / "pets.md").write_text("# Pets\n\nThe insurance of pets costs 9 euros.\n", encoding="utf-8")
        ingest(docs, index_dir, encoder)
        assert "pets" in index.search("insurance of pets", 1)[0].passage.text
        (docs / "pets.md").unlink()
        ingest(docs, index_dir, encoder)
        assert "pets" not in index.search("insurance of pets", 1)[0].passage.text


def test_another_encoder_encodes_the_query_again(index: Index, encoder: Encoder) -> None:
    before = index.search("replacement card", 1)
    blind = {"encode_queries": lambda _, texts: encoder.encode_queries(["the receipt"] * len(texts))}
    index.encoder = type("Blind", (), blind)()
    assert index.search("replacement card", 1, weights=(1.0, 0.5)) != before


def test_only_the_last_searches_are_cached(index: Index, encoder: Encoder) -> None:
    for number in range(9):
        index.search(f"card number {number}")
    encoder.encoded.clear()  # type: ignore[attr-defined]
    index.search("card number 1")
    assert encoder.encoded == []  # type: ignore[attr-defined]
    index.search("card number 0")
    assert encoder.encoded == ["card number 0"]  # type: ignore[attr-defined]


def test_weights_are_honoured(index: Index) -> None:
    only_bm25 = index.search("receipt", 10, weights=(0.0, 1.0))
    assert [one.passage.heading for one in only_bm25] == ["Evidence"]
    assert -1.0 <= only_bm25[0].dense <= 1.0
    assert only_bm25[0].dense != 0.0
    only_dense = index.search("receipt", 10, weights=(1.0, 0.0))
    assert len(only_dense) == 6
    assert [one.bm25 > 0 for one in only_dense].count(True) == 1
    assert fuse(([1, 2], [2]), (1.0, 0.5)) == {2: 1 / 62 + 0.5 / 61, 1: 1 / 61}


@pytest.mark.parametrize("bad", [{"k": 0}, {"weights": (-1.0, 1.0)}, {"weights": (0.0, 0.0)}])
def test_invalid_parameters_are_refused(index: Index, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"k is|weights are"):
        index.search("card", **bad)


@pytest.mark.parametrize(
    "query",
    [
        *('"', "card OR", "NEAR(card", "title: card*", "(card) AND NOT fees", "card\x00fee"),
        *("'); DROP TABLE x", "?!", "*", "^card + -fee", "the of and"),
    ],
)
def test_fts_syntax_in_a_query_is_plain_text(index: Index, query: str) -> None:
    assert len(index.search(query, 10)) == 6


def test_a_two_character_word_is_found(index: Index) -> None:
    for query in ("年费", "取现", "费"):
        (results,) = index.search(query, 10, weights=(0.0, 1.0))
        assert results.passage.doc_id == "zh"
        assert results.bm25 > 0
        assert results.coverage == 1.0
    assert index.search("贷款", 10, weights=(0.0, 1.0)) == []


def test_coverage_is_low_for_unknown_terms(index: Index) -> None:
    known = index.search("replacement card costs", 1)[0]
    unknown = index.search("replacement mortgage interest rates", 1)[0]
    assert known.coverage == 1.0
    assert unknown.coverage < 0.4
    assert index.search("?", 1)[0].coverage == 0.0


def test_words_are_stemmed_and_stop_words_dropped() -> None:
    tokenizer = Tokenizer()
    terms = tokenizer.query_terms("What are the fees, Fee's and DISPUTES of the Gebühren?")
    assert [term.key for term in terms] == ["fee", "disput", "gebuhren"]
    assert [term.key for term in tokenizer.query_terms("who is it")] == ["who", "is", "it"]
    assert [(term.key, term.is_prefix) for term in tokenizer.query_terms("使用SmolLM2模型吗 费")] == [
        ("smollm2", False),
        *(("使用", False), ("模型", False), ("型吗", False), ("费", True)),
    ]
    tokenizer.close()


def test_cjk_is_indexed_as_character_pairs() -> None:
    assert searchable("使用Ａ1模型") == (" A1 ", "使用 用 模型 型")


def test_several_threads_may_search(index: Index) -> None:
    queries = ["dispute a payment", "replacement card", "年费", "cash abroad"] * 10
    expected = [index.search(query) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.search, queries)) == expected


def test_common_words_are_looked_up_only_without_rarer_ones(tmp_path: Path, encoder: Encoder) -> None:
    rows = [f'{{"id": "r{number}", "text": "The card number{number} is good."}}' for number in range(60)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "docs.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder) as index:
        both = index.search("card number7", 60, weights=(0.0, 1.0))
        assert [one.passage.doc_id for one in both] == ["r7"]
        assert len(index.search("card", 60, weights=(0.0, 1.0))) == 60


def test_neighbours_count_for_the_coverage_around_a_passage(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "docs").mkdir()
    lines = ["The cabin has a stove.", "It has a bed.", "Wood is brought by a man.", "He comes on Mondays."]
    text = "\n\n".join(line + " Nobody else is there, and nothing more is said of all that." for line in lines)
    (tmp_path / "docs" / "house.txt").write_text(text, encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder, max_tokens=32)
    with open_index(tmp_path / "index", encoder) as index:
        results = sorted(index.search("cabin wood", 20), key=lambda entry: entry.passage.start)
    assert [entry.passage.text[:9] for entry in results] == ["The cabin", "It has a ", "Wood is b", "He comes "]
    assert [entry.coverage > 0 for entry in results] == [True, False, True, False]
    # Only the second has both words in its neighbours.
    assert [entry.around for entry in results] == pytest.approx([results[0].coverage, 1.0, *[results[2].coverage] * 2])


def test_many_passages_are_looked_up_in_batches(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = index.search("replacement card abroad 年费", 6)
    assert any(entry.coverage for entry in whole)
    monkeypatch.setattr("retrieval.store.database._KEYS_PER_STATEMENT", 2)
    assert index.search("replacement card abroad 年费", 6) == whole


def test_a_search_during_a_write_sees_what_was_written(
    docs: Path, index_dir: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(docs, index_dir, encoder)
    nearest, overtaken = search.DenseIndex.search, []

    def slow(*asked: Any) -> tuple[Any, Any]:
        results = nearest(*asked)
        if not overtaken:
            overtaken.append(True)
            (docs / "disputes.md").write_text("# Disputes\n\nA card payment: dispute it by letter.", encoding="utf-8")
            ingest(docs, index_dir, encoder)
        return results

    monkeypatch.setattr(search.DenseIndex, "search", slow)
    with open_index(index_dir, encoder) as index:
        ranked = index.search("dispute a card payment", 10, weights=(1.0, 0.0))
    assert "disputes" in {entry.passage.doc_id for entry in ranked}

"""Features of rankings: words, vectors, and what a follow-up adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from retrieval import Index, Passage, RankedPassage
from retrieval.ranking.evidence_features import (
    FEATURES,
    OWN_VECTOR_FEATURES,
    OWN_WORD_FEATURES,
    VECTOR_FEATURES,
    WORD_FEATURES,
    vector_features,
    word_features,
)
from retrieval.ranking.rerank import POOL
from tests.support.small_bank import make_index

CARD, HORSES = "What does a replacement card cost?", "Do you treat horses?"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with make_index(tmp_path_factory.mktemp("features")) as index:
        yield index


def ranked(*cosines: float, lead: float = 0.0) -> list[RankedPassage]:
    passage = Passage("p", "d", "", "", "text", 0, 4)
    entries = [RankedPassage(passage, 0.5, cosine, 0.0, 0.0, cosine + 0.05) for cosine in cosines]
    return [replace(entries[0], score=0.5 + lead), *entries[1:]]


def test_covered_words_and_missing_ones(index: Index) -> None:
    rankings = index.search_many([CARD, HORSES, " "], POOL)
    good, bad, nothing = index.judged([CARD, HORSES, " "], rankings)
    assert {*good.features} == {*WORD_FEATURES, *VECTOR_FEATURES}
    assert good.features["coverage"] == pytest.approx(rankings[0][0].coverage) == 1.0
    assert (good.features["missing"], good.features["unknown"]) == (0.0, 0.0)
    assert good.features["coverage_lead"] > 0.3
    assert bad.features["unknown"] > 0.5
    assert bad.features["missing"] == 1.0
    assert bad.features["coverage"] < 0.5
    assert (nothing.ranked, nothing.features) == ([], {})
    assert not any(one.is_follow_up for one in (good, bad, nothing))


def test_a_follow_up_is_compared_with_the_evidence_by_itself(index: Index) -> None:
    queries = [f"{CARD} {HORSES}", f"{CARD} Does it arrive within 5 days?"]
    questions = [HORSES, "Does it arrive within 5 days?"]
    rankings = index.search_many(queries, POOL)
    horses, arrival = index.judged(queries, rankings, questions, quotes=True)
    assert {*horses.features} == {*FEATURES}
    assert horses.is_follow_up
    # It inherits the words of the card's question, and none of its own is there.
    assert horses.features["coverage"] > 0.3
    assert horses.features["own_coverage"] == 0.0
    assert horses.features["own_missing"] == 1.0
    assert arrival.features["own_coverage"] > 0.5
    encoder = index.encoder
    best = max(float(encoder.encode([text.passage.text])[0] @ encoder.encode([HORSES])[0]) for text in rankings[0][:4])
    assert horses.features["own_cosine"] < horses.features["best_cosine"]
    assert horses.features["own_sentence"] == pytest.approx(best, abs=0.2)


def test_the_best_quote_of_a_question_that_is_answered_stands_out(index: Index) -> None:
    questions = [CARD, HORSES]
    answered, other = index.judged(questions, index.search_many(questions, POOL), quotes=True)
    for name in ("quote_score", "quote_spread", "quote_coverage"):
        assert answered.features[name] > other.features[name], name
    # A cost is a number, and the best sentence has one.
    kinds = ("type_asked", "type_quoted", "type_missing")
    assert [answered.features[name] for name in kinds] == [1.0, 1.0, 0.0]
    assert [other.features[name] for name in kinds] == [0.0, 0.0, 0.0]


def test_a_number_that_is_asked_for_and_in_no_sentence_is_missing(index: Index) -> None:
    passage = Passage("p", "d", "Cards", "", "A lost card is blocked. Another is sent.", 0, 40)
    entry = RankedPassage(passage, 0.5, 0.5, 0.0, 0.0, 0.5)
    [judged] = index.judged([CARD], [[entry]], quotes=True)
    assert [judged.features[name] for name in ("type_asked", "type_quoted", "type_missing")] == [1.0, 0.0, 1.0]


def test_words_alone_encode_nothing(index: Index) -> None:
    query = f"{CARD} {HORSES}"
    rankings = index.search_many([query], POOL, weights=(0.0, 1.0))
    before = len(index.encoder.encoded)  # type: ignore[attr-defined]
    [judged] = index.judged([query], rankings, [HORSES], vectors=False)
    assert len(index.encoder.encoded) == before  # type: ignore[attr-defined]
    assert {*judged.features} == {*WORD_FEATURES, *OWN_WORD_FEATURES}


def test_sentences_that_the_search_left_out_are_encoded(index: Index) -> None:
    [by_words] = index.search_many([CARD], POOL, weights=(0.0, 1.0))
    assert {entry.sentence for entry in by_words} == {0.0}
    [judged] = index.judged([CARD], [by_words])
    [usual] = index.judged([CARD], index.search_many([CARD], POOL))
    assert judged.features["best_sentence"] == pytest.approx(usual.features["best_sentence"])
    assert not {*OWN_VECTOR_FEATURES} & {*judged.features}


def test_cosines_are_compared_with_those_further_down() -> None:
    found = vector_features(ranked(0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3))
    assert found["best_cosine"] == 0.9
    assert found["cosine_lead"] == pytest.approx(0.6)
    assert found["sentence_lead"] == pytest.approx(0.65)
    assert found["cosine_z"] == pytest.approx(0.6 / 0.02)
    # With few passages all but the first are the background, and a single one is its own.
    assert vector_features(ranked(0.9, 0.5))["cosine_lead"] == pytest.approx(0.4)
    assert vector_features(ranked(0.9))["cosine_lead"] == 0.0
    assert [vector_features(ranked(0.9, 0.5, lead=lead))["lead"] for lead in (0.0, 0.1, 3.0)] == pytest.approx(
        [0.0, 0.1, 0.2]
    )


def test_a_question_without_words_has_no_coverage() -> None:
    empty = np.zeros((1, 0))
    found = word_features(np.zeros(0), np.zeros(0, bool), empty, empty, 3.0)
    assert found == dict.fromkeys(found, 0.0)
    assert {*found} == {name for name in WORD_FEATURES if name != "log_bm25"}

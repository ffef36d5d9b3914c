"""Retrieval scores against an example counted by hand."""

from __future__ import annotations

import math

import pytest

from evaluation import Item
from evaluation.retrieval_scores import GoldSpans, retrieval_scores
from retrieval import Index, Passage

QUOTE = "A replacement card costs 12 euros and arrives within 5 days."


@pytest.fixture
def gold(index: Index) -> GoldSpans:
    return GoldSpans(index)


@pytest.fixture
def item() -> Item:
    return Item(id="1", question="?", doc_id="cards", quote=QUOTE)


def passage(doc_id: str, start: int = 0, end: int = 5) -> Passage:
    return Passage("p", doc_id, "", "", "x" * (end - start), start, end)


def ranking(right: Passage, rank: int | None) -> list[Passage]:
    return [right if number == rank else passage("branches") for number in range(1, 11)]


def test_the_scores_are_those_of_the_hand_example(index: Index, gold: GoldSpans, item: Item) -> None:
    at = index.document("cards").text.index(QUOTE)
    right = passage("cards", at, at + 20)
    items = [item.model_copy(update={"id": str(number)}) for number in range(5)]
    items.append(Item(id="no", question="?", answerable=False))
    items.append(Item(id="unknown place", question="?"))
    ranked = [ranking(right, rank) for rank in (1, 3, None, 7, 5, 1, 1)]
    found = retrieval_scores(items, ranked, gold)
    assert found is not None
    assert (found.questions, found.recall_at_1, found.recall_at_5) == (5, 1 / 5, 3 / 5)
    assert found.ndcg_at_10 == pytest.approx((1 + 1 / 2 + 0 + 1 / 3 + 1 / math.log2(6)) / 5)


def test_a_hit_beyond_the_tenth_counts_for_nothing(index: Index, gold: GoldSpans, item: Item) -> None:
    at = index.document("cards").text.index(QUOTE)
    found = retrieval_scores([item], [[*ranking(passage("cards"), None), passage("cards", at, at + 9)]], gold)
    assert found is not None
    assert (found.recall_at_5, found.ndcg_at_10) == (0, 0)


def test_a_span_holds_the_answer_where_it_overlaps_the_quote(index: Index, gold: GoldSpans, item: Item) -> None:
    at = index.document("cards").text.index(QUOTE)
    end = at + len(QUOTE)
    assert gold.overlaps(item, "cards", at - 5, at + 1)
    assert gold.overlaps(item, "cards", end - 1, end + 5)
    assert not gold.overlaps(item, "cards", at - 5, at)
    assert not gold.overlaps(item, "cards", end, end + 5)
    assert not gold.overlaps(item, "transfers", at, end)


def test_questions_of_two_files_may_have_the_same_id(index: Index, gold: GoldSpans, item: Item) -> None:
    text = index.document("cards").text
    at = text.index(QUOTE)
    other = item.model_copy(update={"quote": text[:10]})
    assert gold.overlaps(item, "cards", at, at + 5)
    assert gold.overlaps(other, "cards", 0, 5)
    assert not gold.overlaps(other, "cards", at, at + 5)


def test_without_a_quote_the_document_counts(gold: GoldSpans) -> None:
    unquoted = Item(id="2", question="?", doc_id="cards")
    assert gold.overlaps(unquoted, "cards", 0, 1)
    # A quote that does not stand in the document cannot say where.
    wrong = Item(id="3", question="?", doc_id="cards", quote="never written")
    assert gold.overlaps(wrong, "cards", 0, 1)
    several = Item(id="4", question="?", doc_ids=("cards", "transfers"))
    assert gold.overlaps(several, "transfers", 0, 1)
    assert not gold.overlaps(several, "branches", 0, 1)


def test_no_question_names_its_document(gold: GoldSpans) -> None:
    assert retrieval_scores([Item(id="1", question="?")], [[]], gold) is None

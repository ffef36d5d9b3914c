"""Quotes are cut out of the documents, and only where they say what the answer says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import cite
from chains.citations import sentence_spans
from retrieval import Index, Passage

TEXT = (
    "The debit card is free in the first year. A replacement card costs 12 euros and arrives within 5 days.\n"
    "- A cash withdrawal abroad costs 2.99 percent, at least 3 euros."
)
PASSAGE = Passage("p1", "cards", "Card fees", "Abroad", TEXT, 100, 100 + len(TEXT), 4)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_a_citation_says_where_the_quote_stands() -> None:
    [found] = cite("You get the replacement card for 12 euros.", [PASSAGE])
    assert found.quote == "A replacement card costs 12 euros and arrives within 5 days."
    assert TEXT[found.start - 100 : found.end - 100] == found.quote
    assert (found.doc_id, found.title, found.heading, found.page, found.passage_id) == (
        "cards", "Card fees", "Abroad", 4, "p1",
    )  # fmt: skip
    assert found.sentence == "You get the replacement card for 12 euros."
    assert 0.35 <= found.support < 1


def test_a_sentence_quoted_word_for_word_has_full_support() -> None:
    [found] = cite("The debit card is free in the first year.", [PASSAGE])
    assert (found.quote, found.support) == ("The debit card is free in the first year.", 1.0)


def test_a_list_mark_is_no_part_of_the_quote() -> None:
    [found] = cite("Abroad a cash withdrawal costs 2.99 percent.", [PASSAGE])
    assert found.quote == "A cash withdrawal abroad costs 2.99 percent, at least 3 euros."


@pytest.mark.parametrize(
    "answer",
    [
        "A replacement card costs 15 euros and arrives within 5 days.",
        "A cash withdrawal abroad costs 2.98 percent.",
        "The debit card is free in the first 2 years.",
    ],
)
def test_a_quote_with_another_figure_is_no_support(answer: str) -> None:
    assert cite(answer, [PASSAGE]) == []


@pytest.mark.parametrize("answer", ["", "...", "We treat no horses here.", "\n\n", "！"])
def test_what_no_passage_says_has_no_citation(answer: str) -> None:
    assert cite(answer, [PASSAGE]) == []
    assert cite(answer, []) == []


def test_each_quote_is_given_once_in_the_order_of_the_answer() -> None:
    answer = (
        "A cash withdrawal abroad costs at least 3 euros. A replacement card costs 12 euros. "
        "The replacement card arrives within 5 days."
    )
    found = cite(answer, [PASSAGE, PASSAGE])
    assert [citation.quote[:13] for citation in found] == ["A cash withdr", "A replacement"]


def test_chinese_is_cited_by_sentence() -> None:
    text = "信用卡的年费为八十元。境外取现另收手续费3元。"
    passage = Passage("z", "zh", "", "", text, 0, len(text))
    [found] = cite("境外取现的手续费是3元。", [passage])
    assert found.quote == "境外取现另收手续费3元。"
    assert cite("境外取现的手续费是5元。", [passage]) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It costs £3.50. Pay by 9.30 a day!", ["It costs £3.50.", "Pay by 9.30 a day!"]),
        ("- one\n* two\n\n# three |", ["one", "two", "three"]),
        ("See www.example.org for more", ["See www.example.org for more"]),
        ("年费八十元。免费！好？", ["年费八十元。", "免费！", "好？"]),
        ("...\n---\n", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_citation_is_cut_out_of_its_document(index: Index, data: st.DataObject) -> None:
    passages = list(index.passages())
    known = [sentence for passage in passages for sentence in sentences(passage.text)]
    answer = " ".join(data.draw(st.lists(st.one_of(st.sampled_from(known), st.text(max_size=30)), max_size=4)))
    found = cite(answer, passages)
    assert len({(citation.passage_id, citation.start) for citation in found}) == len(found)
    for citation in found:
        assert index.document(citation.doc_id).text[citation.start : citation.end] == citation.quote
        assert citation.sentence in answer
        assert 0.35 <= citation.support <= 1

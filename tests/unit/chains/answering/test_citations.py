"""Quotes are cut out of the documents, and only where they say what the answer says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import cite
from chains.answering.citations import sentence_spans, verify_citations
from retrieval import Document, Index, IndexDamagedError, Passage, RetrievalError

TEXT = (
    "The debit card is free in the first year. A replacement card costs 12 euros and arrives within 5 days.\n"
    "- A cash withdrawal abroad costs 2.99 percent, at least 3 euros."
)
PASSAGE = Passage("p1", "cards", "Card fees", "Abroad", TEXT, 100, 100 + len(TEXT), 4)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_a_citation_has_the_span_of_its_quote() -> None:
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


def test_each_sentence_is_cited_once_in_the_order_of_the_answer() -> None:
    answer = (
        "A cash withdrawal abroad costs at least 3 euros. A replacement card costs 12 euros. "
        "The replacement card arrives within 5 days."
    )
    found = cite(answer, [PASSAGE, PASSAGE])
    assert [citation.quote[:13] for citation in found] == ["A cash withdr", "A replacement", "A replacement"]
    assert [answer[citation.answer_start : citation.answer_end] for citation in found] == sentences(answer)
    # The same words stand in two passages: the one that was ranked first is quoted.
    assert {citation.passage_id for citation in cite(answer, [PASSAGE, replace(PASSAGE, id="p2")])} == {"p1"}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([
            "A replacement card costs 12 euros.", "The debit card is free in the first year!", "信用卡的年费为八十元。",
            "境外取现另收手续费3元。", "🙂", "𠀀", "é", "We treat no horses.", "\n- ", " ", "* ", "12.5", "。",
        ]),
        max_size=12,
    )
)  # fmt: skip
def test_spans_in_the_answer_count_code_points(pieces: list[str]) -> None:
    chinese = "信用卡的年费为八十元。境外取现另收手续费3元。"
    passages = [PASSAGE, Passage("z", "zh", "", "", chinese, 7, 7 + len(chinese))]
    answer = "".join(pieces)
    last = 0
    for citation in cite(answer, passages):
        assert answer[citation.answer_start : citation.answer_end] == citation.sentence
        assert last <= citation.answer_start < citation.answer_end
        last = citation.answer_end


def stored(text: str, *, title: str = "Card fees of the bank", page_starts: tuple[int, ...] = ()) -> Document:
    return Document("cards", title, text, "", "cards.pdf", "", "", page_starts)


def test_a_quote_is_looked_up_in_the_stored_document() -> None:
    citations = cite("A replacement card costs 12 euros. The debit card is free in the first year.", [PASSAGE])
    assert len(citations) == 2
    kept, notices = verify_citations(citations, lambda _: stored("x" * 100 + TEXT))
    assert notices == []
    assert [citation.quote for citation in kept] == [citation.quote for citation in citations]
    # The passage's title may be shortened; a document without pages leaves the page as it was found.
    assert {(citation.title, citation.page) for citation in kept} == {("Card fees of the bank", 4)}


def test_a_quote_that_is_no_longer_in_the_document_is_left_out_with_a_notice() -> None:
    citations = cite("A replacement card costs 12 euros. The debit card is free in the first year.", [PASSAGE])
    edited = "x" * 100 + TEXT.replace("12 euros", "14 euros")
    [kept], [notice] = verify_citations(citations, lambda _: stored(edited))
    assert kept.quote == "The debit card is free in the first year."
    assert "cards has changed at this place" in notice
    shifted = verify_citations(citations, lambda _: stored("x" * 99 + TEXT))
    assert (shifted.citations, len(shifted.notices)) == ([], 1)


def test_a_deleted_document_is_not_cited(index: Index) -> None:
    found, notices = verify_citations(
        cite("A replacement card costs 12 euros.", [replace(PASSAGE, doc_id="gone")]), index.document
    )
    assert found == []
    assert notices == ["a citation was left out: gone is no longer in the index; ask again"]


@pytest.mark.parametrize("kind", [IndexDamagedError, RetrievalError])
def test_an_index_that_cannot_be_read_is_no_deleted_document(kind: type[RetrievalError], index: Index) -> None:
    def unreadable(name: str) -> Document:
        raise kind(found=f"{name} is damaged", expected="the index as it was written", next_step="ingest again")

    with pytest.raises(kind, match="cards is damaged"):
        verify_citations(cite("A replacement card costs 12 euros.", [PASSAGE]), unreadable)


def test_the_page_is_that_of_the_quote() -> None:
    # The passage begins on page 1, and its second sentence stands on page 2.
    text = "x" * 100 + TEXT
    starts = (0, 100 + TEXT.index("A replacement"))
    citations = cite("The debit card is free in the first year. A replacement card costs 12 euros.", [PASSAGE])
    kept, _ = verify_citations(citations, lambda _: stored(text, page_starts=starts))
    assert [citation.page for citation in kept] == [1, 2]


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
    assert verify_citations(found, index.document).notices == []
    for citation in found:
        assert index.document(citation.doc_id).text[citation.start : citation.end] == citation.quote
        assert answer[citation.answer_start : citation.answer_end] == citation.sentence
        assert 0.35 <= citation.support <= 1

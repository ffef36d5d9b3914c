"""Replies become answers: trimmed, checked sentence by sentence, and quoted where the evidence says something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.answering.answer_writer import AnswerForm, AnswerRules, AnswerWriter, RefusalWriter, Unsupported
from retrieval import Passage
from retrieval.ranking.sentence_selection import EvidenceSentence, evidence_sentences

TEXT = "Bring these:\n- your passport\nA replacement card costs 12 euros. It arrives within 5 days."
PASSAGE = Passage("p1", "cards", "Card fees", "Abroad", TEXT, 100, 100 + len(TEXT), 4)
LEAD, PASSPORT, COSTS, ARRIVES = evidence_sentences(PASSAGE)


def make_writer(
    form: AnswerForm,
    unsupported: Unsupported = "quote",
    *,
    false: Sequence[str] = (),
    quotes: Sequence[EvidenceSentence] = (COSTS,),
) -> AnswerWriter:
    rules = AnswerRules(
        form, unsupported, lambda text: text not in false, lambda text: text.startswith("Sorry"), lambda: quotes
    )
    return AnswerWriter(rules)


def written(writer: AnswerWriter, *pieces: str) -> str:
    """What is shown for the pieces of a reply; it must be the answer's text."""
    shown = [writer.add(piece) for piece in pieces]
    text = "".join([*shown, writer.finish()])
    assert text == writer.text
    return text


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4), max_size=8))
def test_pieces_join_to_the_stripped_reply(pieces: list[str]) -> None:
    writer = make_writer("generate", "keep")
    assert written(writer, *pieces) == "".join(pieces).strip()


def test_unchecked_text_is_shown_at_once() -> None:
    writer = make_writer("generate", "keep")
    assert [writer.add(piece) for piece in ("  a", "b ", " c", " ")] == ["a", "b", "  c", ""]


def test_checked_text_is_shown_by_the_sentence() -> None:
    writer = make_writer("generate")
    assert [writer.add(piece) for piece in ("It costs ", "12 euros. ", "It arrives", " soon. And")] == [
        "", "", "It costs 12 euros.", " It arrives soon.",
    ]  # fmt: skip
    assert (writer.add(" then."), writer.finish()) == ("", " And then.")


def test_the_first_unsupported_sentence_becomes_a_quote_and_others_are_dropped() -> None:
    writer = make_writer("generate", false=("It is free.", "Call us."))
    assert written(writer, "It is free. Keep the receipt. Call us.") == (
        "“A replacement card costs 12 euros.” Keep the receipt."
    )
    [citation] = writer.citations
    assert writer.supported
    assert TEXT[citation.start - 100 : citation.end - 100] == citation.quote == COSTS.text
    assert writer.text[citation.answer_start : citation.answer_end] == "“A replacement card costs 12 euros.”"


def test_nothing_is_shown_before_the_quote_that_replaces_it() -> None:
    writer = make_writer("generate", false=("It is free.",))
    assert writer.add("It is free. ") == ""
    assert writer.add("Keep it") == "“A replacement card costs 12 euros.”"


@pytest.mark.parametrize("unsupported", ["mark", "keep"])
def test_unsupported_text_can_be_kept_and_is_reported(unsupported: Unsupported) -> None:
    writer = make_writer("generate", unsupported, false=("It is free.",))
    assert written(writer, "It is ", "free. Keep it.") == "It is free. Keep it."
    assert not writer.supported


def test_a_quote_needs_no_reply_and_may_have_several_sentences() -> None:
    writer = make_writer("quote", quotes=(COSTS, PASSPORT))
    assert written(writer) == "“A replacement card costs 12 euros.”\n“Bring these: your passport”"
    assert [citation.quote for citation in writer.citations] == [COSTS.text, PASSPORT.text]
    assert [citation.page for citation in writer.citations] == [4, 4]


def test_both_adds_the_quote_to_what_is_supported() -> None:
    writer = make_writer("both", false=("It is free.",))
    assert written(writer, "It is free. Keep it.") == "Keep it.\n“A replacement card costs 12 euros.”"


def test_a_quote_that_the_reply_contains_is_not_repeated() -> None:
    assert written(make_writer("both"), f"{COSTS.text} Keep it.") == f"{COSTS.text} Keep it."


def test_an_empty_reply_is_replaced_by_a_quote() -> None:
    for form in ("generate", "both", "extract"):
        assert written(make_writer(form), " ", "\n") == "“A replacement card costs 12 euros.”"


@pytest.mark.parametrize("form", ["generate", "both"])
def test_a_refusal_in_the_models_own_words_stays(form: AnswerForm) -> None:
    writer = make_writer(form, false=("Sorry, we know nothing of it.", "Ask us."))
    assert written(writer, "Sorry, we know nothing of it. Ask us.") == "Sorry, we know nothing of it. Ask us."
    assert (writer.refused, writer.citations) == (True, [])


def test_an_excerpt_is_shown_as_it_is_decoded() -> None:
    writer = make_writer("extract")
    assert writer.add("A replacement card") == "A replacement card"
    assert (writer.finish(), writer.supported) == ("", True)


def test_a_refusal_without_words_is_a_refusal() -> None:
    writer = RefusalWriter(" ")
    assert (written(writer), writer.refused, writer.citations) == ("", True, [])


def test_weak_evidence_gives_the_refusal_alone() -> None:
    writer = RefusalWriter("None of our leaflets says so.")
    assert written(writer, "It is free.") == "None of our leaflets says so."
    assert (writer.refused, writer.citations) == (True, [])

"""A sentence is supported if one place of the evidence says it: numbers, names, negation and words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.answering.support import Support, check_support, claim_spans
from retrieval import Passage
from tests.support.effort import effort


def passage(text: str, title: str = "Cards", heading: str = "") -> Passage:
    return Passage(f"p{hash(text)}", "cards", title, heading, text, 0, len(text))


CARDS = [
    passage(
        "A replacement card costs 12 euros and arrives within 5 working days. You can order it in the app. "
        "Express delivery costs 30 euros and arrives on the next working day. Orders by e-mail are not accepted.",
        heading="Replacement cards",
    ),
    passage(
        "Ms Judith Lorne leads the card team, and Mr Owen Tarrant leads the loan team.\n\n"
        "You can reach us in these ways:\n\n- Telephone: 0330 555 0142, from 8am to 6pm\n- Post: form LB-62\n\n"
        "| Card | Yearly fee |\n|---|---|\n| Classic | 20 euros |\n| Gold | 80 euros |",
        title="Contact",
        heading="The card team",
    ),
]


@pytest.mark.parametrize(
    "sentence",
    [
        "A replacement card costs 12 euros and arrives within 5 working days.",
        "The replacement costs EUR 12.",
        "You'll get your replacement card within five working days.",
        "Express delivery is 30 euros.",
        "E-mail orders are not accepted.",
        "You can't order a card by e-mail.",
        "Judith Lorne is the leader of the card team.",
        "Call 03305550142 between 8:00 and 18:00.",
        "The Gold card has a yearly fee of 80 euros.",
        "Use form LB-62.",
    ],
)
def test_what_the_evidence_says_is_supported(sentence: str) -> None:
    found = check_support(sentence, CARDS)
    assert found.supported, found.reasons
    assert found.reasons == ()
    assert 0.5 < found.share <= 1


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("A replacement card costs 15 euros.", "15 euros is not in the evidence"),
        ("A replacement card costs 30 euros.", "30 euros"),
        ("A replacement card arrives within 5 days.", "5 days"),
        ("A replacement card arrives within 5 working hours.", "5"),
        ("Orders by e-mail are accepted.", "the opposite"),
        ("Owen Tarrant leads the card team.", "belongs to something else"),
        ("Ms Helen Brody leads the card team.", "Brody is not in the evidence"),
        ("The Gold card has a yearly fee of 20 euros.", "20 euros"),
        ("Use form LB-26.", "LB-26 is not in the evidence"),
        ("We offer mortgages for holiday homes in Portugal.", "too few of its words"),
        ("Call 0330 555 0142 between 8am and 9pm.", "9pm"),
    ],
)
def test_what_the_evidence_does_not_say_is_not(sentence: str, reason: str) -> None:
    found = check_support(sentence, CARDS)
    assert not found.supported
    assert any(reason in text for text in found.reasons), found.reasons


@pytest.mark.parametrize(
    "sentence",
    ["", "...", "Here is what the documents say:", "Thank you for your question!", "您好。", "Can I help you?"],
)
def test_a_sentence_without_a_claim_is_supported(sentence: str) -> None:
    assert check_support(sentence, CARDS) == Support(True, 1.0, ())


@pytest.mark.parametrize(
    ("sentence", "supported"), [("Yes.", False), ("No.", True), ("No, you can't.", True), ("You can.", False)]
)
def test_a_bare_yes_or_no_is_checked_as_the_question(sentence: str, supported: bool) -> None:
    assert check_support(sentence, CARDS, question="Are orders by e-mail accepted?").supported is supported


def test_a_repetition_of_the_question_is_not_supported() -> None:
    question = "What does a replacement card cost?"
    assert check_support(question, CARDS, question=question).reasons == ("it repeats the question",)
    assert check_support("Which card do you mean?", CARDS, question="Is it free by e-mail?").supported


def test_a_bare_yes_without_a_question_is_not_supported() -> None:
    assert check_support("Yes.", CARDS).reasons == ("a bare yes or no without a question",)


def test_words_of_the_question_may_be_repeated_but_not_its_numbers() -> None:
    question = "My grandmother moved to Lisbon: what does a new card for her cost, is it 99 euros?"
    assert check_support("Your grandmother's replacement card costs 12 euros.", CARDS, question=question).supported
    assert not check_support("Your grandmother's replacement card costs 99 euros.", CARDS, question=question).supported


def test_words_of_earlier_turns_may_be_repeated() -> None:
    earlier = ["My grandmother in Lisbon lost her wallet and her umbrella."]
    sentence = "With a lost wallet and umbrella, a replacement card costs 12 euros."
    assert check_support(sentence, CARDS, earlier=earlier).share > check_support(sentence, CARDS).share


def test_a_short_answer_has_its_subject_in_the_question() -> None:
    assert check_support("80 euros.", CARDS, question="What is the yearly fee of the Gold card?").supported
    assert not check_support("20 euros.", CARDS, question="What is the yearly fee of the Gold card?").supported


def test_chinese() -> None:
    evidence = [
        passage("普通读者一次最多可以借五本书，借期为三十天。教师的借期为六十天。逾期的图书不能续借。", "图书馆")
    ]
    assert check_support("普通读者的借期是30天。", evidence).supported
    assert not check_support("普通读者的借期是60天。", evidence).supported
    assert not check_support("普通读者的借期是三十小时。", evidence).supported
    assert not check_support("逾期的图书能续借。", evidence).supported


def test_german_nouns_are_no_names() -> None:
    evidence = [passage("Die Karte kostet 12 Euro im Jahr. Eine Kündigung ist nicht per Post möglich.", "Karten")]
    assert check_support("Die Karte kostet im Jahr 12 Euro.", evidence).supported
    assert not check_support("Die Karte kostet im Jahr 15 Euro.", evidence).supported
    assert not check_support("Eine Kündigung ist per Post möglich.", evidence).supported


def test_without_evidence_only_sentences_without_a_claim_are_supported() -> None:
    assert check_support("A replacement card costs 12 euros.", []).reasons
    assert check_support("Hello!", []).supported


def test_claim_spans_join_a_bare_yes_with_its_sentence() -> None:
    answer = "Yes. You can order it in the app. It costs 12 euros."
    assert [answer[a:b] for a, b in claim_spans(answer)] == ["Yes. You can order it in the app.", "It costs 12 euros."]
    assert [answer[a:b] for answer in ["No."] for a, b in claim_spans(answer)] == ["No."]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120), st.text(max_size=200))
def test_any_text_can_be_checked(sentence: str, evidence: str) -> None:
    found = check_support(sentence, [passage(evidence, "")], question=sentence[:20])
    assert 0 <= found.share <= 1
    assert found.supported is not bool(found.reasons)


def test_a_check_takes_milliseconds() -> None:
    evidence = [passage(CARDS[0].text + f" Entry {number} is kept for {number} days.") for number in range(4)]
    check_support("A replacement card costs 12 euros.", evidence)

    def checks() -> None:
        for number in range(20):
            check_support(f"A replacement card costs {number} euros and arrives in the app.", evidence)

    # Several times the usual 0.05.
    assert effort(checks) / 20 < 0.6

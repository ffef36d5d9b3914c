"""The sentence that answers: in its context, of the kind that is asked for, and exactly where it is."""

from __future__ import annotations

import pytest

from retrieval import Passage, RankedPassage
from retrieval.ranking.answer_type import AnswerType, asked_type, has_type
from retrieval.ranking.sentence_selection import FEATURES, WEIGHTS, SentenceSelector, _stems
from tests.support.hashing_encoder import HashingEncoder


def ranked(*texts: str) -> list[RankedPassage]:
    return [
        RankedPassage(Passage(f"p{n}", f"d{n}", "Title", "", text, 0, len(text)), 1.0 - n / 10, 0.5, 1.0, 0.5)
        for n, text in enumerate(texts)
    ]


def test_the_sentence_that_shares_the_questions_words_is_first() -> None:
    selector = SentenceSelector(HashingEncoder(dimension=256))
    passages = ranked("The branch closes at five. A transfer is free.", "A replacement card costs 12 euros. Keep it.")
    best, *others = selector.select("What does a replacement card cost?", passages)
    assert best.sentence.text == "A replacement card costs 12 euros."
    assert len(others) == 3
    assert [one.score for one in others] == sorted((one.score for one in others), reverse=True)


def test_a_sentence_is_found_by_its_heading() -> None:
    text = "Within 14 days."
    disputes = Passage("p1", "a", "Disputes", "Deadline for evidence", text, 0, len(text))
    fees = Passage("p2", "b", "Fees", "Cards abroad", text, 0, len(text))
    entries = [RankedPassage(p, 1.0, 0.5, 1.0, 0.5) for p in (fees, disputes)]
    selector = SentenceSelector(HashingEncoder(dimension=256))
    [first, _] = selector.select("What is the deadline for evidence in disputes?", entries)
    assert first.sentence.passage.id == "p1"


def test_a_follow_up_is_answered_by_what_it_asks_itself() -> None:
    passages = ranked("A photo card costs 7 euros. A refused picture is refunded within 3 days.")
    selector = SentenceSelector(HashingEncoder(dimension=256))
    question = "Is a refused picture refunded?"
    best, _ = selector.select(
        question, passages, search_query=f"How much is a photo card? What does it cost? {question}"
    )
    assert best.sentence.text == "A refused picture is refunded within 3 days."


def test_the_parts_of_a_section_have_its_best_score() -> None:
    parts = [Passage(f"p{n}", "d", "Fees", "Cards", text, 9 * n, 9) for n, text in enumerate(("One.", "Two."))]
    other = Passage("p3", "d", "Fees", "Transfers", "Three.", 20, 26)
    entries = [
        RankedPassage(p, score, 0.5, 1.0, 0.5) for p, score in zip((*parts, other), (1.0, 0.7, 0.6), strict=True)
    ]
    _, features = SentenceSelector(HashingEncoder()).features("What?", entries)
    assert features[:, FEATURES.index("section")].tolist() == pytest.approx([0.0, 0.0, -0.4])


def test_a_sentence_of_two_passages_counts_once() -> None:
    text = "One sentence. Another one. A third one."
    first, second = Passage("p1", "d", "T", "", text[:26], 0, 26), Passage("p2", "d", "T", "", text[14:], 14, len(text))
    entries = [RankedPassage(p, 1.0, 0.5, 1.0, 0.5) for p in (first, second)]
    selected = SentenceSelector(HashingEncoder()).select("What?", entries)
    assert sorted(one.sentence.text for one in selected) == ["A third one.", "Another one.", "One sentence."]


def test_sentences_are_encoded_once() -> None:
    encoder = HashingEncoder()
    selector, passages = SentenceSelector(encoder), ranked("One sentence. Another one.")
    for question in ("First?", "Second?"):
        selector.select(question, passages)
    assert sum("One sentence." in text for text in encoder.encoded) == 1


def test_no_passage_gives_no_sentence() -> None:
    selector = SentenceSelector(HashingEncoder())
    assert selector.select("What?", []) == []
    assert selector.select("What?", ranked("---")) == []


def test_there_is_one_weight_per_feature() -> None:
    assert len(WEIGHTS) == len(FEATURES)


@pytest.mark.parametrize(
    ("question", "kind", "right", "wrong"),
    [
        ("How many days do I have?", "number", "You have 120 days.", "You have some days left."),
        ("How long is it valid?", "number", "It is valid for two years.", "It is valid for long."),
        ("When does it open?", "time", "It opens on Monday.", "It opens for everybody."),
        ("Who signs the form?", "name", "The form is signed by Ada Lind.", "The form is signed by us."),
        ("Which command starts it?", "command", "Run `make demo` for it.", "Start it by hand."),
        ("贷款利率是多少？", "number", "利率为百分之四。", "利率很低。"),
        ("图书馆什么时候开门？", "time", "早上9点开门。", "大家都可以来。"),
    ],
)
def test_the_kind_of_answer(question: str, kind: AnswerType, right: str, wrong: str) -> None:
    assert asked_type(question) == kind
    assert has_type(right, kind)
    assert not has_type(wrong, kind)


def test_a_question_without_such_words_asks_for_no_kind() -> None:
    assert asked_type("Can I change my mind?") is None


def test_words_of_any_script_are_compared_whole() -> None:
    assert _stems("हिन्दी की किताब") == {"हिन्दी", "की", "किताब"}
    assert _stems("كِتَـابٌ wa\u00adter") == _stems("كتاب water")
    assert _stems("กินข้าว") == {"กิ", "น", "ข้", "า", "ว"}
    assert _stems("年费是80元 payments") == {"年", "费", "是", "80元", "payment"}

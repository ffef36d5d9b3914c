"""Which questions lean on the conversation, and what is searched for then."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.answering.condense import asked_alone, joined_query, leans_on_history, standalone_queries, usable_rewrite
from prompts import Turn
from retrieval import Index, ingest, open_index
from tests.support.hashing_encoder import HashingEncoder

MEANING, WORDS = (1.0, 0.5), (0.0, 1.0)


@pytest.mark.parametrize(
    "question",
    [
        "And if I am under 18?",
        "How much is that abroad?",
        "What about joint accounts?",
        "How about on a bank holiday when the branch is closed?",
        "Does it cost more to use the card in another country?",
        "Why?",
        "How long?",
        "But what happens to the money when the account holder dies?",
        "Is there a lower fee for customers who transfer these amounts online?",
        "Would the same rule hold for a business account with two owners?",
        "Can they ask me for a copy of my passport at the counter?",
        "Who pays for it?",
        "那国外呢？",
        "如果卡丢了，它还能用来付款吗请问？",
        "它要收多少钱的手续费？",
        "这张卡丢了以后应该怎么办理补办手续？",
        "还有别的费用吗？",
        "多少钱？",
    ],
)
def test_a_question_that_points_back_leans(question: str) -> None:
    assert leans_on_history(question)


@pytest.mark.parametrize(
    "question",
    [
        "How long do I have to dispute a card payment?",
        "What does a replacement debit card cost when mine was stolen?",
        "Which documents do I need to open a young saver account?",
        "When does the branch on Mill Street open on a Saturday morning?",
        "How much does a transfer to an account overseas cost?",
        "信用卡在国外取现的手续费是多少？",
        "申请青少年储蓄账户需要哪些证件？",
        "除了借记卡，贵行的客户在其他国家可以用什么卡？",
    ],
)
def test_a_question_that_names_its_subject_does_not(question: str) -> None:
    assert not leans_on_history(question)


def test_a_follow_up_is_searched_with_the_question_before_it() -> None:
    turns = [Turn("user", "What is a saver?"), Turn("assistant", "An account."), Turn("user", "Its rate?")]
    assert joined_query("And abroad?", turns) == "Its rate? And abroad?"
    assert joined_query("And abroad?", []) == "And abroad?"
    assert joined_query("And abroad?", [Turn("assistant", "Good day")]) == "And abroad?"


CARD = [Turn("user", "What does a replacement card cost?"), Turn("assistant", "12 euros.")]
HORSES = [Turn("user", "Which horses ran at Ascot?"), Turn("assistant", "Five.")]


@pytest.mark.parametrize(
    ("question", "turns", "query"),
    [
        ("How long does that take?", CARD, "What does a replacement card cost? How long does that take?"),
        # Joining finds nothing better: by itself it finds as much, or what was asked before is about something else.
        ("How much is a transfer overseas?", CARD, "How much is a transfer overseas?"),
        (
            "Do I keep the receipt and every letter for that?",
            HORSES,
            "Do I keep the receipt and every letter for that?",
        ),
        ("How long does that take?", [], "How long does that take?"),
        ("How long does that take?", [Turn("assistant", "Good day")], "How long does that take?"),
    ],
)
def test_a_question_is_joined_where_that_finds_better_evidence(
    index: Index, question: str, turns: list[Turn], query: str
) -> None:
    assert standalone_queries(index, [(question, turns)], weights=MEANING) == [query]


def test_a_question_that_names_its_subject_is_not_joined_to_another_matter(tmp_path: Path) -> None:
    # Joined it finds the passage of the question before, better than its own, which has few of its words.
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "card.txt").write_text("A replacement card costs 12 euros.\n")
    for number in range(12):
        (tmp_path / "docs" / f"{number}.txt").write_text(f"A young saver of group {number} gets interest daily.\n")
    encoder = HashingEncoder(dimension=256)
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    own, leaning = "Which interest do young people get nowadays at all?", "Which interest do they get nowadays at all?"
    with open_index(tmp_path / "index", encoder) as index:
        for question, query in ((own, own), (leaning, f"{CARD[0].text} {leaning}")):
            alone, joined = index.search_many([question, f"{CARD[0].text} {question}"], 10)
            assert joined[0].dense > alone[0].dense + 0.05
            assert "card" not in {entry.passage.doc_id for entry in alone}
            assert standalone_queries(index, [(question, CARD)], weights=MEANING) == [query]


def test_where_an_index_is_searched_by_words_the_words_of_a_question_decide(index: Index) -> None:
    asked = [("How long does that take?", HORSES), ("Which documents does the young saver account need?", HORSES)]
    assert standalone_queries(index, asked, weights=WORDS) == [joined_query(*asked[0]), asked[1][0]]


def test_many_questions_are_taken_as_each_alone(index: Index) -> None:
    asked = [
        ("How long does that take?", CARD), ("What is free?", []), ("The receipt?", HORSES), ("And overseas?", CARD),
    ]  # fmt: skip
    together = standalone_queries(index, asked, weights=MEANING)
    assert together == [query for one in asked for query in standalone_queries(index, [one], weights=MEANING)]
    assert standalone_queries(index, [], weights=MEANING) == []


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("  What does a card cost abroad?\nBecause", "What does a card cost abroad?"),
        ("", None),
        (" \n ", None),
        ("word " * 41, None),
        ("x" * 301, None),
    ],
)
def test_a_rewriting_that_rambles_is_not_used(text: str, rewrite: str | None) -> None:
    assert usable_rewrite(text) == rewrite


def test_a_joined_query_is_also_judged_by_the_question_alone() -> None:
    history = [Turn("user", "What does a card cost?"), Turn("assistant", "12 euros.")]
    joined = joined_query("And abroad?", history)
    assert asked_alone(joined, "And abroad?") == "And abroad?"
    assert asked_alone("And abroad?", "And abroad?") == "And abroad?"
    # A model's rewrite holds what the question refers to.
    assert asked_alone("What does a card cost abroad?", "And abroad?") == "What does a card cost abroad?"

"""Which questions lean on the conversation, and what is searched for then."""

from __future__ import annotations

import pytest

from chains.condense import joined_query, leans_on_history, usable_rewrite
from prompts import Turn


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
    ],
)
def test_a_question_that_names_its_subject_does_not(question: str) -> None:
    assert not leans_on_history(question)


def test_a_follow_up_is_searched_with_the_question_before_it() -> None:
    turns = [Turn("user", "What is a saver?"), Turn("assistant", "An account."), Turn("user", "Its rate?")]
    assert joined_query("And abroad?", turns) == "Its rate? And abroad?"
    assert joined_query("And abroad?", []) == "And abroad?"
    assert joined_query("And abroad?", [Turn("assistant", "Good day")]) == "And abroad?"


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

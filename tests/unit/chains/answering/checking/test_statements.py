"""Sentences are read as clauses with words, negation and names."""

from __future__ import annotations

import pytest

from chains.answering.checking.statements import content_words, is_negative, read_statement
from chains.answering.checking.stems import stem


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cancelled", "cancellation"), ("paid", "pay"), ("removal", "remove"), ("deliveries", "delivered"),
        ("insurer", "insurance"), ("applied", "application"), ("stopped", "stops"), ("branches", "branch"),
    ],
)  # fmt: skip
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("contract", "contrast"), ("payment", "pay"), ("policy", "polish")])
def test_other_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("text", "negative"),
    [
        ("You can cancel by e-mail.", False),
        ("You can't cancel by e-mail.", True),
        ("Cancelling is not impossible.", False),
        ("Nobody under 18 can apply.", True),
        ("No more than 12 files.", False),
        ("A refused payment", False),
        ("We refuse the payment.", True),
        ("不支持退货", True),
        ("不超过三天", False),
        ("可以退货", False),
        ("无需预约", True),
    ],
)
def test_negation(text: str, negative: bool) -> None:
    assert is_negative(text) is negative


def test_each_clause_has_its_own_negation() -> None:
    clauses = read_statement("Report it and it can't be used again, but refunds go on.").clauses
    assert [clause.negative for clause in clauses] == [False, True, False]


@pytest.mark.parametrize(
    "text", ["It is free of charge.", "There is no charge.", "It costs you nothing.", "这是免费的。"]
)
def test_free_is_one_word(text: str) -> None:
    statement = read_statement(text)
    assert "gratis" in statement.tokens
    assert not any(clause.negative for clause in statement.clauses)


def test_numbers_keep_the_words_beside_them() -> None:
    [clause] = read_statement("EUR 52 for the first visit and EUR 26 for each dressing change").clauses
    first, second = clause.segments
    assert ("visit" in first.words, "dress" in first.words) == (True, False)
    assert ("visit" in second.words, "dress" in second.words) == (False, True)
    assert "visit" in second.inherited


def test_names_and_identifiers() -> None:
    statement = read_statement("Ask Dr Helena Voss to run `grafts --all` with max_tokens.")
    assert {"Helena", "Voss"} <= set(statement.names)
    assert set(statement.identifiers) == {"grafts --all", "max_tokens"}


def test_the_first_word_of_a_sentence_is_no_name() -> None:
    assert read_statement("Replacement cards arrive soon.").names == ()


def test_chinese_words_are_characters_and_pairs() -> None:
    assert content_words("退货运费") == {"退", "货", "运", "费", "退货", "货运", "运费"}

"""Answers from a small closed set."""

from __future__ import annotations

import pytest

from evaluation import Item
from evaluation.questions.closed_answers import closed_answers
from evaluation.run import evaluate


def items(*answers: str, answerable: bool = True) -> list[Item]:
    return [
        Item(id=f"{answerable}{n}", question=f"Question {n}?", answers=(answer,), answerable=answerable)
        for n, answer in enumerate(answers)
    ]


def test_few_short_answers_are_a_closed_set() -> None:
    found = closed_answers(items(*["yes"] * 9, *["No."] * 7, "Yes", *["no"] * 2, "maybe", *["maybe"] * 3))
    assert found is not None
    assert (found.answers, found.counts) == (("yes", "No.", "maybe"), (10, 9, 4))
    assert found.majority == "yes"


def test_an_exception_does_not_open_the_set() -> None:
    found = closed_answers(items(*["yes"] * 20, *["no"] * 19, "only on Sundays"))
    assert found is not None
    assert found.answers == ("yes", "no")


@pytest.mark.parametrize(
    "answers",
    [
        [],
        ["yes"] * 30,
        ["yes"] * 4 + ["no"] * 4,
        ["yes"] * 20 + ["no"] * 10 + [f"{n} pounds" for n in range(5)],
        ["up to twelve weeks ahead"] * 20 + ["not before the end of May"] * 20,
        [f"{n % 20} pounds" for n in range(400)],
    ],
    ids=["none", "always the same", "too few", "others too", "too long", "too many"],
)
def test_other_answers_are_not(answers: list[str]) -> None:
    assert closed_answers(items(*answers)) is None


def test_unanswerable_questions_do_not_count() -> None:
    asked = [*items(*["yes"] * 6, *["no"] * 6), *items(*[f"No idea {n}" for n in range(20)], answerable=False)]
    assert closed_answers(asked) is not None


def test_the_majority_row_always_gives_one_answer() -> None:
    asked = [*items("yes", "no", "yes", "Yes"), *items("", answerable=False)]
    report, [answers] = evaluate(asked, [], None, {}, majority="yes")
    [row] = report.rows
    assert row.accuracy is not None
    assert (row.system, row.questions, row.accuracy.mean, row.wrong_refusals) == ("majority", 5, 0.75, 0.0)
    assert row.refusal_accuracy == 0.0
    assert {answer.reply for answer in answers.answers} == {"yes"}

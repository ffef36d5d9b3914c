"""Refusals are known by how the house words them."""

from __future__ import annotations

import pytest

from evaluation import Item, RefusalClassifier, fit_refusal_classifier
from evaluation.refusals import MINIMUM
from tests.support.hashing_encoder import HashingEncoder

THINGS = ["horses", "boats", "tax", "football", "cooking", "gardens", "music", "snow", "paint", "shoes", "bees", "tea"]
REFUSALS = [f"None of our leaflets says anything about {thing}." for thing in THINGS]
ANSWERS = [f"The fee for card number {number} is {number} euros a year." for number in range(12)]


def training(refusals: int, answers: int) -> list[Item]:
    told = [(text, False) for text in REFUSALS[:refusals]] + [(text, True) for text in ANSWERS[:answers]]
    return [
        Item(id=str(number), question="?", response=text, answerable=answerable)
        for number, (text, answerable) in enumerate(told)
    ]


@pytest.fixture
def judge() -> RefusalClassifier:
    judge = fit_refusal_classifier(HashingEncoder(dimension=256), training(12, 12))
    assert judge is not None
    return judge


def test_refusals_about_other_things_are_known(judge: RefusalClassifier) -> None:
    replies = ["None of our leaflets says anything about goats.", "The fee for card number 40 is 7 euros a year."]
    assert judge.refuses(replies) == [True, False]
    assert judge.refuses(replies[::-1]) == [False, True]


def test_silence_refuses(judge: RefusalClassifier) -> None:
    assert judge.refuses(["", " \n", "The fee is 3 euros."]) == [True, True, False]
    assert judge.refuses([]) == []


@pytest.mark.parametrize(("refusals", "answers"), [(MINIMUM - 1, 12), (12, MINIMUM - 1), (0, 0)])
def test_too_few_examples_make_no_judge(refusals: int, answers: int) -> None:
    assert fit_refusal_classifier(HashingEncoder(), training(refusals, answers)) is None


def test_just_enough_examples_make_one() -> None:
    items = [*training(MINIMUM, MINIMUM), Item(id="untold", question="?", answerable=False)]
    assert fit_refusal_classifier(HashingEncoder(), items) is not None

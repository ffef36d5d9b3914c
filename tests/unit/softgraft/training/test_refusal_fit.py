"""Refusals in a model's own words are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.items import Item
from softgraft.errors import DomainError
from softgraft.training.refusal_fit import REFUSALS, fit_refusals, refusal_check
from tests.support.hashing_encoder import HashingEncoder

REFUSAL = "That is not in our guides, so we cannot say."


def items(count: int) -> list[Item]:
    refusals = [
        Item(id=f"r{n}", question="?", response=f"Sorry, we know nothing about {n}.", answerable=False)
        for n in range(count)
    ]
    answers = [Item(id=f"a{n}", question="?", response=f"The fee for card {n} is 12 euros.") for n in range(count)]
    return [*refusals, *answers]


def test_the_domains_own_refusal_is_always_one(tmp_path: Path) -> None:
    refuses = refusal_check(REFUSAL, HashingEncoder(), tmp_path)
    assert refuses(f" {REFUSAL}")
    assert not refuses("The fee is 12 euros.")
    assert not refuses("That is in our guides.")
    assert not refuses("...")


def test_other_words_are_learned_from_the_training_questions(tmp_path: Path) -> None:
    encoder = HashingEncoder(dimension=256)
    assert fit_refusals(tmp_path, encoder, items(12))
    refuses = refusal_check(REFUSAL, encoder, tmp_path)
    assert refuses("Sorry, we know nothing about shares.")
    assert not refuses("The fee for a transfer is 12 euros.")
    # Vectors of another encoder mean something else.
    assert not refusal_check(REFUSAL, HashingEncoder("other", 256), tmp_path)("Sorry, we know nothing about shares.")


def test_too_few_refusals_fit_nothing_and_remove_what_was_fitted(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    fit_refusals(tmp_path, encoder, items(12))
    assert not fit_refusals(tmp_path, encoder, items(3))
    assert not (tmp_path / REFUSALS).exists()


def test_the_same_questions_are_encoded_once(tmp_path: Path) -> None:
    encoder = HashingEncoder(dimension=256)
    first = fit_refusals(tmp_path, encoder, items(12))
    encoded = len(encoder.encoded)
    again = fit_refusals(tmp_path, encoder, items(12))
    assert first is not None
    assert again is not None
    assert again.weights == pytest.approx(first.weights)
    assert len(encoder.encoded) == encoded
    fit_refusals(tmp_path, encoder, items(13))
    assert len(encoder.encoded) > encoded


def test_damage_is_reported(tmp_path: Path) -> None:
    (tmp_path / REFUSALS).write_text("{}", encoding="utf-8")
    with pytest.raises(DomainError, match="not a valid classifier"):
        refusal_check(REFUSAL, HashingEncoder(), tmp_path)

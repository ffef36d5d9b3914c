"""Labels, their words, and what calibrates their scores."""

from __future__ import annotations

import numpy as np
import pytest

from chains.errors import InputError
from chains.tasks.labels import contextual_bias, prior_bias, softmax
from chains.tasks.verbalizer import Verbalizer, default_words


def test_the_words_of_a_label() -> None:
    assert default_words("card_arrival") == "card arrival"
    assert default_words("Refund_not__showing up") == "Refund not showing up"


@pytest.mark.parametrize(
    ("words", "said"),
    [({}, "0 labels"), ({"a": "x"}, "1 labels"), ({"a": "x", "b": " "}, "b without words"),
     ({"a": "x", "b": "x", "c": "y"}, "a, b with the same words")],
)  # fmt: skip
def test_labels_need_words_of_their_own(words: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Verbalizer(words)


def test_after_contextual_calibration_nothing_has_no_favourite() -> None:
    scores = np.array([[-1.0, -5.0, -9.0]])
    bias = np.array(contextual_bias(scores))
    np.testing.assert_allclose(softmax(scores + bias), 1 / 3, rtol=1e-6)


def test_after_prior_calibration_labels_come_as_often_as_they_should() -> None:
    chance = np.random.default_rng(0)
    scores = chance.normal(size=(200, 4)) + np.array([0.0, -3.0, 5.0, -40.0])
    wanted = np.array([0.4, 0.3, 0.2, 0.1])
    found = softmax(scores + np.array(prior_bias(scores, wanted))).mean(axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_probabilities_of_very_unlikely_labels() -> None:
    assert softmax(np.array([-4000.0, -4001.0])).sum() == pytest.approx(1.0)

"""Bootstrap intervals: the same every time, and about as wide as theory says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import mean_interval, paired_difference


def test_the_same_values_give_the_same_interval() -> None:
    values = [0.1, 0.9, 0.4, 1.0, 0.0]
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values, seed=1) != mean_interval(values)


@pytest.mark.parametrize(("questions", "share"), [(100, 0.5), (400, 0.5), (400, 0.1)])
def test_it_is_about_as_wide_as_the_normal_interval(questions: int, share: float) -> None:
    ones = round(questions * share)
    found = mean_interval([1.0] * ones + [0.0] * (questions - ones))
    assert found is not None
    half = 1.96 * math.sqrt(share * (1 - share) / questions)
    assert found.mean == pytest.approx(share)
    assert found.high - found.mean == pytest.approx(half, rel=0.12)
    assert found.mean - found.low == pytest.approx(half, rel=0.12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_it_holds_the_mean_and_stays_among_the_values(values: list[float]) -> None:
    found = mean_interval(values)
    assert found is not None
    tiny = 1e-9
    assert min(values) - tiny <= found.low <= found.mean + tiny
    assert found.mean - tiny <= found.high <= max(values) + tiny


def test_pairs_are_compared_question_by_question() -> None:
    theirs = [0.0, 0.2, 0.4, 0.6, 0.8]
    found = paired_difference([value + 0.1 for value in theirs], theirs)
    assert found is not None
    # Every question gained the same, so there is nothing uncertain about it.
    assert (found.low, found.mean, found.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired_difference([1.0], [1.0, 0.0])


def test_nothing_has_no_interval() -> None:
    assert mean_interval([]) is None
    assert paired_difference([], []) is None

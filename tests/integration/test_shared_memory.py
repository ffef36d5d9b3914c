"""A second domain adds no second copy of the backbone and the encoder to the memory of a process."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.script import in_own_process
from benchmarks.speed.domain_memory import measure

pytestmark = pytest.mark.slow

MIB = 2**20


def added(measured: dict[str, Any]) -> float:
    """MiB of memory that the models of all domains take, without pages of mapped files."""
    return float(measured["anonymous"] - measured["before"]["anonymous"]) / MIB


def test_two_domains_take_the_memory_of_one() -> None:
    one, two = (in_own_process(measure, count, "shared") for count in (1, 2))
    assert (one["backbones"], two["backbones"]) == (1, 1)
    # The backbone alone has 135 million weights of two or four bytes.
    assert added(one) > 200
    assert added(two) < added(one) + 60


def test_separate_models_take_twice_as_much() -> None:
    """What the test above would measure if nothing were shared."""
    two = in_own_process(measure, 2, "separate")
    assert two["backbones"] == 2
    assert added(two) > 400

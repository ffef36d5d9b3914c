"""How several domains share the batches of a source."""

from __future__ import annotations

import pytest

from softgraft.sources.mixing import mixed, mixed_sizes


def test_a_temperature_of_one_keeps_the_sizes() -> None:
    assert mixed_sizes([240, 60, 12], 1.0) == [240, 60, 12]


def test_a_higher_temperature_makes_the_shares_more_equal() -> None:
    # Weights 20 and 10 at a temperature of 2.
    assert mixed_sizes([400, 100], 2.0) == [333, 167]
    assert mixed_sizes([400, 100], 1000.0) == [250, 250]


def test_small_domains_are_repeated_and_large_ones_thinned_out_evenly() -> None:
    large, small = [f"a{n}" for n in range(8)], ["b0", "b1"]
    chosen = mixed([large, small], 1000.0)
    assert chosen == ["a0", "a1", "a3", "a4", "a6", *small * 2, "b0"]
    assert mixed([large, small], 1.0) == [*large, *small]


@pytest.mark.parametrize(("sizes", "temperature"), [([3, 0], 2.0), ([3], 0.5)])
def test_empty_domains_and_low_temperatures_are_refused(sizes: list[int], temperature: float) -> None:
    with pytest.raises(ValueError, match="none below 1"):
        mixed_sizes(sizes, temperature)

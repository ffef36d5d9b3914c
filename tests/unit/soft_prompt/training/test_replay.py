"""Which source examples a step replays, and how they are weighted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soft_prompt.training.methods.replay import (
    MAX_WEIGHT,
    Replay,
    effective_sample_size,
    likelihood_weights,
    token_weights,
)


def test_a_share_of_every_batch_is_replayed() -> None:
    replay = Replay(pool=50, batch_size=8, share=0.5, anneal=False, steps=10, seed=0)
    assert [replay.count_at(step) for step in range(10)] == [8] * 10
    assert Replay(50, 6, 0.25, anneal=False, steps=10, seed=0).count_at(3) == 2


@pytest.mark.parametrize("anneal", [False, True])
@pytest.mark.parametrize(("batch_size", "share"), [(8, 0.05), (1, 0.25)])
def test_a_share_too_small_for_one_example_replays_one(batch_size: int, share: float, anneal: bool) -> None:
    replay = Replay(pool=50, batch_size=batch_size, share=share, anneal=anneal, steps=10, seed=0)
    assert [replay.count_at(step) for step in range(10)] == [1] * 10


def test_an_annealed_share_falls_to_nothing() -> None:
    replay = Replay(pool=50, batch_size=8, share=0.5, anneal=True, steps=20, seed=0)
    counts = [replay.count_at(step) for step in range(20)]
    assert (counts[0], counts[-1]) == (8, 0)
    assert counts == sorted(counts, reverse=True)


def test_every_example_is_replayed_once_before_one_is_replayed_again() -> None:
    replay = Replay(pool=6, batch_size=2, share=0.5, anneal=False, steps=6, seed=0)
    chosen = [index for step in range(6) for index in replay.chosen_at(step)]
    assert sorted(chosen[:6]) == sorted(chosen[6:]) == list(range(6))
    assert chosen[:6] != chosen[6:]
    assert Replay(6, 2, 0.5, anneal=False, steps=6, seed=1).chosen_at(0) != replay.chosen_at(0)


@given(
    tokens=st.lists(st.integers(1, 40), min_size=2, max_size=12),
    share=st.floats(0.05, 0.95),
    replayed=st.integers(1, 11),
)
def test_both_parts_have_their_share_of_the_loss_whatever_their_sizes(
    tokens: list[int], share: float, replayed: int
) -> None:
    count = min(replayed, len(tokens) - 1)
    among = [None] * (len(tokens) - count) + [1.0] * count
    weights = token_weights(tokens, among, share)
    # A loss of 1 per token, summed as in training.
    source = math.fsum(n * w for n, w, one in zip(tokens, weights, among, strict=True) if one is not None)
    assert source / sum(tokens) == pytest.approx(share)
    assert math.fsum(n * w for n, w in zip(tokens, weights, strict=True)) == pytest.approx(sum(tokens))


def test_a_batch_of_one_kind_keeps_its_loss() -> None:
    assert token_weights([3, 4], [None, None], 0.25) == [1.0, 1.0]
    assert token_weights([3, 4], [1.0, 1.0], 0.25) == [1.0, 1.0]


def test_likely_source_examples_weigh_more() -> None:
    weights = likelihood_weights([0.5, 1.0, 3.0], temperature=1.0)
    assert weights == sorted(weights, reverse=True)
    assert weights[0] / weights[1] == pytest.approx(math.exp(0.5))
    assert math.fsum(weights) == pytest.approx(3)
    assert likelihood_weights([0.5, 1.0, 3.0], temperature=1e6) == pytest.approx([1, 1, 1], abs=1e-4)


def test_one_example_does_not_decide() -> None:
    weights = likelihood_weights([0.0] + [20.0] * 99, temperature=1.0)
    # Clipped before the mean is made 1 again.
    assert weights[0] / math.fsum(weights) == pytest.approx(1, abs=1e-4)
    raw = likelihood_weights([0.0] + [3.0] * 99, temperature=1.0)
    unclipped = math.exp(0) * 100 / (1 + 99 * math.exp(-3))
    assert unclipped > MAX_WEIGHT
    assert raw[0] / raw[1] == pytest.approx(MAX_WEIGHT / (unclipped * math.exp(-3)))


def test_the_effective_sample_size_counts_equal_weights() -> None:
    assert effective_sample_size([1.0] * 7) == pytest.approx(7)
    assert effective_sample_size([4.0, 0.0, 0.0, 0.0]) == pytest.approx(1)

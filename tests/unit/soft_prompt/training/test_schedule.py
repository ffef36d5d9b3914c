"""The order of examples and the learning rate."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soft_prompt.training.schedule import epoch_batches, learning_rate, plan_epochs

LENGTHS = st.lists(st.integers(1, 500), max_size=200)


@given(lengths=LENGTHS, batch_size=st.integers(1, 20), seed=st.integers(), epoch=st.integers(0, 50))
def test_an_epoch_has_every_example_once(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == math.ceil(len(lengths) / batch_size)


def test_the_order_follows_from_seed_and_epoch() -> None:
    lengths = list(range(40))
    first = epoch_batches(lengths, 4, 0, 0)
    assert epoch_batches(lengths, 4, 0, 0) == first
    assert epoch_batches(lengths, 4, 0, 1) != first
    assert epoch_batches(lengths, 4, 1, 0) != first
    # Seed and epoch are not added up, or seed 0 in epoch 1 would be seed 1 in epoch 0.
    assert epoch_batches(lengths, 4, 0, 1) != epoch_batches(lengths, 4, 1, 0)


def test_examples_of_like_length_stand_together() -> None:
    lengths = [10, 400] * 32
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in epoch_batches(lengths, 8, 0, 0))
    # In the order given every batch of eight would pad its short half: 64 * 400.
    assert padded <= 1.1 * sum(lengths)


def test_the_rate_warms_up_to_its_peak_and_falls_to_zero() -> None:
    rates = [learning_rate(step, peak=2.0, warmup=10, total=50) for step in range(51)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rates[30] == pytest.approx(1.0)
    assert rates[50] == pytest.approx(0.0)


@given(step=st.integers(0, 300), warmup=st.integers(0, 100), total=st.integers(1, 200))
def test_the_rate_is_never_negative_and_never_above_its_peak(step: int, warmup: int, total: int) -> None:
    # A run may be shorter than its warm-up.
    assert 0 <= learning_rate(step, peak=0.02, warmup=warmup, total=total) <= 0.02


@pytest.mark.parametrize(
    ("examples", "epochs", "min_steps", "planned", "every"),
    [
        (240, 2, 60, 2, 1),
        (240, 2, 61, 3, 1),
        (24, 2, 60, 20, 3),
        (4, 45, 1, 45, 1),
        (1, 2, 60, 60, 8),
        (30, 20, 60, 20, 1),
    ],
)
def test_few_examples_make_more_epochs(examples: int, epochs: int, min_steps: int, planned: int, every: int) -> None:
    plan = plan_epochs(examples, 8, epochs, min_steps)
    assert (plan.epochs, plan.every) == (planned, every)
    assert plan.steps == planned * math.ceil(examples / 8)


@given(st.integers(1, 500), st.integers(1, 20), st.integers(1, 50), st.integers(1, 300))
def test_a_run_has_its_minimum_of_steps_and_scores_its_end(
    examples: int, batch_size: int, epochs: int, min_steps: int
) -> None:
    plan = plan_epochs(examples, batch_size, epochs, min_steps)
    assert plan.steps >= min_steps
    assert plan.epochs >= epochs
    scored = [epoch for epoch in range(1, plan.epochs + 1) if plan.scored(epoch)]
    assert scored[-1] == plan.epochs
    assert plan.epochs == epochs or len(scored) <= 9

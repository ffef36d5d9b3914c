"""The order of examples and the learning rate. Both depend on seed and step alone, so a run can resume."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

# Examples are sorted by length within windows of this many batches.
_WINDOW_BATCHES = 8
# Number of dev evaluations if `min_steps` adds epochs. With few examples an epoch is too short for one each.
_SCORES = 8


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The epochs of a run and its steps; dev is scored after every `every` epochs and after the last."""

    epochs: int
    steps: int
    every: int

    def scored(self, epoch: int) -> bool:
        """Whether dev is scored after this many epochs."""
        return epoch % self.every == 0 or epoch == self.epochs


def plan_epochs(examples: int, batch_size: int, epochs: int, min_steps: int) -> EpochPlan:
    """`epochs` epochs, or as many as `min_steps` steps take."""
    per_epoch = math.ceil(examples / batch_size)
    needed = math.ceil(min_steps / per_epoch)
    if needed <= epochs:
        return EpochPlan(epochs, epochs * per_epoch, 1)
    return EpochPlan(needed, needed * per_epoch, math.ceil(needed / _SCORES))


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up, then cosine decay to zero. `step` counts from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the examples of one epoch, batch by batch.

    Examples are shuffled, then sorted by length within windows of eight batches: little is padded, and batches still
    differ between epochs. Every batch but the last of the last window is full.
    """
    rng = random.Random(f"{seed}-{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    window = batch_size * _WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        by_length = sorted(order[start : start + window], key=lambda i: lengths[i])
        batches += [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
    rng.shuffle(batches)
    return batches

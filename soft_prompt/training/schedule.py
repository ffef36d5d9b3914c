"""The order of examples and the learning rate: both are functions of the seed and the step, so a run can resume."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up, then cosine to zero. `step` counts from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the examples, batch by batch, for one epoch.

    Examples are shuffled, then put together by length within windows of eight batches, so that little is padded and
    every epoch still has other neighbours.
    """
    chance = random.Random(f"{seed}-{epoch}")
    order = list(range(len(lengths)))
    chance.shuffle(order)
    window = batch_size * 8
    batches = []
    for start in range(0, len(order), window):
        alike = sorted(order[start : start + window], key=lambda i: lengths[i])
        batches += [alike[i : i + batch_size] for i in range(0, len(alike), batch_size)]
    chance.shuffle(batches)
    return batches


def batches_per_epoch(examples: int, batch_size: int) -> int:
    """How many batches `epoch_batches` makes."""
    window = batch_size * 8
    full, rest = divmod(examples, window)
    return full * 8 + math.ceil(rest / batch_size)

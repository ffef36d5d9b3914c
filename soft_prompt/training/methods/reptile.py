"""Reptile: a start from which every domain is learned in few steps (Nichol et al. 2018, arXiv:1803.02999).

A few steps are made on one domain, then the tensors go only part of the way from where they were before these steps to
where they are. AdamW's moments are kept from domain to domain.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from soft_prompt.training.schedule import epoch_batches

INNER_STEPS = 4
OUTER_RATE = 0.5


def grouped_batches(
    lengths: Sequence[int], groups: Sequence[int], batch_size: int, inner_steps: int, seed: int, epoch: int
) -> list[list[list[int]]]:
    """The batches of one epoch in runs of up to `inner_steps`, each run of one group, the runs in random order.

    Args:
        lengths: of the examples.
        groups: the group of each example.
    """
    runs: list[list[list[int]]] = []
    for group in sorted(set(groups)):
        own = [i for i, one in enumerate(groups) if one == group]
        batches = epoch_batches([lengths[i] for i in own], batch_size, seed, epoch)
        named = [[own[i] for i in batch] for batch in batches]
        runs += [named[first : first + inner_steps] for first in range(0, len(named), inner_steps)]
    random.Random(f"{seed}-reptile-{epoch}").shuffle(runs)
    return runs

"""Cut a dev set from train, always the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from evaluation.items import Item
from evaluation.task_items import DEV_MOST, DEV_SHARE, SEED

# Below this number of dev questions, up to a quarter of train goes to dev.
DEV_LEAST = 10


def dev_size(questions: int) -> int:
    """The intended number of dev questions: 15% of train, at most 150. Below ten, up to a quarter of train."""
    return min(DEV_MOST, max(round(DEV_SHARE * questions), min(DEV_LEAST, questions // 4)))


def cut_dev(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split questions into train and dev with a fixed seed; no group is in both, and most questions stay in train.

    The group of a question without one is its document. If all questions are about one document, they are split one by
    one.
    """
    groups = {item.id: item.group or item.doc_id or item.id for item in items}
    chosen = _chosen(groups, dev_size(len(items)))
    if not chosen:
        chosen = _chosen({item.id: item.id for item in items}, dev_size(len(items)))
    return [i for i in items if i.id not in chosen], [i for i in items if i.id in chosen]


def _chosen(group_of: Mapping[str, str], target: int) -> set[str]:
    """The ids of whole groups with at least `target` questions in all, if that leaves at least half of them."""
    sizes = Counter(group_of.values())
    groups = sorted(sizes)
    random.Random(SEED).shuffle(groups)
    chosen: set[str] = set()
    taken = 0
    for group in groups:
        if taken >= target:
            break
        if 2 * (taken + sizes[group]) <= len(group_of):
            chosen.add(group)
            taken += sizes[group]
    return {id_ for id_, group in group_of.items() if group in chosen}

"""Reptile: a start from which every domain is learned in few steps (Nichol et al. 2018, arXiv:1803.02999).

A few steps are made on one group of examples, a domain or a document, then the tensors go only part of the way from
where they were before these steps to where they are. AdamW's moments are kept from group to group.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence

from soft_prompt.training.schedule import epoch_batches

INNER_STEPS = 4
OUTER_RATE = 0.5
MIN_GROUP_QUESTIONS = 4


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


def document_groups(
    domains: Sequence[int], documents: Sequence[str], questions: Sequence[Hashable], minimum: int
) -> list[int]:
    """Groups of examples by domain and document, each with at least `minimum` different questions where possible.

    Documents of one domain with fewer questions are joined, in the order of their names, until there are enough; what
    is left over joins the last group. A domain with fewer questions is one group.

    Args:
        domains: number of each example's domain.
        documents: name of each example's document; empty if it has none.
        questions: what tells different questions of a domain apart; an example may be repeated.

    Returns:
        The number of each example's group, from 0.
    """
    found: dict[int, dict[str, set[Hashable]]] = defaultdict(lambda: defaultdict(set))
    for domain, document, question in zip(domains, documents, questions, strict=True):
        found[domain][document].add(question)
    number_of: dict[tuple[int, str], int] = {}
    count = 0
    for domain in sorted(found):
        first, small = count, set[Hashable]()
        joined: list[str] = []
        for document, own in sorted(found[domain].items()):
            if len(own) >= minimum:
                number_of[domain, document] = count
                count += 1
                continue
            joined.append(document)
            small |= own
            if len(small) >= minimum:
                number_of |= {(domain, name): count for name in joined}
                count, joined, small = count + 1, [], set()
        if joined:
            count = max(count, first + 1)
            number_of |= {(domain, name): count - 1 for name in joined}
    return [number_of[domain, document] for domain, document in zip(domains, documents, strict=True)]

"""How often each domain is trained on, if a source graft is trained on several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from evaluation.items import spread

T = TypeVar("T")
# Between the true sizes (1) and equal shares (infinite); as multilingual models mix their languages (Conneau et al.
# 2020, arXiv:1911.02116, whose exponent 0.5 is a temperature of 2).
TEMPERATURE = 2.0


def mixed_sizes(sizes: Sequence[int], temperature: float = TEMPERATURE) -> list[int]:
    """Examples per epoch of each domain: as many in all as there are, shared in proportion to `size ** (1 / T)`.

    A domain has at least one. Raises ValueError if a size is below 1, or the temperature below 1.
    """
    if min(sizes, default=0) < 1 or temperature < 1:
        raise ValueError(f"sizes {list(sizes)}, temperature {temperature}; expected none below 1")
    weights = [size ** (1 / temperature) for size in sizes]
    return [max(1, round(sum(sizes) * weight / sum(weights))) for weight in weights]


def mixed(examples: Sequence[Sequence[T]], temperature: float = TEMPERATURE) -> list[T]:
    """The examples of all domains, those of small domains repeated and those of large ones thinned out evenly."""
    chosen: list[T] = []
    for own, size in zip(examples, mixed_sizes([len(own) for own in examples], temperature), strict=True):
        whole, rest = divmod(size, len(own))
        chosen += [*own] * whole + spread(own, rest)
    return chosen

"""Runs: keys and values of consecutive positions, which requests with the same prefix share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soft_prompt.model.kv_cache import LayerKV


@dataclass(frozen=True, eq=False)
class Run:
    """Keys and values of consecutive positions.

    Attributes:
        start: the first position.
        length: number of positions.
        layers: keys and values, one pair per layer, each `[kv_heads, length, head_dim]`. Do not write to them.
        owner: what must stay alive with the run, because the run is identified by it.
    """

    start: int
    length: int
    layers: tuple[LayerKV, ...]
    owner: object = None

    @property
    def nbytes(self) -> int:
        """Size of the keys and values in bytes."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def first(self, length: int) -> Run:
        """The run's first positions."""
        if length >= self.length:
            return self
        return Run(self.start, length, tuple((k[:, :length], v[:, :length]) for k, v in self.layers), self.owner)


def first_positions(runs: Sequence[Run], length: int) -> tuple[Run, ...]:
    """The runs cut at `length` positions, counted from the first run's start."""
    kept = []
    for run in runs:
        if length <= 0:
            break
        kept.append(run.first(length))
        length -= run.length
    return tuple(kept)

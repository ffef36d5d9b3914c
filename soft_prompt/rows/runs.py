"""Runs: keys and values of consecutive positions, which requests with the same prefix share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from soft_prompt.model.kv_cache import LayerKV


@dataclass(frozen=True, eq=False)
class Run:
    """Keys and values of consecutive positions.

    Attributes:
        start: the first position.
        length: number of positions.
        layers: keys and values, one pair per layer, each `[kv_heads, length, head_dim]`, with the positions of a head
            one behind the other in memory, and the same distance between heads everywhere. Do not write to them.
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

    @cached_property
    def addresses(self) -> Any:
        """Of the keys and values in memory, `[layers, 2]`, int64."""
        return np.array([(keys.data_ptr(), values.data_ptr()) for keys, values in self.layers], dtype=np.int64)

    @cached_property
    def head_stride(self) -> int:
        """Distance of two heads in memory, in numbers."""
        return int(self.layers[0][0].stride(0))

    def first(self, length: int) -> Run:
        """The run's first positions."""
        if length >= self.length:
            return self
        return Run(self.start, length, tuple((k[:, :length], v[:, :length]) for k, v in self.layers), self.owner)

    def compact(self) -> Run:
        """The same run; a copy if it keeps more than twice its own size in memory, as the start of a long run does."""
        storages = [tensor.untyped_storage() for pair in self.layers for tensor in pair]
        if sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()) <= 2 * self.nbytes:
            return self
        copies = tuple((_copied(k), _copied(v)) for k, v in self.layers)
        return Run(self.start, self.length, copies, self.owner)


def first_positions(runs: Sequence[Run], length: int) -> tuple[Run, ...]:
    """The runs cut at `length` positions, counted from the first run's start."""
    kept = []
    for run in runs:
        if length <= 0:
            break
        kept.append(run.first(length))
        length -= run.length
    return tuple(kept)


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def joined_run(runs: Sequence[Run]) -> Run:
    """Consecutive runs as one, which is a copy."""
    layers = [
        tuple(torch.cat(parts, dim=-2) for parts in zip(*pairs, strict=True))
        for pairs in zip(*(run.layers for run in runs), strict=True)
    ]
    return Run(runs[0].start, sum(run.length for run in runs), tuple(layers))  # type: ignore[arg-type]

"""An adapter with dropout, with its part doubled, or alone behind the text twin in words.

Dropout is LoRA's (Hu et al. 2021, arXiv:2106.09685), on what goes into an adapter; on vectors it drops a part of what
they have learned, since what they started from is text that the backbone reads well.
"""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from torch import Tensor

from quality_data import Question
from quality_prototypes_rows import RowPrototype
from quality_systems import GraftSettings, Where
from soft_prompt import PrefixStore, SoftPrompt, from_text_twin, initial_adapter
from soft_prompt.prompt import VECTORS

# What each is measured beside, where it trains vectors too.
BOTH = GraftSettings(rank=16, rate=1e-2, adapter_rate=3e-3)


class AdapterPrototype(RowPrototype):
    """An adapter, or none, beside vectors that are trained or the twin's own.

    Args:
        where: what it is trained for.
        rank: of the adapter; 0 for none.
        adapter_rate: its highest learning rate.
        vectors: whether a `kv` soft prompt of 32 is trained too; else the text twin stands in the slot as text.
        scale: of what the adapter adds.
        adapter_dropout: share of an adapter's inputs that a step leaves out, the same ones for all tokens of the step.
        vector_dropout: share of what the vectors have learned that a step leaves out.
    """

    def __init__(
        self,
        where: Where,
        *,
        rank: int = BOTH.rank,
        adapter_rate: float = BOTH.adapter_rate,
        vectors: bool = True,
        scale: float = 1.0,
        adapter_dropout: float = 0.0,
        vector_dropout: float = 0.0,
    ) -> None:
        super().__init__(where)
        self.rank, self.adapter_rate, self.vectors, self.scale = rank, adapter_rate, vectors, scale
        self.adapter_dropout, self.vector_dropout = adapter_dropout, vector_dropout

    def start(self, store: PrefixStore, question: Question) -> SoftPrompt:
        backbone, slot, twin = self.where.backbone, self.where.slot, self.where.twin
        words = from_text_twin(backbone, slot, twin)
        found = super().start(store, question) if self.vectors else words
        return replace(found, adapter=initial_adapter(backbone, self.rank, self.where.seed) if self.rank else None)

    def rate(self, name: str) -> float:
        if name != VECTORS:
            return self.adapter_rate
        return (BOTH.rate if self.rank else super().rate(name)) if self.vectors else 0.0

    def now(self, step: int | None) -> SoftPrompt:
        plain = super().now(step)
        return plain.with_tensors({name: self._changed(name, t, step) for name, t in plain.tensors().items()})

    def _changed(self, name: str, tensor: Tensor, step: int | None) -> Tensor:
        if name.startswith("up."):
            return tensor * self.scale
        share = self.vector_dropout if name == VECTORS else self.adapter_dropout
        if step is None or not share:
            return tensor
        chance = torch.Generator().manual_seed(random.Random(f"{self.where.seed}-{step}-{name}").getrandbits(31))
        if name == VECTORS:
            start = self.begun.vectors
            return start + (tensor - start) * _kept(tensor.shape, share, chance)
        return tensor * _kept((tensor.shape[1],), share, chance)


def _kept(shape: tuple[int, ...], share: float, chance: torch.Generator) -> Tensor:
    """0 where something is left out, and what makes up for it elsewhere."""
    return (torch.rand(shape, generator=chance) >= share).float() / (1 - share)

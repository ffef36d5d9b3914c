"""One encoded prompt: token ids and soft prompts in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.grammar.constraint import Constraint
from soft_prompt.model.backbone import Backbone

# What fills a soft slot: vectors, a text (its text twin), or nothing.
SlotFill = SoftPrompt | str | None

# Whether passages see one another. A soft prompt is served with the attention that it was trained with.
Attention = Literal["exact", "block"]

# Part of a row.
RowPart = tuple[int, ...] | SoftPrompt


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded prompt.

    Attributes:
        prefix: token ids before the first soft prompt. Their keys and values depend on nothing trained, so they come
            from the prefix store.
        suffix: the rest, token ids and soft prompts in order.
        cuts: offsets of the prefix's segments, without the first one, the head, which starts at 0.
        attention: `exact` is ordinary causal attention; with `block` each passage sees only the head and itself.
        passages: number of segments behind the head that are passages; None means all. The text behind them sees
            everything before it.
        constraint: what the reply must match, if anything.
    """

    prefix: tuple[int, ...]
    suffix: tuple[RowPart, ...]
    cuts: tuple[int, ...] = ()
    attention: Attention = "exact"
    passages: int | None = None
    constraint: Constraint | None = None

    @property
    def segments(self) -> tuple[tuple[int, ...], ...]:
        """The prefix in segments: the head, the passages, and the text behind them."""
        return tuple(self.prefix[start:end] for start, end in pairwise((0, *self.cuts, len(self.prefix))))

    def is_passage(self, number: int) -> bool:
        """Whether the segment with this number is a passage."""
        return 0 < number <= (len(self.cuts) if self.passages is None else self.passages)

    @property
    def fixed_prefix(self) -> bool:
        """Whether the prefix must not run with the suffix, where its tokens would see or meet something else."""
        separate_passages = self.attention == "block" and self.is_passage(2)
        return separate_passages or self.kv_prompt is not None or self.adapter is not None

    @property
    def kv_prompt(self) -> SoftPrompt | None:
        """The `kv` soft prompt right behind the prefix, if there is one."""
        first = self.suffix[0] if self.suffix else None
        return first if isinstance(first, SoftPrompt) and first.kind == "kv" else None

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that acts behind the prefix.

        Raises:
            BackboneError: if two soft prompts of the row have an adapter.
        """
        adapters = [part.adapter for part in self.suffix if isinstance(part, SoftPrompt) and part.adapter is not None]
        if len(adapters) > 1:
            raise BackboneError(
                found=f"{len(adapters)} soft prompts with an adapter in one prompt",
                expected="one of them at most, since each would act on what the other has learned",
                next_step="train all but one of them without an adapter: softgraft train DOMAIN --adapter none",
            )
        return adapters[0] if adapters else None

    @property
    def run_length(self) -> int:
        """Number of positions of the suffix that run through the model."""
        return sum(part.run_length if isinstance(part, SoftPrompt) else len(part) for part in self.suffix)

    @property
    def length(self) -> int:
        """Number of positions of the whole row."""
        return len(self.prefix) + sum(p.length if isinstance(p, SoftPrompt) else len(p) for p in self.suffix)

    def followed_by(self, ids: tuple[int, ...]) -> Row:
        """The row with token ids appended."""
        return replace(self, suffix=(*self.suffix, ids))

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> Row:
        """The row with another soft prompt in the slot of the same name."""
        slot = soft_prompt.slot
        parts = (soft_prompt if isinstance(p, SoftPrompt) and p.slot == slot else p for p in self.suffix)
        return replace(self, suffix=tuple(parts))


def embed_parts(backbone: Backbone, parts: Iterable[RowPart]) -> Tensor:
    """Embeddings of at least one token id or vector, `[positions, hidden]`, in the backbone's dtype.

    Differentiable in the soft prompts' vectors, which must not be of the kind `kv`.
    """
    return torch.cat(
        [
            part.vectors.to(device=backbone.device, dtype=backbone.dtype)
            if isinstance(part, SoftPrompt)
            else backbone.embed(part)
            for part in parts
            if isinstance(part, SoftPrompt) or part
        ]
    )

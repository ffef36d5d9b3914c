"""One encoded prompt: token ids and soft prompts in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from soft_prompt.errors import BackboneError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.grammar.constraint import Constraint

# What goes into a soft slot: vectors, a text (its text twin), or nothing.
SlotFill = SoftPrompt | str | None


# Whether passages see one another. A soft prompt is served with the attention that it was trained with.
Attention = Literal["exact", "block"]


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded prompt.

    Attributes:
        prefix: token ids before the first soft prompt; their keys and values depend on nothing trained, so they
            come from the prefix store.
        suffix: the rest, token ids and soft prompts in order.
        cuts: offsets into the prefix at which its segments begin, but for the first, the head.
        attention: `exact` is ordinary causal attention; with `block` passages see the head and themselves alone.
        passages: how many segments behind the head are passages; None means all. What follows them is text, which
            sees everything before it.
        constraint: what the reply must match, if anything.
    """

    prefix: tuple[int, ...]
    suffix: tuple[tuple[int, ...] | SoftPrompt, ...]
    cuts: tuple[int, ...] = ()
    attention: Attention = "exact"
    passages: int | None = None
    constraint: Constraint | None = None

    @property
    def segments(self) -> tuple[tuple[int, ...], ...]:
        """The prefix in segments: the head, the passages, and text behind them."""
        return tuple(self.prefix[start:end] for start, end in pairwise((0, *self.cuts, len(self.prefix))))

    def is_passage(self, number: int) -> bool:
        """Whether that segment is a passage."""
        return 0 < number <= (len(self.cuts) if self.passages is None else self.passages)

    @property
    def fixed_prefix(self) -> bool:
        """Whether no token of the prefix may run again with the suffix, where it would see or meet something else."""
        apart = self.attention == "block" and self.is_passage(2)
        return apart or self.kv_prompt is not None or self.adapter is not None

    @property
    def suffix_length(self) -> int:
        """Positions of the suffix."""
        return sum(part.length if isinstance(part, SoftPrompt) else len(part) for part in self.suffix)

    @property
    def kv_prompt(self) -> SoftPrompt | None:
        """The `kv` soft prompt that stands right behind the prefix, if there is one."""
        first = self.suffix[0] if self.suffix else None
        return first if isinstance(first, SoftPrompt) and first.kind == "kv" else None

    @property
    def adapter(self) -> Adapter | None:
        """What acts beside the backbone's weights behind the prefix.

        Raises:
            BackboneError: two soft prompts of the row have one each.
        """
        found = [part.adapter for part in self.suffix if isinstance(part, SoftPrompt) and part.adapter is not None]
        if len(found) > 1:
            raise BackboneError(
                found=f"{len(found)} soft prompts with an adapter in one prompt",
                expected="one of them at most, since each would act on what the other has learned",
                next_step="train all but one of them without an adapter: softgraft train DOMAIN --adapter none",
            )
        return found[0] if found else None

    @property
    def run_length(self) -> int:
        """Positions of the suffix that run through the model."""
        return sum(part.run_length if isinstance(part, SoftPrompt) else len(part) for part in self.suffix)

    @property
    def length(self) -> int:
        """Positions of the whole row."""
        return len(self.prefix) + self.suffix_length

    def followed_by(self, ids: tuple[int, ...]) -> Row:
        """The row with token ids behind it."""
        return replace(self, suffix=(*self.suffix, ids))

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> Row:
        """The row with another soft prompt in the slot of that name."""
        own = soft_prompt.slot
        parts = (soft_prompt if isinstance(p, SoftPrompt) and p.slot == own else p for p in self.suffix)
        return replace(self, suffix=tuple(parts))

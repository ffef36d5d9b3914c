"""A rendered prompt as token ids and soft prompts, each segment tokenised alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

from prompts import RenderedPrompt
from soft_prompt.adapter import Adapter
from soft_prompt.backbone import Backbone
from soft_prompt.errors import BackboneError
from soft_prompt.laid_out import lay_out
from soft_prompt.probe import require_movable_positions
from soft_prompt.prompt import SoftPrompt

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
    """

    prefix: tuple[int, ...]
    suffix: tuple[tuple[int, ...] | SoftPrompt, ...]
    cuts: tuple[int, ...] = ()
    attention: Attention = "exact"
    passages: int | None = None

    @property
    def segments(self) -> tuple[tuple[int, ...], ...]:
        """The prefix in segments: the head, the passages, and text behind them."""
        return tuple(self.prefix[start:end] for start, end in pairwise((0, *self.cuts, len(self.prefix))))

    def is_passage(self, number: int) -> bool:
        """Whether that segment is a passage."""
        return 0 < number <= (len(self.cuts) if self.passages is None else self.passages)

    @property
    def keeps_prefix(self) -> bool:
        """Whether no token of the prefix may run again with the suffix, where it would see or meet something else."""
        apart = self.attention == "block" and self.is_passage(2)
        return apart or self.front is not None or self.adapter is not None

    @property
    def suffix_length(self) -> int:
        """Positions of the suffix."""
        return sum(part.length if isinstance(part, SoftPrompt) else len(part) for part in self.suffix)

    @property
    def front(self) -> SoftPrompt | None:
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


def encode_prompt(
    backbone: Backbone, prompt: RenderedPrompt, fills: Mapping[str, SlotFill], attention: Attention = "exact"
) -> Row:
    """Tokenise a rendered prompt.

    Text and passages are data: control tokens written out in them stay text. The boundary between prefix and suffix
    is the first soft slot, whatever fills it, so an empty slot, a text twin and a soft prompt share a prefix.

    Args:
        backbone: whose tokenizer and chat template are used.
        prompt: the rendered template.
        fills: soft slot name to its fill; a slot that is not named stays empty.
        attention: whether passages see one another.

    Raises:
        BackboneError: `block` attention without any text before the first passage, or on a backbone whose keys cannot
            be moved.
    """
    parts: list[tuple[int, ...] | SoftPrompt] = []
    passages: set[int] = set()
    prefix_parts: int | None = None
    for stretch in lay_out(backbone, prompt):
        if stretch.kind == "slot":
            prefix_parts = len(parts) if prefix_parts is None else prefix_parts
            fill = fills.get(stretch.text)
            if isinstance(fill, str):
                parts.append(tuple(backbone.encode_text(fill)))
            elif fill is not None:
                parts.append(fill)
        else:
            if stretch.kind == "passage":
                passages.add(len(parts))
            parts.append(stretch.ids)
    if prefix_parts is None:
        # Without a soft slot the conversation is still worth sharing up to the last message.
        prefix_parts = max(0, len(parts) - 2)
    before = [part for part in parts[:prefix_parts] if not isinstance(part, SoftPrompt)]
    segments, count = _segments(before, passages)
    if attention == "block":
        require_movable_positions(backbone)
    if attention == "block" and count and not segments[0]:
        raise BackboneError(
            found="a prompt that begins with a passage",
            expected="text before the passages, which all of them attend to in `block` attention",
            next_step="put a sentence before {context} in the template, or set `attention: exact` in domain.yaml",
        )
    return Row(
        prefix=tuple(i for ids in segments for i in ids),
        suffix=tuple(part for part in parts[prefix_parts:] if isinstance(part, SoftPrompt) or part),
        cuts=tuple(accumulate(len(ids) for ids in segments[:-1])),
        attention=attention,
        passages=count,
    )


def _segments(parts: Sequence[tuple[int, ...]], passages: Collection[int]) -> tuple[list[list[int]], int]:
    """Head, passages and the text behind the last of them, and how many of them are passages.

    Text between two passages goes with the one before it.
    """
    last = max((number for number in passages if number < len(parts)), default=len(parts))
    segments: list[list[int]] = [[]]
    count, behind = 0, False
    for number, ids in enumerate(parts):
        begins_text = number > last and not behind
        if ids and (number in passages or begins_text):
            segments.append([])
            count += number in passages
            behind = begins_text
        segments[-1] += ids
    return segments, count

"""A rendered prompt as token ids and soft prompts, each segment tokenised alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompts import RenderedPrompt, SoftSegment
from soft_prompt.adapter import Adapter
from soft_prompt.backbone import Backbone
from soft_prompt.errors import BackboneError
from soft_prompt.prompt import SoftPrompt

# What goes into a soft slot: vectors, a text (its text twin), or nothing.
SlotFill = SoftPrompt | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded prompt.

    Attributes:
        prefix: token ids before the first soft prompt; their keys and values depend on nothing trained, so they
            come from the prefix store.
        suffix: the rest, token ids and soft prompts in order.
    """

    prefix: tuple[int, ...]
    suffix: tuple[tuple[int, ...] | SoftPrompt, ...]

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
                next_step="train all but one of them without an adapter: softgraft train DOMAIN --adapter-rank 0",
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
        return Row(self.prefix, (*self.suffix, ids))

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> Row:
        """The row with another soft prompt in the slot of that name."""
        own = soft_prompt.slot
        parts = (soft_prompt if isinstance(p, SoftPrompt) and p.slot == own else p for p in self.suffix)
        return Row(self.prefix, tuple(parts))


def encode_prompt(backbone: Backbone, prompt: RenderedPrompt, fills: Mapping[str, SlotFill]) -> Row:
    """Tokenise a rendered prompt.

    Text and passages are data: control tokens written out in them stay text. The boundary between prefix and suffix
    is the first soft slot, whatever fills it, so an empty slot, a text twin and a soft prompt share a prefix.

    Args:
        backbone: whose tokenizer and chat template are used.
        prompt: the rendered template.
        fills: soft slot name to its fill; a slot that is not named stays empty.
    """
    controls = backbone.chat_controls(tuple(message.role for message in prompt.messages))
    parts: list[tuple[int, ...] | SoftPrompt] = []
    prefix_parts: int | None = None
    for control, message in zip(controls, prompt.messages, strict=False):
        parts.append(tuple(backbone.encode_control(control)))
        for segment in message.segments:
            if isinstance(segment, SoftSegment):
                prefix_parts = len(parts) if prefix_parts is None else prefix_parts
                fill = fills.get(segment.slot)
                if isinstance(fill, str):
                    parts.append(tuple(backbone.encode_text(fill)))
                elif fill is not None:
                    parts.append(fill)
            else:
                parts.append(tuple(backbone.encode_text(segment.text)))
    # The control text between contents and the one that opens the answer always follow the last message.
    parts.append(tuple(backbone.encode_control(controls[-1])))
    if prefix_parts is None:
        # Without a soft slot the conversation is still worth sharing up to the last message.
        prefix_parts = max(0, len(parts) - 2)
    prefix = tuple(i for part in parts[:prefix_parts] if not isinstance(part, SoftPrompt) for i in part)
    return Row(prefix, tuple(part for part in parts[prefix_parts:] if isinstance(part, SoftPrompt) or part))

"""A rendered prompt as token ids and soft prompts, each segment tokenised alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from prompts import Message, PassageSegment, RenderedPrompt, Segment, SoftSegment, TextSegment
from soft_prompt.errors import BackboneError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import require_movable_positions
from soft_prompt.rows.row import Attention, Row, SlotFill
from soft_prompt.tokens.spans import TokenizedPrompt, tokenize_prompt


def encode_prompt(
    backbone: Backbone,
    prompt: RenderedPrompt | TokenizedPrompt,
    fills: Mapping[str, SlotFill],
    attention: Attention = "exact",
) -> Row:
    """Token ids and soft prompts of a rendered prompt.

    Text and passages are data: control tokens written out in them stay text. The boundary between prefix and suffix
    is the first soft slot, whatever fills it, so an empty slot, a text twin and a soft prompt share a prefix.

    Args:
        backbone: whose tokenizer and chat template are used.
        prompt: the rendered template, or what `tokenize_prompt` made of it.
        fills: soft slot name to its fill; a slot that is not named stays empty.
        attention: whether passages see one another.

    Raises:
        BackboneError: `block` attention without any text before the first passage, or on a backbone whose keys cannot
            be moved; a prompt with tools, and the backbone's chat template has no place for them.
    """
    parts: list[tuple[int, ...] | SoftPrompt] = []
    passages: set[int] = set()
    prefix_parts: int | None = None
    tokenized = prompt if isinstance(prompt, TokenizedPrompt) else tokenize_prompt(backbone, prompt)
    for span in tokenized.spans:
        if span.kind == "slot":
            prefix_parts = len(parts) if prefix_parts is None else prefix_parts
            fill = fills.get(span.text)
            if isinstance(fill, str):
                parts.append(tuple(backbone.encode_text(fill)))
            elif fill is not None:
                parts.append(fill)
        else:
            if span.kind == "passage":
                passages.add(len(parts))
            parts.append(span.ids)
    if prefix_parts is None:
        # Without a soft slot the conversation is still worth sharing up to the last message.
        prefix_parts = max(0, len(parts) - 2)
    before = [part for part in parts[:prefix_parts] if not isinstance(part, SoftPrompt)]
    stretches, count = _segments(before, passages)
    if attention == "block":
        require_movable_positions(backbone)
    if attention == "block" and count and not stretches[0]:
        raise BackboneError(
            found="a prompt that begins with a passage",
            expected="text before the passages, which all of them attend to in `block` attention",
            next_step="put a sentence before {context} in the template, or set `attention: exact` in domain.yaml",
        )
    return Row(
        prefix=tuple(i for ids in stretches for i in ids),
        suffix=tuple(part for part in parts[prefix_parts:] if isinstance(part, SoftPrompt) or part),
        cuts=tuple(accumulate(len(ids) for ids in stretches[:-1])),
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


def prompt_of(*system: str | PassageSegment | SoftSegment, user: str) -> RenderedPrompt:
    """A prompt of a system message and a question.

    Args:
        system: what the system message is made of, in order; `SoftSegment("domain")` is the place of a soft slot.
            A text is data: braces and control tokens in it stay text.
        user: the question.

    Returns:
        What `train` and `encode_prompt` take, as a rendered template is.
    """
    parts: tuple[Segment, ...] = tuple(TextSegment(part) if isinstance(part, str) else part for part in system)
    return RenderedPrompt((Message("system", parts), Message("user", (TextSegment(user),))))

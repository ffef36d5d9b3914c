"""Encode rendered prompts as rows of token ids and soft prompts."""

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
    """Encode a rendered prompt.

    Text and passages are data: control tokens written out in them stay text. The boundary between prefix and suffix
    is the first soft slot, whatever its fill, so an empty slot, a text twin and a soft prompt share a prefix.

    Args:
        backbone: gives the tokenizer and the chat template.
        prompt: the rendered template, as it is or from `tokenize_prompt`.
        fills: soft slot name to its fill; other slots stay empty.
        attention: whether passages see one another.

    Raises:
        BackboneError: if `block` attention has no text before the first passage or the backbone's keys cannot be moved,
            or if the prompt has tools and the backbone's chat template does not support them.
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
        # Without a soft slot, everything up to the last message is shared by the turns of a conversation.
        prefix_parts = max(0, len(parts) - 2)
    before = [part for part in parts[:prefix_parts] if not isinstance(part, SoftPrompt)]
    segments, passage_count = _segments(before, passages)
    if attention == "block":
        require_movable_positions(backbone)
    if attention == "block" and passage_count and not segments[0]:
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
        passages=passage_count,
    )


def _segments(parts: Sequence[tuple[int, ...]], passages: Collection[int]) -> tuple[list[list[int]], int]:
    """The prefix in segments (head, passages, text behind them) and the number of passages.

    Text between two passages belongs to the segment of the first.
    """
    last = max((number for number in passages if number < len(parts)), default=len(parts))
    segments: list[list[int]] = [[]]
    passage_count, behind_passages = 0, False
    for number, ids in enumerate(parts):
        starts_text = number > last and not behind_passages
        if ids and (number in passages or starts_text):
            segments.append([])
            passage_count += number in passages
            behind_passages = starts_text
        segments[-1] += ids
    return segments, passage_count


def prompt_of(*system: str | PassageSegment | SoftSegment, user: str) -> RenderedPrompt:
    """A prompt of a system message and a question, for `train` and `encode_prompt`, like a rendered template.

    The parts of the system message are in order; `SoftSegment("domain")` is a soft slot. A text is data: braces and
    control tokens in it stay text.
    """
    parts: tuple[Segment, ...] = tuple(TextSegment(part) if isinstance(part, str) else part for part in system)
    return RenderedPrompt((Message("system", parts), Message("user", (TextSegment(user),))))

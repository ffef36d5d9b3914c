"""Convert between rendered prompts and LangChain messages.

A soft slot is a content block of a separate type, never a marker in text. Only templates create such blocks: external
input passes through `plain_text`, which keeps only text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from chains.errors import InputError
from prompts import Message, PassageSegment, RenderedPrompt, Segment, SoftSegment, TextSegment, ToolCall
from retrieval.markup import whole_characters

_MESSAGES: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_ROLES = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool"}
# Blocks of AI messages that are skipped: calls are in `tool_calls` as well, and reasoning is not sent back to a model.
_SKIPPED_BLOCKS = {
    "invalid_tool_call", "reasoning", "redacted_thinking", "thinking", "tool_call", "tool_call_chunk", "tool_use",
}  # fmt: skip


def soft_block(slot: str) -> dict[str, Any]:
    return {"type": "non_standard", "value": {"type": "soft_prompt", "slot": slot}}


def to_messages(prompt: RenderedPrompt) -> list[BaseMessage]:
    """Convert a rendered prompt to LangChain messages, with one content block per segment."""
    return [_MESSAGES[m.role](content=[_to_block(part) for part in m.segments]) for m in prompt.messages]


def to_text_messages(prompt: RenderedPrompt) -> list[BaseMessage]:
    """Convert a rendered prompt without soft slots to LangChain messages of plain strings."""
    if slots := prompt.slots():
        raise InputError(
            found=f"the soft slots {', '.join(slots)} in a prompt for a model that takes only text",
            expected="their text twins",
            next_step="call RenderedPrompt.fill on the prompt",
        )
    return [_MESSAGES[m.role](content=m.text) for m in prompt.messages]


def from_messages(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = ()) -> RenderedPrompt:
    """Convert LangChain messages to a rendered prompt; soft slots in tool results are dropped.

    `tools` are function declarations with name, description and parameters.
    """
    rendered = []
    for message in messages:
        # Chunks of a streamed message have a type of their own.
        role = _ROLES.get(message.type.removesuffix("MessageChunk").lower())
        if role is None:
            raise InputError(
                found=f"a message of the type {message.type!r}",
                expected="system, human, ai and tool messages",
                next_step="leave such messages out, or use a model that supports them",
            )
        blocks = message.content if isinstance(message.content, list) else [message.content]
        calls: tuple[ToolCall, ...] = ()
        if isinstance(message, AIMessage):
            blocks = [b for b in blocks if not (isinstance(b, dict) and b.get("type") in _SKIPPED_BLOCKS)]
            calls = tuple(ToolCall(c["name"], json.dumps(c["args"], ensure_ascii=False)) for c in message.tool_calls)
        segments = tuple(s for s in map(_to_segment, blocks) if isinstance(s, SoftSegment) or s.text)
        if role == "tool":
            segments = tuple(s for s in segments if not isinstance(s, SoftSegment))
        rendered.append(Message(role, segments, calls))  # type: ignore[arg-type]
    return RenderedPrompt(tuple(rendered), tuple(json.dumps(tool, ensure_ascii=False) for tool in tools))


def plain_text(content: object) -> str:
    """The text of external input: a string, a message, or a list of content blocks.

    Soft slots and all other blocks are dropped, so that input cannot inject a slot.
    """
    if isinstance(content, str):
        return whole_characters(content)
    if isinstance(content, BaseMessage):
        return plain_text(content.content)
    if isinstance(content, list):
        texts = []
        for block in content:
            if isinstance(block, str):
                texts.append(block)
            elif isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
                texts.append(block["text"])
        return whole_characters("".join(texts))
    raise InputError(
        found=f"a {type(content).__name__}",
        expected="a string, a LangChain message, or a list of content blocks",
        next_step='call the chain with {"question": "..."}',
    )


def _to_block(part: Segment) -> dict[str, Any]:
    if isinstance(part, SoftSegment):
        return soft_block(part.slot)
    if isinstance(part, PassageSegment):
        return {"type": "text", "text": part.text, "extras": {"passage_id": part.passage_id}}
    return {"type": "text", "text": part.text}


def _to_segment(block: object) -> Segment:
    if isinstance(block, str):
        return TextSegment(whole_characters(block))
    if isinstance(block, dict):
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            extras = block.get("extras")
            if isinstance(extras, dict) and isinstance(extras.get("passage_id"), str):
                return PassageSegment(whole_characters(block["text"]), extras["passage_id"])
            return TextSegment(whole_characters(block["text"]))
        value = block.get("value")
        if block.get("type") == "non_standard" and isinstance(value, dict) and value.get("type") == "soft_prompt":
            return SoftSegment(str(value.get("slot")))
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    raise InputError(
        found=f"a content block of the type {kind!r}",
        expected="text and soft_prompt blocks",
        next_step="leave such blocks out; this backbone reads text only",
    )

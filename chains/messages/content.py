"""Between segments and LangChain messages.

A soft slot is a content block of its own kind, never a marker in text. Blocks of that kind count only where the
project's own template put them: everything that comes from outside passes `plain_text` first, which keeps text alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from chains.errors import InputError
from prompts import Message, PassageSegment, RenderedPrompt, Segment, SoftSegment, TextSegment, ToolCall

_MESSAGES: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_ROLES = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool"}
# What models put beside their text: calls stand in `tool_calls` as well, and thoughts are not repeated to a model.
_BESIDE_TEXT = {
    "invalid_tool_call", "reasoning", "redacted_thinking", "thinking", "tool_call", "tool_call_chunk", "tool_use",
}  # fmt: skip


def soft_block(slot: str) -> dict[str, Any]:
    """The content block that stands for a soft slot."""
    return {"type": "non_standard", "value": {"type": "soft_prompt", "slot": slot}}


def to_messages(prompt: RenderedPrompt) -> list[BaseMessage]:
    """LangChain messages of a rendered prompt: one content block a segment, so that no boundary is lost."""
    return [_MESSAGES[m.role](content=[_block(part) for part in m.segments]) for m in prompt.messages]


def to_text_messages(prompt: RenderedPrompt) -> list[BaseMessage]:
    """The same as plain strings, for a model that takes no vectors; soft slots must have been filled with text.

    Raises:
        InputError: a soft slot is left.
    """
    if slots := prompt.slots():
        raise InputError(
            found=f"the soft slots {', '.join(slots)} in a prompt for a model that takes text only",
            expected="their text twins",
            next_step="fill the prompt with RenderedPrompt.fill before it is sent",
        )
    return [_MESSAGES[m.role](content=m.text) for m in prompt.messages]


def from_messages(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = ()) -> RenderedPrompt:
    """A rendered prompt of LangChain messages, as the chat model receives them.

    Args:
        messages: the conversation; a tool's result is text, so soft blocks in it are left out.
        tools: declarations of functions, with name, description and parameters.

    Raises:
        InputError: a message or content block of a kind that the backbone cannot take.
    """
    rendered = []
    for message in messages:
        role = _ROLES.get(message.type)
        if role is None:
            raise InputError(
                found=f"a message of the type {message.type!r}",
                expected="system, human, ai and tool messages",
                next_step="leave such messages out, or use a model that takes them",
            )
        blocks = message.content if isinstance(message.content, list) else [message.content]
        calls: tuple[ToolCall, ...] = ()
        if isinstance(message, AIMessage):
            blocks = [b for b in blocks if not (isinstance(b, dict) and b.get("type") in _BESIDE_TEXT)]
            calls = tuple(ToolCall(c["name"], json.dumps(c["args"], ensure_ascii=False)) for c in message.tool_calls)
        segments = tuple(s for s in map(_segment, blocks) if isinstance(s, SoftSegment) or s.text)
        if role == "tool":
            segments = tuple(s for s in segments if not isinstance(s, SoftSegment))
        rendered.append(Message(role, segments, calls))  # type: ignore[arg-type]
    return RenderedPrompt(tuple(rendered), tuple(json.dumps(tool, ensure_ascii=False) for tool in tools))


def plain_text(content: object) -> str:
    """The text of something that came from outside: a string, a message, or a list of content blocks.

    Soft blocks and every other kind of block are dropped, so nobody can forge a slot.

    Raises:
        InputError: neither text nor message nor blocks.
    """
    if isinstance(content, str):
        return _whole(content)
    if isinstance(content, BaseMessage):
        return plain_text(content.content)
    if isinstance(content, list):
        texts = []
        for block in content:
            if isinstance(block, str):
                texts.append(block)
            elif isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
                texts.append(block["text"])
        return _whole("".join(texts))
    raise InputError(
        found=f"a {type(content).__name__}",
        expected="a string, a LangChain message, or a list of content blocks",
        next_step='call the chain with {"question": "..."}',
    )


def _whole(text: str) -> str:
    """The text with a replacement character for each half of a pair, which JSON can bring and nothing can store."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _block(part: Segment) -> dict[str, Any]:
    if isinstance(part, SoftSegment):
        return soft_block(part.slot)
    if isinstance(part, PassageSegment):
        return {"type": "text", "text": part.text, "extras": {"passage_id": part.passage_id}}
    return {"type": "text", "text": part.text}


def _segment(block: object) -> Segment:
    if isinstance(block, str):
        return TextSegment(block)
    if isinstance(block, dict):
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            extras = block.get("extras")
            if isinstance(extras, dict) and isinstance(extras.get("passage_id"), str):
                return PassageSegment(block["text"], extras["passage_id"])
            return TextSegment(block["text"])
        value = block.get("value")
        if block.get("type") == "non_standard" and isinstance(value, dict) and value.get("type") == "soft_prompt":
            return SoftSegment(str(value.get("slot")))
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    raise InputError(
        found=f"a content block of the type {kind!r}",
        expected="text and soft_prompt blocks",
        next_step="leave such blocks out; this backbone reads text only",
    )

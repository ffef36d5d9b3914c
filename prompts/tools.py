"""Tools as plain text messages, for a model whose chat template has no tool support."""

from __future__ import annotations

import json
from dataclasses import replace

from prompts.segments import Message, RenderedPrompt, TextSegment, ToolCall

CALL_TAGS = ("<tool_call>\n", "\n</tool_call>")
RESPONSE_TAGS = ("<tool_response>\n", "\n</tool_response>")


def tools_as_text(prompt: RenderedPrompt, introduction: RenderedPrompt | None) -> RenderedPrompt:
    """The same prompt with tool calls and tool results written as text.

    `introduction` is the rendered template `tools`, whose system message declares them; None declares nothing.
    """
    messages = tuple(_as_text(message) for message in prompt.messages)
    plain = RenderedPrompt(messages)
    return plain if introduction is None else prepend_system_message(plain, introduction)


def prepend_system_message(prompt: RenderedPrompt, introduction: RenderedPrompt) -> RenderedPrompt:
    """Put a rendered system message before the prompt's own system message.

    It comes first, so that its keys and values are computed once and shared by all prompts.
    """
    [system] = introduction.messages
    first, *others = prompt.messages or (None,)
    if first is None or first.role != "system":
        return replace(prompt, messages=(system, *prompt.messages))
    return replace(prompt, messages=(replace(first, segments=(*system.segments, *first.segments)), *others))


def _as_text(message: Message) -> Message:
    if message.role == "tool":
        before, after = map(TextSegment, RESPONSE_TAGS)
        return Message("user", (before, *message.segments, after))
    separator = [TextSegment("\n")] if message.segments else []
    calls = [segment for call in message.calls for segment in (*separator, TextSegment(_call_text(call)))]
    return Message(message.role, (*message.segments, *calls))


def _call_text(call: ToolCall) -> str:
    body = f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments}}}'
    return body.join(CALL_TAGS)

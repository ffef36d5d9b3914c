"""Tools as plain messages, for a model whose chat template knows none."""

from __future__ import annotations

import json
from dataclasses import replace

from prompts.segments import Message, RenderedPrompt, TextSegment, ToolCall

CALL = ("<tool_call>\n", "\n</tool_call>")
RESPONSE = ("<tool_response>\n", "\n</tool_response>")


def tools_as_text(prompt: RenderedPrompt, introduction: RenderedPrompt | None) -> RenderedPrompt:
    """The same prompt without anything but text and soft slots in its messages.

    Args:
        prompt: with tools, calls and results.
        introduction: the rendered template `tools`, whose system message says what may be called; None says nothing.
    """
    messages = tuple(_as_text(message) for message in prompt.messages)
    plain = RenderedPrompt(messages)
    return plain if introduction is None else introduced(plain, introduction)


def introduced(prompt: RenderedPrompt, introduction: RenderedPrompt) -> RenderedPrompt:
    """A prompt with the segments of a rendered system message before those of its own.

    They come first, since what stands at the beginning of every prompt is computed once.
    """
    [opening] = introduction.messages
    first, *others = prompt.messages or (None,)
    if first is None or first.role != "system":
        return replace(prompt, messages=(opening, *prompt.messages))
    return replace(prompt, messages=(replace(first, segments=(*opening.segments, *first.segments)), *others))


def _as_text(message: Message) -> Message:
    if message.role == "tool":
        before, after = map(TextSegment, RESPONSE)
        return Message("user", (before, *message.segments, after))
    between = [TextSegment("\n")] if message.segments else []
    calls = [segment for call in message.calls for segment in (*between, TextSegment(written(call)))]
    return Message(message.role, (*message.segments, *calls))


def written(call: ToolCall) -> str:
    """A call as the model writes it."""
    body = f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments}}}'
    return body.join(CALL)

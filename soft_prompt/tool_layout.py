"""Tools through a backbone's own chat template, where it has a place for them.

As with plain messages (`chat_layout`), what comes from outside never passes through the template: contents, names and
arguments of calls are stand-ins while it is rendered. Only the declarations of the tools go through it, since a
template takes them apart; one that holds a control token of the backbone is refused.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from prompts import Message, RenderedPrompt, Segment, TextSegment, ToolCall
from prompts.segments import Role
from soft_prompt.chat_layout import split_at
from soft_prompt.errors import BackboneError

# Renders messages and declarations of tools with the generation prompt added.
ApplyWithTools = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]

_PROBE = RenderedPrompt(
    (
        Message("user", (TextSegment("a"),)),
        Message("assistant", (), (ToolCall("probe", "{}"),)),
        Message("tool", (TextSegment("b"),)),
    ),
    ('{"name": "probe_%s", "description": "", "parameters": {"type": "object", "properties": {}}}',),
)


def has_place_for_tools(apply: ApplyWithTools) -> bool:
    """Whether a chat template writes declarations, calls and results, each once."""
    name = secrets.token_hex(8)
    prompt = RenderedPrompt(_PROBE.messages, (_PROBE.tools[0] % name,))
    try:
        texts, _ = tool_layout(apply, prompt, ())
    except BackboneError:
        return False
    return name in texts[0]


def tool_layout(
    apply: ApplyWithTools, prompt: RenderedPrompt, controls: Sequence[str]
) -> tuple[list[str], list[Message]]:
    """Control texts, and what stands between them.

    Args:
        apply: renders messages with tools.
        prompt: with tools, calls or results.
        controls: the backbone's control tokens.

    Returns:
        Texts before, between and after the pieces of data, and those pieces, each with the role that it stands under.

    Raises:
        BackboneError: a declaration holds a control token, or the chat template leaves out a message or a call.
    """
    if found := [token for token in controls if any(token in tool for tool in prompt.tools)]:
        raise BackboneError(
            found=f"a tool whose declaration holds the control token {found[0]!r}",
            expected="names, descriptions and parameters in plain text",
            next_step="take it out of the tool's description",
        )
    messages: list[dict[str, Any]] = []
    stand_ins: list[tuple[str, str]] = []
    pieces: list[Message] = []

    def stand_in(role: Role, piece: tuple[Segment, ...], of: str) -> str:
        pieces.append(Message(role, piece))
        stand_ins.append((f"content-{secrets.token_hex(12)}", of))
        return stand_ins[-1][0]

    arguments: list[str] = []
    for message in prompt.messages:
        # Some templates write no content beside calls, and where there is none nothing is lost.
        content = ""
        if message.segments or not message.calls:
            content = stand_in(message.role, message.segments, f"{message.role} message")
        made: dict[str, Any] = {"role": message.role, "content": content}
        for call in message.calls:
            name = stand_in(message.role, (TextSegment(call.name),), "name of a call")
            arguments.append(stand_in(message.role, (TextSegment(call.arguments),), "arguments of a call"))
            function = {"name": name, "arguments": {arguments[-1]: ""}}
            made.setdefault("tool_calls", []).append({"type": "function", "function": function})
        messages.append(made)
    rendered = apply(messages, [{"type": "function", "function": json.loads(tool)} for tool in prompt.tools])
    for key in arguments:
        # The whole object stands for the arguments, however the template writes an object.
        rendered = re.sub(r"\{\s*['\"]" + key + r"['\"]\s*:\s*['\"]{2}\s*\}", key, rendered)
    return split_at(rendered, stand_ins), pieces

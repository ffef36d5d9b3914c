"""The control text that a backbone's chat template puts around message contents.

Contents never pass through the chat template: it is rendered once with stand-ins for the contents, and only the
text between the stand-ins is kept. So a document cannot be parsed as template, and every segment is tokenised
alone.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from prompts import Message, RenderedPrompt, Segment, TextSegment, ToolCall
from prompts.segments import Role
from soft_prompt.errors import BackboneError

ApplyTemplate = Callable[[list[dict[str, str]]], str]


def control_texts(apply: ApplyTemplate, roles: Sequence[str]) -> list[str]:
    """The texts before, between and after the contents of messages with these roles.

    Args:
        apply: renders a list of `{"role", "content"}` with the generation prompt added.
        roles: one role a message.

    Returns:
        `len(roles) + 1` texts.

    Raises:
        BackboneError: the chat template leaves out a message, or repeats or reorders contents.
    """
    # Random stand-ins cannot occur in the template's own text.
    stand_ins = [f"content-{secrets.token_hex(12)}" for _ in roles]
    messages = [{"role": role, "content": stand_in} for role, stand_in in zip(roles, stand_ins, strict=True)]
    of = [f"{role} message" for role in roles]
    return split_at(apply(messages), list(zip(stand_ins, of, strict=True)))


def split_at(rendered: str, stand_ins: Sequence[tuple[str, str]]) -> list[str]:
    """The texts before, between and after stand-ins, each given with what it stands for.

    Raises:
        BackboneError: a stand-in does not occur exactly once, or they occur in another order.
    """
    texts = []
    for stand_in, of in stand_ins:
        if rendered.count(stand_in) != 1:
            raise BackboneError(
                found=f"the chat template of this backbone does not write the {of} exactly once",
                expected="a chat template that writes every message once, in order",
                next_step="choose a template with the roles that this backbone knows, or another backbone",
            )
        before, rendered = rendered.split(stand_in)
        texts.append(before)
    if any(stand_in in text for stand_in, _ in stand_ins for text in texts):
        raise BackboneError(
            found="the chat template of this backbone changes the order of messages",
            expected="a chat template that writes every message once, in order",
            next_step="choose another backbone",
        )
    return [*texts, rendered]


def plain_chat(messages: list[dict[str, str]]) -> str:
    """A chat template for backbones that bring none."""
    return "".join(f"{m['role']}: {m['content']}\n\n" for m in messages) + "assistant:"


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

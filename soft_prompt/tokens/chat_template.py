"""The control text that a backbone's chat template puts around message contents.

Contents never pass through the chat template. It is rendered once with placeholders for the contents, and only the text
between the placeholders is kept. So a document cannot be parsed as template, and every segment is tokenised alone.
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

# Renders messages and tool declarations, with the generation prompt added.
ApplyTemplate = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]
# Functions of chat templates that give another text each time.
_CHANGING = re.compile("strftime_now|lipsum|random")
_MAX_KNOWN = 256


class KnownTexts:
    """The control texts of conversations of the same form, whose rendering need not be repeated.

    They depend on the roles, the number of calls and the tools, never on contents, which the template does not see. A
    template that writes the time or random words is rendered each time.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[Any, ...], list[str]] = {}

    def texts(self, template: str, prompt: RenderedPrompt, render: Callable[[], list[str]]) -> list[str]:
        """The texts of a conversation of this form, rendered if they are not known."""
        if _CHANGING.search(template):
            return render()
        form = tuple((message.role, bool(message.segments), len(message.calls)) for message in prompt.messages)
        key = (template, form, prompt.tools)
        if (known := self._texts.get(key)) is None:
            known = render()
            if len(self._texts) >= _MAX_KNOWN:
                self._texts.clear()
            self._texts[key] = known
        return list(known)


def control_texts(
    apply: ApplyTemplate,
    prompt: RenderedPrompt,
    control_tokens: Sequence[str] = (),
    known: KnownTexts | None = None,
    template: str = "",
) -> tuple[list[str], list[Message]]:
    """The texts before, between and after the contents of a prompt, and the contents, each as a message with its role.

    Names and arguments of calls are contents of their own. The declarations of tools are not, so they must not hold one
    of the `control_tokens`. `known` has the texts of earlier prompts by `template`, the one that `apply` renders.

    Raises:
        BackboneError: if a declaration holds a control token, or the chat template leaves out, repeats or reorders
            messages or calls.
    """
    if forbidden := [token for token in control_tokens if any(token in tool for tool in prompt.tools)]:
        raise BackboneError(
            found=f"a tool whose declaration holds the control token {forbidden[0]!r}",
            expected="names, descriptions and parameters in plain text",
            next_step="take it out of the tool's description",
        )
    messages: list[dict[str, Any]] = []
    placeholders: list[tuple[str, str]] = []
    contents: list[Message] = []

    def add_content(role: Role, segments: tuple[Segment, ...], name: str) -> str:
        contents.append(Message(role, segments))
        # Random, so that it cannot occur in the template's own text.
        placeholders.append((f"content-{secrets.token_hex(12)}", name))
        return placeholders[-1][0]

    arguments: list[str] = []
    for message in prompt.messages:
        # Some templates write no content beside calls. Empty content needs no placeholder.
        content = ""
        if message.segments or not message.calls:
            content = add_content(message.role, message.segments, f"{message.role} message")
        entry: dict[str, Any] = {"role": message.role, "content": content}
        for call in message.calls:
            name = add_content(message.role, (TextSegment(call.name),), "name of a call")
            arguments.append(add_content(message.role, (TextSegment(call.arguments),), "arguments of a call"))
            function = {"name": name, "arguments": {arguments[-1]: ""}}
            entry.setdefault("tool_calls", []).append({"type": "function", "function": function})
        messages.append(entry)

    def render() -> list[str]:
        rendered = apply(messages, [{"type": "function", "function": json.loads(tool)} for tool in prompt.tools])
        for key in arguments:
            # The placeholder replaces the whole object of arguments, however the template writes an object.
            rendered = re.sub(r"\{\s*['\"]" + key + r"['\"]\s*:\s*['\"]{2}\s*\}", key, rendered)
        return _split_at(rendered, placeholders)

    return render() if known is None else known.texts(template, prompt, render), contents


def _split_at(rendered: str, placeholders: Sequence[tuple[str, str]]) -> list[str]:
    """The texts before, between and after placeholders, each given with a name for error messages."""
    for placeholder, name in placeholders:
        if rendered.count(placeholder) != 1:
            raise BackboneError(
                found=f"the chat template of this backbone does not write the {name} exactly once",
                expected="a chat template that writes every message once, in order",
                next_step="choose a template with the roles that this backbone knows, or another backbone",
            )
    texts = []
    for placeholder, _ in placeholders:
        before, found, rendered = rendered.partition(placeholder)
        if not found:
            raise BackboneError(
                found="the chat template of this backbone changes the order of messages",
                expected="a chat template that writes every message once, in order",
                next_step="choose another backbone",
            )
        texts.append(before)
    return [*texts, rendered]


def default_chat_template(messages: list[dict[str, str]]) -> str:
    """Render messages for a backbone without a chat template of its own."""
    return "".join(f"{m['role']}: {m['content']}\n\n" for m in messages) + "assistant:"


def template_supports_tools(apply: ApplyTemplate) -> bool:
    """Whether a chat template writes tool declarations, calls and results, each once."""
    name = f"probe_{secrets.token_hex(8)}"
    declaration = {"name": name, "description": "", "parameters": {"type": "object", "properties": {}}}
    messages = (
        Message("user", (TextSegment("a"),)),
        Message("assistant", (), (ToolCall("probe", "{}"),)),
        Message("tool", (TextSegment("b"),)),
    )
    try:
        return name in control_texts(apply, RenderedPrompt(messages, (json.dumps(declaration),)))[0][0]
    except BackboneError:
        return False

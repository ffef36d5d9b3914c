"""The format of a reply: free text with optional tool calls, a forced call, JSON, or a constraint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.chat.call_settings import ToolSelection, read_constraint, read_response_format, read_tools
from chains.chat.tool_calls import OPENING
from chains.errors import InputError
from prompts import RenderedPrompt, find_template, load_template, prepend_system_message, tools_as_text
from soft_prompt import Backbone, Constraint
from soft_prompt.grammar.constraint import tool_call_constraint


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """The requested format of a reply: at most one of tools, JSON schema and another constraint.

    `show_schema` puts the schema into the prompt.
    """

    tools: ToolSelection
    schema: Mapping[str, Any] | None
    show_schema: bool
    constraint: Constraint | None

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> ReplyFormat:
        tools = read_tools(settings.get("tools"), settings.get("tool_choice"))
        schema, show_schema = read_response_format(settings.get("response_format"))
        constraint = read_constraint(settings.get("constraint"))
        requested = {
            "response_format": schema is not None,
            "constraint": constraint is not None,
            "tools": bool(tools.functions),
        }
        if sum(requested.values()) > 1:
            raise InputError(
                found=f"a call with {' and '.join(name for name, is_set in requested.items() if is_set)}",
                expected="only one of them",
                next_step="leave out the others; with bound tools, offer a schema as a tool",
            )
        return cls(tools, schema, show_schema, constraint)

    @property
    def may_be_long(self) -> bool:
        """Whether the reply may be a call or JSON, which are useless if cut."""
        return bool(self.tools.functions) or self.schema is not None

    def with_instructions(self, prompt: RenderedPrompt, backbone: Backbone, language: str) -> RenderedPrompt:
        """The prompt with instructions; tools become text if the backbone's chat template does not support them."""
        if not backbone.supports_tools:
            introduction = _rendered("tools", language, tools="\n".join(prompt.tools)) if prompt.tools else None
            prompt = tools_as_text(prompt, introduction)
        if self.schema is not None and self.show_schema:
            schema = json.dumps(self.schema, ensure_ascii=False)
            prompt = prepend_system_message(prompt, _rendered("structured", language, schema=schema))
        return prompt

    def reply_constraint(self, prompt: RenderedPrompt, backbone: Backbone, max_tokens: int) -> Constraint | None:
        """The constraint on the reply to a prompt with instructions; None if it is free text.

        A string of unlimited length in the schema is limited to half as many characters as there are tokens, so that
        the reply is likely to be complete.
        """
        max_string_length = max(1, max_tokens // 2)
        if self.schema is not None:
            return Constraint.json_schema(self.schema, max_string_length=max_string_length)
        if self.tools.forced:
            # A chat template without tags writes calls as bare JSON.
            tagged = not prompt.tools or OPENING in "".join(backbone.control_texts(prompt)[0])
            return tool_call_constraint(self.tools.forced, tagged=tagged, max_string_length=max_string_length)
        return self.constraint


def _rendered(template: str, language: str, **values: str) -> RenderedPrompt:
    return load_template(find_template(template, language)).render(values)

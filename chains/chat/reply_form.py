"""What form a reply has: free text, perhaps with tool calls; one call; JSON; or what a constraint says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.chat.call_settings import Tools, read_constraint, read_response_format, read_tools
from chains.chat.tool_calls import OPENING
from chains.errors import InputError
from prompts import RenderedPrompt, find_template, load_template, prepend_system_message, tools_as_text
from soft_prompt import Backbone, Constraint
from soft_prompt.grammar.constraint import tool_call_constraint


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """What a call asks of the reply's form.

    Attributes:
        tools: what may or must be called.
        schema: a JSON schema that the whole reply follows.
        shown: whether the model reads the schema.
        constraint: another grammar.
    """

    tools: Tools
    schema: Mapping[str, Any] | None
    shown: bool
    constraint: Constraint | None

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> ReplyForm:
        """The form that the settings of a call describe.

        Raises:
            InputError: a setting is wrong, or two of them ask for different forms.
        """
        tools = read_tools(settings.get("tools"), settings.get("tool_choice"))
        schema, shown = read_response_format(settings.get("response_format"))
        constraint = read_constraint(settings.get("constraint"))
        asked = {
            "response_format": schema is not None,
            "constraint": constraint is not None,
            "tools": bool(tools.functions),
        }
        if sum(asked.values()) > 1:
            raise InputError(
                found=f"a call with {' and '.join(name for name, given in asked.items() if given)}",
                expected="one of them",
                next_step="leave out the others; where tools are bound, offer a schema as a tool",
            )
        return cls(tools, schema, shown, constraint)

    @property
    def may_be_long(self) -> bool:
        """Whether the reply may be a call or JSON, of which the beginning is worth nothing."""
        return bool(self.tools.functions) or self.schema is not None

    def described(self, prompt: RenderedPrompt, backbone: Backbone, language: str) -> RenderedPrompt:
        """The prompt with what the model must be told, for a backbone with or without a place for tools."""
        if not backbone.supports_tools:
            introduction = _rendered("tools", language, tools="\n".join(prompt.tools)) if prompt.tools else None
            prompt = tools_as_text(prompt, introduction)
        if self.schema is not None and self.shown:
            schema = json.dumps(self.schema, ensure_ascii=False)
            prompt = prepend_system_message(prompt, _rendered("structured", language, schema=schema))
        return prompt

    def grammar(self, prompt: RenderedPrompt, backbone: Backbone, max_tokens: int) -> Constraint | None:
        """What the reply to a described prompt must match; None leaves it free.

        A string that the schema leaves open gets at most half as many characters as there are tokens, so that a few of
        them come to their end.
        """
        longest = max(1, max_tokens // 2)
        if self.schema is not None:
            return Constraint.json_schema(self.schema, max_string_length=longest)
        if self.tools.forced:
            # A chat template that writes calls in another way than with tags writes them as JSON alone.
            tagged = not prompt.tools or OPENING in "".join(backbone.tool_control_texts(prompt)[0])
            return tool_call_constraint(self.tools.forced, tagged=tagged, max_string_length=longest)
        return self.constraint


def _rendered(template: str, language: str, **values: str) -> RenderedPrompt:
    return load_template(find_template(template, language)).render(values)

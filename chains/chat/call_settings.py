"""Read and check the settings of one call of the chat model: LangChain's keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from chains.errors import InputError
from soft_prompt import Constraint

DECODING_SETTINGS = ("max_tokens", "seed", "temperature", "top_p")
OTHER_SETTINGS = (
    "constraint",
    "graft",
    "model",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "tokens",
    "tool_choice",
    "tools",
)

_ANY = ("any", "required")


@dataclass(frozen=True, slots=True)
class ToolSelection:
    """The declarations of a call's tools; one of `forced` must be called, if there are any."""

    functions: tuple[Mapping[str, Any], ...] = ()
    forced: tuple[Mapping[str, Any], ...] = ()


def reject_unknown(settings: Mapping[str, Any], *allowed: str) -> None:
    """Raises InputError if a setting is neither one of a call nor in `allowed`."""
    known = (*DECODING_SETTINGS, *OTHER_SETTINGS, *allowed)
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(
            found=f"the unknown setting {', '.join(unknown)}",
            expected=f"one of {', '.join(known)}",
            next_step="leave it out, or set it on the chat model",
        )


def read_tools(tools: Sequence[Any] | None, choice: object) -> ToolSelection:
    """Read the arguments of `bind_tools`.

    Args:
        tools: functions, pydantic classes, LangChain tools, or declarations in OpenAI's or Anthropic's format.
        choice: None, False or "auto": the model decides; "none": no tools; "any", "required" or True: a call is forced;
            a tool's name, or OpenAI's dict with a name: a call of that tool is forced.
    """
    functions = tuple(map(_function, tools or ()))
    names = [function["name"] for function in functions]
    if choice is None or choice is False or choice == "auto":
        return ToolSelection(functions)
    if choice == "none":
        return ToolSelection()
    if isinstance(choice, Mapping):
        named = choice.get("function", choice)
        choice = named.get("name", choice) if isinstance(named, Mapping) else choice
    # First by name: a tool may be named "any".
    forced = tuple(function for function in functions if function["name"] == choice)
    if not forced and (choice is True or choice in _ANY):
        forced = functions
    if not forced:
        raise InputError(
            found=f"tool_choice={choice!r}" + ("" if names else " without a tool"),
            expected=f"auto, none, any, or one of {', '.join(names) or 'the tools'}",
            next_step="use the name of a bound tool",
        )
    return ToolSelection(functions, forced)


def read_response_format(value: object) -> tuple[Mapping[str, Any] | None, bool]:
    """The JSON schema of the reply, and whether the prompt contains it.

    `value` is in OpenAI's format: {"type": "json_schema", "json_schema": {"schema": ...}}, {"type": "json_object"} with
    an optional "schema" that the prompt does not contain, or {"type": "text"}.
    """
    if value is None:
        return None, False
    if isinstance(value, Mapping):
        kind, named = value.get("type"), value.get("json_schema")
        if kind == "text":
            return None, False
        if kind == "json_object" and isinstance(schema := value.get("schema", {"type": "object"}), Mapping):
            return schema, False
        if kind == "json_schema" and isinstance(named, Mapping) and isinstance(named.get("schema"), Mapping):
            return named["schema"], True
    raise InputError(
        found=f"response_format={value!r}",
        expected='{"type": "json_schema", "json_schema": {"schema": {...}}}, or the type json_object or text',
        next_step="use `with_structured_output`",
    )


def read_constraint(value: object) -> Constraint | None:
    if value is None or isinstance(value, Constraint):
        return value
    raise InputError(
        found=f"constraint={value!r}",
        expected="a soft_prompt.Constraint",
        next_step='write Constraint.regex("..."), .choice([...]), .json_schema({...}) or .lark("...")',
    )


def require_model(name: object, own: str) -> None:
    if name is not None and name != own:
        raise InputError(
            found=f"model={name!r}",
            expected=f"the backbone of this chat model, {own!r}",
            next_step="create another SoftPromptChat with that backbone; select a graft with graft=...",
        )


def _function(tool: Any) -> Mapping[str, Any]:
    try:
        function = convert_to_openai_tool(tool)["function"]
        if isinstance(function["name"], str) and function["name"]:
            # The key order of the declarations in the models' training data.
            first = {"name": function["name"], "description": function.get("description", "")}
            return {**first, "parameters": {"type": "object", "properties": {}}, **function}
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid_tool(tool) from error
    raise _invalid_tool(tool)


def _invalid_tool(tool: object) -> InputError:
    return InputError(
        found=f"the tool {tool!r}",
        expected="a function with a docstring, a pydantic class, a LangChain tool, or a declaration with a name",
        next_step="decorate the function with langchain_core.tools.tool",
    )

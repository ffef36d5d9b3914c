"""What one call of the chat model asks for, read from LangChain's keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from chains.errors import InputError
from soft_prompt import Constraint

DECODING = ("max_tokens", "seed", "temperature", "top_p")
OTHERS = (
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
class Tools:
    """What may be called.

    Attributes:
        functions: declarations with `name`, `description` and `parameters`.
        forced: those of which one must be called; none of them leaves the choice to the model.
    """

    functions: tuple[Mapping[str, Any], ...] = ()
    forced: tuple[Mapping[str, Any], ...] = ()


def refuse_unknown(settings: Mapping[str, Any], *further: str) -> None:
    """Raises InputError for a setting that no call takes."""
    known = (*DECODING, *OTHERS, *further)
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(
            found=f"the unknown setting {', '.join(unknown)}",
            expected=f"one of {', '.join(known)}",
            next_step="leave it out, or set it on the model you call",
        )


def read_tools(tools: Sequence[Any] | None, choice: object) -> Tools:
    """Tools and how they may be chosen, as `bind_tools` takes them.

    Args:
        tools: functions, pydantic classes, LangChain tools, or declarations as OpenAI and Anthropic write them.
        choice: None, False or "auto" leaves it to the model, "none" offers no tool, "any", "required" or True wants a
            call, and a tool's name, alone or as OpenAI writes it, a call of that tool.

    Raises:
        InputError: what is no tool, or a choice that there is not.
    """
    functions = tuple(map(_function, tools or ()))
    names = [function["name"] for function in functions]
    if choice is None or choice is False or choice == "auto":
        return Tools(functions)
    if choice == "none":
        return Tools()
    if isinstance(choice, Mapping):
        choice = choice.get("function", choice).get("name", choice)
    # A tool may be called "any".
    forced = tuple(function for function in functions if function["name"] == choice)
    if not forced and (choice is True or choice in _ANY):
        forced = functions
    if not forced:
        raise InputError(
            found=f"tool_choice={choice!r}" + ("" if names else " without a tool"),
            expected=f"auto, none, any, or one of {', '.join(names) or 'the tools'}",
            next_step="name a tool that is bound",
        )
    return Tools(functions, forced)


def read_response_format(found: object) -> tuple[Mapping[str, Any] | None, bool]:
    """The JSON schema that a reply must follow, and whether the model is shown it.

    Args:
        found: as OpenAI writes it: {"type": "json_schema", "json_schema": {"schema": ...}}, {"type": "json_object"},
            which may bring a "schema" that is not shown, or {"type": "text"}.

    Raises:
        InputError: anything else.
    """
    if found is None:
        return None, False
    if isinstance(found, Mapping):
        kind, named = found.get("type"), found.get("json_schema")
        if kind == "text":
            return None, False
        if kind == "json_object" and isinstance(schema := found.get("schema", {"type": "object"}), Mapping):
            return schema, False
        if kind == "json_schema" and isinstance(named, Mapping) and isinstance(named.get("schema"), Mapping):
            return named["schema"], True
    raise InputError(
        found=f"response_format={found!r}",
        expected='{"type": "json_schema", "json_schema": {"schema": {...}}}, or the type json_object or text',
        next_step="use `with_structured_output`",
    )


def read_constraint(found: object) -> Constraint | None:
    """Raises InputError for what is no constraint."""
    if found is None or isinstance(found, Constraint):
        return found
    raise InputError(
        found=f"constraint={found!r}",
        expected="a soft_prompt.Constraint",
        next_step='write Constraint.regex("..."), .choice([...]), .json_schema({...}) or .lark("...")',
    )


def require_model(found: object, own: str) -> None:
    """Raises InputError for a model other than the chat model's own backbone."""
    if found is not None and found != own:
        raise InputError(
            found=f"model={found!r}",
            expected=f"the backbone of this chat model, {own!r}",
            next_step="make another SoftPromptChat over that backbone; a graft is chosen by graft=...",
        )


def _function(tool: Any) -> Mapping[str, Any]:
    try:
        made: dict[str, Any] = convert_to_openai_tool(tool)
        function = made["function"]
        if isinstance(function["name"], str) and function["name"]:
            # In the order in which models have read declarations.
            first = {"name": function["name"], "description": function.get("description", "")}
            return {**first, "parameters": {"type": "object", "properties": {}}, **function}
    except (KeyError, TypeError, ValueError) as error:
        raise _no_tool(tool) from error
    raise _no_tool(tool)


def _no_tool(tool: object) -> InputError:
    return InputError(
        found=f"the tool {tool!r}",
        expected="a function with a docstring, a pydantic class, a LangChain tool, or a declaration with a name",
        next_step="decorate the function with langchain_core.tools.tool",
    )

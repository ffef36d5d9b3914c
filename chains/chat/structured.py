"""Replies as objects: JSON that the grammar holds to the schema, then read and checked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from chains.errors import CutReplyError, InputError

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS = ("json_schema", "function_calling", "json_mode")


def json_schema_of(schema: Any) -> Mapping[str, Any]:
    """The JSON schema of a pydantic class, a TypedDict, a function's declaration, or a JSON schema itself.

    Raises:
        InputError: anything else.
    """
    found: Mapping[str, Any]
    try:
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            made: Any = schema
            found = made.model_json_schema() if hasattr(schema, "model_json_schema") else made.schema()
        elif isinstance(schema, Mapping) and {"type", "properties", "anyOf", "$ref"} & set(schema) - _declares(schema):
            found = dict(schema)
        else:
            found = convert_to_json_schema(schema)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            found=f"the schema {schema!r}",
            expected="a pydantic class, a TypedDict, or a JSON schema of an object",
            next_step="give a JSON schema a `title`",
        ) from error
    return found


def tool_name(schema: Any) -> str:
    """The name under which a schema is offered as a tool."""
    return str(convert_to_openai_tool(schema)["function"]["name"])


def parsed(llm: Runnable[Any, AIMessage], schema: Any, method: Method, include_raw: bool) -> Runnable[Any, Any]:
    """The model with its replies read.

    Args:
        llm: bound so that its replies follow the schema.
        schema: what was asked for; a class gives its instances, anything else a dict.
        method: how the reply carries the JSON.
        include_raw: a dict with `raw`, `parsed` and `parsing_error` in place of an exception.
    """
    of_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: BaseOutputParser[Any]
    if method == "function_calling":
        name = tool_name(schema)
        parser = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)
            if of_class
            else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        )
    else:
        parser = PydanticOutputParser(pydantic_object=schema) if of_class else JsonOutputParser()
    # A stream of dicts shows them as they grow; an object of a class is there when it is whole.
    watch = _Whole(_is_call if method == "function_calling" else _is_json, hold=of_class)
    read = RunnableGenerator(watch.over, watch.aover) | parser
    if not include_raw:
        return llm | read
    whole = RunnablePassthrough.assign(parsed=itemgetter("raw") | read, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | whole.with_fallbacks([failed], exception_key="parsing_error")


class _Whole:
    """Lets a reply pass and refuses it at its end where it is not whole. The parsers would fill up what is missing.

    With `hold` nothing passes before the end.
    """

    def __init__(self, is_whole: Callable[[AIMessage], bool], *, hold: bool) -> None:
        self._is_whole = is_whole
        self._hold = hold

    def over(self, messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
        total: Any = None
        for message in messages:
            total = message if total is None else total + message
            if not self._hold:
                yield message
        yield from self._checked(total)

    async def aover(self, messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
        total: Any = None
        async for message in messages:
            total = message if total is None else total + message
            if not self._hold:
                yield message
        for message in self._checked(total):
            yield message

    def _checked(self, total: AIMessage | None) -> list[AIMessage]:
        if total is None or self._is_whole(total):
            return [total] if total is not None and self._hold else []
        cut = total.response_metadata.get("finish_reason") == "length"
        raise CutReplyError(
            found="a reply that was cut " + ("at max_tokens" if cut else "by a stop text") + " before it was complete",
            expected="a whole JSON value",
            next_step="give the call more tokens (max_tokens=...), or leave out `stop`",
        )


def _is_json(message: AIMessage) -> bool:
    try:
        json.loads(message.text)
    except json.JSONDecodeError:
        return False
    return True


def _is_call(message: AIMessage) -> bool:
    return bool(message.tool_calls) and not message.invalid_tool_calls


def _declares(schema: Mapping[str, Any]) -> set[str]:
    """All keys of what declares a function, as OpenAI or Anthropic write it; none of a JSON schema."""
    return set(schema) if {"function", "parameters", "input_schema"} & set(schema) else set()

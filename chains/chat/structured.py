"""Structured output: parse replies whose JSON was constrained to a schema."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Literal, cast, get_args

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from chains.errors import CutReplyError, InputError

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[Method, ...] = get_args(Method)


def json_schema_of(schema: Any) -> Mapping[str, Any]:
    """The JSON schema of a pydantic class, a TypedDict, a function declaration, or a JSON schema."""
    try:
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            model: Any = schema
            json_schema = model.model_json_schema() if hasattr(model, "model_json_schema") else model.schema()
        elif isinstance(schema, Mapping) and _is_json_schema(schema):
            json_schema = dict(schema)
        else:
            json_schema = convert_to_json_schema(schema)
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_schema(schema) from error
    return cast("Mapping[str, Any]", json_schema)


def tool_name(schema: Any) -> str:
    """The name of the tool that a schema becomes."""
    try:
        return str(convert_to_openai_tool(schema)["function"]["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_schema(schema) from error


def _bad_schema(schema: object) -> InputError:
    return InputError(
        found=f"the schema {schema!r}",
        expected="a pydantic class, a TypedDict, or a JSON schema of an object",
        next_step="give a JSON schema a `title`",
    )


def parse_output(llm: Runnable[Any, AIMessage], schema: Any, method: Method, include_raw: bool) -> Runnable[Any, Any]:
    """A runnable that parses the replies of a model that is bound to a schema: to instances of a class, else to dicts.

    With `include_raw` it returns a dict with `raw`, `parsed` and `parsing_error` instead of raising.
    """
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: BaseOutputParser[Any]
    if method == "function_calling":
        parser = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)
            if is_class
            else JsonOutputKeyToolsParser(key_name=tool_name(schema), first_tool_only=True)
        )
    else:
        parser = PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()
    # Dicts are streamed as they grow; an instance of a class can only be created at the end.
    check = _CompletenessCheck(_is_call if method == "function_calling" else _is_json, hold=is_class)
    parse = RunnableGenerator(check.run, check.arun) | parser
    if not include_raw:
        return llm | parse
    succeeded = RunnablePassthrough.assign(parsed=itemgetter("raw") | parse, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | succeeded.with_fallbacks([failed], exception_key="parsing_error")


class _CompletenessCheck:
    """Passes a reply on, and raises at its end if it is incomplete, since the parsers would complete it.

    With `hold`, the reply is passed on only at its end.
    """

    def __init__(self, is_complete: Callable[[AIMessage], bool], *, hold: bool) -> None:
        self._is_complete = is_complete
        self._hold = hold

    def run(self, messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
        total: Any = None
        for message in messages:
            total = message if total is None else total + message
            if not self._hold:
                yield message
        yield from self._at_end(total)

    async def arun(self, messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
        total: Any = None
        async for message in messages:
            total = message if total is None else total + message
            if not self._hold:
                yield message
        for message in self._at_end(total):
            yield message

    def _at_end(self, total: AIMessage | None) -> list[AIMessage]:
        if total is None or self._is_complete(total):
            return [total] if total is not None and self._hold else []
        cut = total.response_metadata.get("finish_reason") == "length"
        raise CutReplyError(
            found="a reply that was cut " + ("at max_tokens" if cut else "by a stop text") + " before it was complete",
            expected="a complete JSON value",
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


def _is_json_schema(schema: Mapping[str, Any]) -> bool:
    """Whether a dict is a JSON schema rather than a function declaration of OpenAI or Anthropic."""
    declares_function = {"function", "parameters", "input_schema"} & set(schema)
    return not declares_function and bool({"type", "properties", "anyOf", "$ref"} & set(schema))

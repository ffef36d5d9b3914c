"""The bodies of OpenAI's requests. A parameter is honoured or refused by name; null means that it is not set.

Parameters whose default asks for nothing, such as `frequency_penalty`, are accepted with that value alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StrictBool, StrictStr, model_validator

from retrieval.markup import whole_characters

# OpenAI's own limits.
MAX_STOPS, MAX_METADATA, MAX_TOOLS = 4, 16, 128
MAX_TEXTS = 256


def _text(value: object) -> object:
    """The text of a message: a string, or a list of text parts."""
    if isinstance(value, list):
        texts = []
        for number, part in enumerate(value):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
                raise ValueError(f"part {number} is of the type {kind!r}; expected `text`, since the models read text")
            texts.append(part[kind])
        value = "".join(texts)
    return whole_characters(value) if isinstance(value, str) else value


Text = Annotated[StrictStr, BeforeValidator(_text)]


class Strict(BaseModel):
    """Base of all bodies: an unknown parameter is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FunctionCall(Strict):
    name: StrictStr
    arguments: StrictStr


class ToolCall(Strict):
    id: StrictStr
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = None


class SystemMessage(Strict):
    role: Literal["system", "developer"]
    content: Text
    name: StrictStr | None = None


class UserMessage(Strict):
    role: Literal["user"]
    content: Text
    name: StrictStr | None = None


class AssistantMessage(BaseModel):
    """An earlier answer. What this server added to it, such as `annotations`, may be sent back and is not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["assistant"]
    content: Text | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Strict):
    role: Literal["tool"]
    content: Text
    tool_call_id: StrictStr
    name: StrictStr | None = None


RequestMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class StreamOptions(Strict):
    include_usage: StrictBool | None = None
    include_obfuscation: Literal[False] | None = None


class Function(Strict):
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: StrictStr | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: StrictBool | None = None


class Tool(Strict):
    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    name: StrictStr


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


class NamedSchema(Strict):
    name: StrictStr
    description: StrictStr | None = None
    json_schema: dict[str, JsonValue] = Field(alias="schema")
    # Decoding is always strict.
    strict: StrictBool | None = None


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("the type `json_schema` and a `json_schema` belong together")
        return self

    def as_openai(self) -> dict[str, Any] | None:
        """The format as it was sent; None for text."""
        return None if self.type == "text" else self.model_dump(by_alias=True, exclude_none=True)


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Tokens = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
_Neutral = Annotated[float, Field(strict=True, ge=0, le=0)]


class ChatRequest(Strict):
    """The body of POST /v1/chat/completions."""

    model: Annotated[StrictStr, Field(min_length=1, max_length=512)]
    messages: Annotated[list[RequestMessage], Field(min_length=1, max_length=1000)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    stop: (
        Annotated[StrictStr, Field(min_length=1)]
        | Annotated[list[Annotated[StrictStr, Field(min_length=1)]], Field(max_length=MAX_STOPS)]
        | None
    ) = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: StrictBool | None = None
    metadata: Annotated[dict[StrictStr, StrictStr], Field(max_length=MAX_METADATA)] | None = None
    # A name for the caller's own user, which nothing depends on.
    user: StrictStr | None = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    frequency_penalty: _Neutral | None = None
    presence_penalty: _Neutral | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens not in (None, self.max_tokens):
            raise ValueError("max_tokens and max_completion_tokens differ; expected one of them")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options without stream; expected both")
        if (self.tool_choice not in (None, "none") or self.parallel_tool_calls is not None) and not self.tools:
            raise ValueError("tool_choice or parallel_tool_calls without tools; expected tools")
        if self.tools and self.response_format is not None and self.response_format.type != "text":
            raise ValueError("response_format together with tools; expected one of them")
        return self


class EmbeddingsRequest(Strict):
    """The body of POST /v1/embeddings.

    Attributes:
        input_type: an extension: whether the texts are `query` or `passage`, which many encoders read differently.
    """

    model: Annotated[StrictStr, Field(min_length=1, max_length=512)]
    input: StrictStr | Annotated[list[StrictStr], Field(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] | None = None
    user: StrictStr | None = None
    input_type: Literal["passage", "query"] | None = None

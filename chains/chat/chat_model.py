"""A LangChain chat model with a frozen backbone and its soft prompts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import ConfigDict, Field, SkipValidation, model_validator

from chains.chat.call_settings import DECODING_SETTINGS, read_tools, reject_unknown, require_model
from chains.chat.reply_format import ReplyFormat
from chains.chat.reply_stream import GenerationRequest, ReplyPiece, stream_reply, to_chunk, to_result
from chains.chat.structured import METHODS, json_schema_of, parse_output, tool_name
from chains.chat.thread_stream import stream_in_thread
from chains.chat.tool_calls import CLOSING, ParsedCall
from chains.errors import InputError
from chains.messages.content import from_messages
from prompts import RenderedPrompt
from soft_prompt import (
    Attention,
    Constraint,
    DecodeWeights,
    Decoding,
    PrefixStore,
    Reply,
    Row,
    SlotFill,
    SoftPrompt,
    TokenizedPrompt,
    encode_prompt,
    generate,
)

# Arguments that LangChain passes to every chat model, and that do not apply to a local one.
_IGNORED_FIELDS = {"api_key", "base_url", "max_retries", "streaming", "timeout"}


@dataclass(frozen=True, slots=True)
class ChatGraft:
    """One of several grafts of a chat model: its fills, and the attention with which its soft prompt was trained."""

    fills: Mapping[str, SlotFill]
    attention: Attention = "exact"


class SoftPromptChat(BaseChatModel):
    """Chat with a frozen backbone; a graft fills the soft slots in the messages.

    The settings `max_tokens`, `temperature`, `top_p`, `seed`, `stop` and `graft` are fields, and can also be bound or
    passed per call. Only per call: `constraint`, a `soft_prompt.Constraint` on the reply; `tokens`, the
    `soft_prompt.TokenizedPrompt` of the messages, so that they are not tokenised again; and `response_format`, `tools`,
    `tool_choice` and `parallel_tool_calls` as in OpenAI's API.

    Attributes:
        store: the backbone, and its cached prefix keys and values.
        fills: soft slot name to its soft prompt, its text twin, or None, which leaves the slot empty. A prompt with any
            other slot is an error.
        grafts: further grafts of the same backbone by name: their fills, or a `ChatGraft`.
        graft: name of `fills`, or of the default among `grafts`; reported with every reply.
        attention: whether passages attend to one another; must be the attention with which the soft prompt was trained.
        decode_weights: `weights` of `soft_prompt.Decoding`.
        max_tokens, temperature, top_p, seed: as in `soft_prompt.Decoding`.
        call_tokens: replaces `max_tokens` if a reply may be a tool call or must be JSON.
        stop: stop texts of every reply, in addition to those of a call.
        language: language of the templates `tools` and `structured`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: PrefixStore = Field(exclude=True, repr=False)
    # Validation would copy the mapping, which may be reloaded from a template file.
    fills: SkipValidation[Mapping[str, SlotFill]] = Field(default_factory=dict, exclude=True, repr=False)
    grafts: SkipValidation[Mapping[str, ChatGraft | Mapping[str, SlotFill]]] = Field(
        default_factory=dict, exclude=True, repr=False
    )
    graft: str = "empty"
    attention: Attention = "exact"
    decode_weights: DecodeWeights = "own"
    max_tokens: int = 64
    call_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    language: str = "en"

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, values: Any) -> Any:
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values()), *_IGNORED_FIELDS}
        if isinstance(values, dict) and (unknown := sorted(set(values) - known)):
            raise InputError(
                found=f"the unknown field {', '.join(unknown)}",
                expected=f"fields of {cls.__name__}, such as max_tokens, temperature, graft",
                next_step="correct the name, or leave it out",
            )
        return values

    @model_validator(mode="after")
    def _reject_duplicate_graft(self) -> SoftPromptChat:
        if self.fills and self.graft in self.grafts:
            raise InputError(
                found=f"the graft {self.graft!r} both in `fills` and in `grafts`",
                expected="each graft in one of the two",
                next_step="leave out `fills`",
            )
        return self

    @property
    def _llm_type(self) -> str:
        return "softgraft"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("graft", "attention", "decode_weights", "call_tokens", *DECODING_SETTINGS, "stop", "language")
        return {"model": self.store.backbone.id, **{name: getattr(self, name) for name in names}}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Key of LangChain's cache; includes the fills, since two grafts may have the same name."""
        fills, attention = self._graft_fills(kwargs.get("graft") or self.graft)
        digests = {slot: f.digest if isinstance(f, SoftPrompt) else f for slot, f in sorted(fills.items())}
        # The key already contains the messages of these tokens.
        kwargs.pop("tokens", None)
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{attention}{digests}"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = self._llm_type
        params["ls_model_name"] = kwargs.get("model", self.store.backbone.id)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        return self.store.backbone.encode_text(text)

    def bind(self, **kwargs: Any) -> ChatBinding:  # type: ignore[override]
        """Bind settings to later calls. They are kept if tools or a schema are bound to the result."""
        return ChatBinding(bound=self, kwargs=kwargs, config={})

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools: functions, pydantic classes, LangChain tools, or declarations.

        Args:
            tool_choice: None or "auto": the model decides; "any", True or a tool's name: a call is forced, and decoding
                is constrained to the tool's parameters; "none": no tools.
            strict: a forced call is always strict; True is rejected if the model decides.
            **kwargs: further settings to bind.

        Raises:
            InputError: if an entry is not a tool, or the choice or a setting is unknown.
        """
        selection = read_tools(tools, tool_choice)
        if strict and not selection.forced:
            raise InputError(
                found="strict=True for calls that the model decides on",
                expected="a forced call, which is always strict",
                next_step='pass tool_choice="any" or a tool\'s name, or leave out `strict`',
            )
        reject_unknown(kwargs, "ls_structured_output_format")
        declared = [{"type": "function", "function": dict(function)} for function in selection.functions]
        return self.bind(**{**kwargs, "tools": declared, "tool_choice": tool_choice})

    def with_structured_output(
        self,
        schema: Any,
        *,
        method: str = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Let the model answer with an object of a schema. Decoding is constrained to the schema.

        Args:
            schema: a pydantic class, which returns instances; or a TypedDict, a JSON schema or a function declaration,
                which return dicts.
            method: `json_schema` puts the schema into the prompt; `json_mode` does not; `function_calling` forces a
                call of a tool with that schema.
            include_raw: return a dict with `raw`, `parsed` and `parsing_error` instead of raising.
            strict: ignored: decoding is always strict.
            **kwargs: further settings to bind.

        Raises:
            InputError: if the schema, the method or a setting is not supported.
            CutReplyError: on a call, if the JSON was cut (`max_tokens`).
        """
        reject_unknown(kwargs)
        tracing = {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": schema}}
        bound: Runnable[LanguageModelInput, AIMessage]
        if method == "function_calling":
            bound = self.bind_tools([schema], **{**kwargs, "tool_choice": tool_name(schema), **tracing})
        elif method in METHODS:
            response_format = {"type": "json_object", "schema": json_schema_of(schema)}
            if method == "json_schema":
                response_format = {"type": method, method: {"name": "reply", "schema": json_schema_of(schema)}}
            bound = self.bind(**{**kwargs, "response_format": response_format, **tracing})
        else:
            expected = f"one of {', '.join(METHODS)}"
            raise InputError(found=f"method={method!r}", expected=expected, next_step="leave it out")
        return parse_output(bound, schema, method, include_raw)  # type: ignore[arg-type]

    def reply_many(
        self,
        prompts: Sequence[RenderedPrompt | TokenizedPrompt],
        constraints: Sequence[Constraint | None] | None = None,
        *,
        on_reply: Callable[[int], None] | None = None,
    ) -> list[Reply]:
        """Replies to many prompts, tokenised or not, in batches; `on_reply` gets the number of replies so far.

        `constraints` has what each reply must match, or None.
        """
        fills, attention = self._graft_fills(self.graft)
        rows = [
            replace(self._encode(prompt, fills, attention), constraint=constraint)
            for prompt, constraint in zip(prompts, constraints or [None] * len(prompts), strict=True)
        ]
        return generate(self.store, rows, self._decoding(None, {}, None), on_reply=on_reply)

    def fits(self, prompt: RenderedPrompt | TokenizedPrompt) -> bool:
        """Whether a prompt and a reply of `max_tokens` fit into the backbone's context."""
        row = self._encode(prompt, *self._graft_fills(self.graft))
        return row.length + self.max_tokens <= self.store.backbone.context_length

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return to_result(list(stream_reply(self.store, self._request(messages, stop, kwargs))))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with aclosing(self._thread_stream(messages, stop, kwargs)) as pieces:
            return to_result([piece async for piece in pieces])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        calls = 0
        with closing(stream_reply(self.store, self._request(messages, stop, kwargs))) as pieces:
            for piece in pieces:
                chunk = to_chunk(piece, calls)
                calls += isinstance(piece, ParsedCall)
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        calls = 0
        async with aclosing(self._thread_stream(messages, stop, kwargs)) as pieces:
            async for piece in pieces:
                chunk = to_chunk(piece, calls)
                calls += isinstance(piece, ParsedCall)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _thread_stream(
        self, messages: list[BaseMessage], stop: list[str] | None, settings: dict[str, Any]
    ) -> AsyncGenerator[ReplyPiece]:
        def start(cancelled: Callable[[], bool]) -> Generator[ReplyPiece]:
            return stream_reply(self.store, self._request(messages, stop, settings), cancelled)

        return stream_in_thread(start)

    def _request(
        self, messages: list[BaseMessage], stop: Sequence[str] | None, settings: Mapping[str, Any]
    ) -> GenerationRequest:
        reject_unknown(settings)
        backbone = self.store.backbone
        require_model(settings.get("model"), backbone.id)
        name = settings.get("graft") or self.graft
        fills, attention = self._graft_fills(name)
        reply_format = ReplyFormat.read(settings)
        single_call = settings.get("parallel_tool_calls") is False and bool(reply_format.tools.functions)
        # Decoding stops after a single call.
        stop = (*(stop or ()), CLOSING) if single_call and not reply_format.tools.forced else stop
        decoding = self._decoding(stop, settings, self.call_tokens if reply_format.may_be_long else None)
        prompt, constraint = self._read_prompt(messages, settings.get("tokens"), reply_format, decoding.max_tokens)
        return GenerationRequest(
            row=replace(self._encode(prompt, fills, attention), constraint=constraint),
            decoding=decoding,
            graft=name,
            tools=tuple(function["name"] for function in reply_format.tools.functions),
            single_call=single_call,
        )

    def _read_prompt(
        self, messages: list[BaseMessage], tokens: TokenizedPrompt | None, reply_format: ReplyFormat, max_tokens: int
    ) -> tuple[RenderedPrompt | TokenizedPrompt, Constraint | None]:
        """The prompt of a call, and the constraint on its reply."""
        backbone = self.store.backbone
        if tokens is None:
            prompt = reply_format.with_instructions(
                from_messages(messages, reply_format.tools.functions), backbone, self.language
            )
            return prompt, reply_format.reply_constraint(prompt, backbone, max_tokens)
        if reply_format.may_be_long:
            raise InputError(
                found="`tokens` together with tools or a response format, which add to the prompt",
                expected="only one of them",
                next_step="leave out `tokens`; the messages are then tokenised",
            )
        return tokens, reply_format.constraint

    def _encode(
        self, prompt: RenderedPrompt | TokenizedPrompt, fills: Mapping[str, SlotFill], attention: Attention
    ) -> Row:
        if isinstance(prompt, TokenizedPrompt):
            slots = {span.text for span in prompt.spans if span.kind == "slot"}
        else:
            slots = {*prompt.slots()}
        if missing := sorted(slot for slot in slots if slot not in fills):
            raise InputError(
                found=f"the soft slot {', '.join(missing)} in the prompt, and nothing to fill it with",
                expected="a soft prompt, a text twin, or None for each slot",
                next_step="use the chat model of the domain, domain.chat_model, or pass fills={'domain': ...}",
            )
        return encode_prompt(self.store.backbone, prompt, fills, attention)

    def _graft_fills(self, name: str) -> tuple[Mapping[str, SlotFill], Attention]:
        if name in self.grafts:
            graft = self.grafts[name]
            return (graft.fills, graft.attention) if isinstance(graft, ChatGraft) else (graft, self.attention)
        if name == self.graft:
            return self.fills, self.attention
        raise InputError(
            found=f"the graft {name!r}",
            expected=f"one of {', '.join(sorted({self.graft, *self.grafts}))}",
            next_step="use one of these, or add the graft to `grafts`",
        )

    def _decoding(
        self, stop: Sequence[str] | None, settings: Mapping[str, Any], max_tokens: int | None = None
    ) -> Decoding:
        own = {name: getattr(self, name) for name in DECODING_SETTINGS} | {"max_tokens": max_tokens or self.max_tokens}
        effective = {name: own[name] if settings.get(name) is None else settings[name] for name in DECODING_SETTINGS}
        return Decoding(**effective, weights=self.decode_weights, stop=(*self.stop, *(stop or ())))


class ChatBinding(RunnableBinding[LanguageModelInput, AIMessage]):
    """The result of `SoftPromptChat.bind`.

    LangChain's `RunnableBinding` forwards these methods to the model, which would lose the bound settings.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        return [*RunnableBinding.get_lc_namespace(), "RunnableBinding"]

    def bind_tools(self, tools: Any, **settings: Any) -> Runnable[LanguageModelInput, AIMessage]:
        bound: Any = self.bound
        before = {name: value for name, value in self.kwargs.items() if name not in ("tools", "tool_choice")}
        return self._with_config(bound.bind_tools(tools, **{**before, **settings}))

    def with_structured_output(self, schema: Any, **settings: Any) -> Runnable[LanguageModelInput, Any]:
        bound: Any = self.bound
        return self._with_config(bound.with_structured_output(schema, **{**self.kwargs, **settings}))

    def _with_config(self, runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return runnable.with_config(self.config) if self.config else runnable

"""A LangChain chat model over a frozen backbone and its soft prompts."""

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

from chains.chat.call_settings import DECODING, read_tools, refuse_unknown, require_model
from chains.chat.off_loop import off_loop
from chains.chat.reply_form import ReplyForm
from chains.chat.spoken import GenerationRequest, Piece, as_chunk, as_result, speak
from chains.chat.structured import METHODS, json_schema_of, parsed, tool_name
from chains.chat.tool_calls import CLOSING, Call
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
    SlotFill,
    SoftPrompt,
    TokenizedPrompt,
    encode_prompt,
    generate,
)

# What every chat model of LangChain's is offered, and what means nothing to one that runs here.
_OF_NO_MEANING = {"api_key", "base_url", "max_retries", "streaming", "timeout"}


@dataclass(frozen=True, slots=True)
class ChatGraft:
    """One of several grafts of a chat model.

    Attributes:
        fills: soft slot name to its soft prompt, its text twin, or None for nothing.
        attention: the one that its soft prompt was trained with.
    """

    fills: Mapping[str, SlotFill]
    attention: Attention = "exact"


class SoftPromptChat(BaseChatModel):
    """Chat with a frozen backbone; soft slots in the messages are filled with a graft's fills.

    Every setting is a field and can be given per call or bound: `max_tokens`, `temperature`, `top_p`, `seed`, `stop`
    and `graft`. Only per call: `constraint`, a `soft_prompt.Constraint` that the reply must match; `tokens`, the
    `soft_prompt.TokenizedPrompt` of these messages, so that they are not tokenised again; and `response_format`,
    `tools`, `tool_choice` and `parallel_tool_calls` as OpenAI has them.

    Attributes:
        store: prefix keys and values, and the backbone.
        fills: soft slot name to its soft prompt, its text twin, or None for nothing; a slot that is not named stays
            empty.
        grafts: further grafts by name, of the same backbone: their fills, or a `ChatGraft`.
        graft: the name of `fills`, or of the one of `grafts` that is used where a call names none; reported with
            every reply.
        attention: whether passages see one another; a soft prompt wants the one that it was trained with.
        decode_weights: how the backbone's weights are read, `weights` of `soft_prompt.Decoding`.
        max_tokens, temperature, top_p, seed: as in `soft_prompt.Decoding`.
        call_tokens: in place of `max_tokens` where a reply may be a tool call or must be JSON.
        stop: texts that end every reply, besides those given per call.
        language: of the templates `tools` and `structured`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: PrefixStore = Field(exclude=True, repr=False)
    # Not validated, since that would copy it: a mapping may follow a template file that is edited.
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
    def _known(cls, given: Any) -> Any:
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values()), *_OF_NO_MEANING}
        if isinstance(given, dict) and (unknown := sorted(set(given) - known)):
            raise InputError(
                found=f"the unknown field {', '.join(unknown)}",
                expected=f"fields of {cls.__name__}, such as max_tokens, temperature, graft",
                next_step="correct the name, or leave it out",
            )
        return given

    @model_validator(mode="after")
    def _one_graft_a_name(self) -> SoftPromptChat:
        if self.fills and self.graft in self.grafts:
            raise InputError(
                found=f"the graft {self.graft!r} both in `fills` and in `grafts`",
                expected="one place for each",
                next_step="leave out `fills`",
            )
        return self

    @property
    def _llm_type(self) -> str:
        return "softgraft"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("graft", "attention", "decode_weights", "call_tokens", *DECODING, "stop", "language")
        return {"model": self.store.backbone.id, **{name: getattr(self, name) for name in names}}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What LangChain's cache tells calls apart by: what fills the slots too, as two grafts may have one name."""
        fills, attention = self._grafted(kwargs.get("graft") or self.graft)
        filled = {slot: f.digest if isinstance(f, SoftPrompt) else f for slot, f in sorted(fills.items())}
        # The messages, which are in the key already, stand for their tokens.
        kwargs.pop("tokens", None)
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---{attention}{filled}"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """What a tracer records of a call."""
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = self._llm_type
        params["ls_model_name"] = kwargs.get("model", self.store.backbone.id)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of the backbone's own tokenizer."""
        return self.store.backbone.encode_text(text)

    def bind(self, **kwargs: Any) -> ChatBinding:  # type: ignore[override]
        """Settings for later calls. They stay when tools or a schema are bound to what this gives."""
        return ChatBinding(bound=self, kwargs=kwargs, config={})

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Args:
            tools: functions, pydantic classes, LangChain tools, or declarations.
            tool_choice: None or "auto" leaves it to the model; "any", True or a tool's name wants a call, which is
                then held to the tool's parameters while it is decoded; "none" offers nothing.
            strict: a call that is wanted is always strict; True for one that is left to the model is refused.
            **kwargs: further settings to bind.

        Raises:
            InputError: what is no tool, a choice that there is not, or an unknown setting.
        """
        chosen = read_tools(tools, tool_choice)
        if strict and not chosen.forced:
            raise InputError(
                found="strict=True for calls that are left to the model",
                expected="a call that is wanted, which is always strict",
                next_step='pass tool_choice="any" or a tool\'s name, or leave out `strict`',
            )
        refuse_unknown(kwargs, "ls_structured_output_format")
        declared = [{"type": "function", "function": dict(function)} for function in chosen.functions]
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
        """Let the model answer with an object of a schema. Its JSON is held to the schema while it is decoded.

        Args:
            schema: a pydantic class, whose instances are given; or a TypedDict, a JSON schema or a function's
                declaration, for which dicts are given.
            method: `json_schema` shows the model the schema; `json_mode` does not; `function_calling` offers it as a
                tool that must be called.
            include_raw: give a dict with `raw`, `parsed` and `parsing_error` in place of raising.
            strict: always true here, so any value will do.
            **kwargs: further settings to bind.

        Raises:
            InputError: a schema or method that there is not, or an unknown setting.
            CutReplyError: in a call, the JSON was cut (`max_tokens`).
        """
        refuse_unknown(kwargs)
        traced = {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": schema}}
        bound: Runnable[LanguageModelInput, AIMessage]
        if method == "function_calling":
            bound = self.bind_tools([schema], **{**kwargs, "tool_choice": tool_name(schema), **traced})
        elif method == "json_schema":
            wanted = {"type": method, method: {"name": "reply", "schema": json_schema_of(schema)}}
            bound = self.bind(**{**kwargs, "response_format": wanted, **traced})
        elif method == "json_mode":
            wanted = {"type": "json_object", "schema": json_schema_of(schema)}
            bound = self.bind(**{**kwargs, "response_format": wanted, **traced})
        else:
            raise InputError(
                found=f"method={method!r}",
                expected=f"one of {', '.join(METHODS)}",
                next_step="leave it out",
            )
        return parsed(bound, schema, method, include_raw)  # type: ignore[arg-type]

    def reply_many(
        self, prompts: Sequence[RenderedPrompt | TokenizedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[Reply]:
        """Replies to many prompts, decoded in batches.

        Args:
            prompts: rendered templates, tokenised or not.
            on_reply: called with the number of finished replies.
        """
        fills, attention = self._grafted(self.graft)
        rows = [encode_prompt(self.store.backbone, prompt, fills, attention) for prompt in prompts]
        return generate(self.store, rows, self._decoding(None, {}), on_reply=on_reply)

    def fits(self, prompt: RenderedPrompt | TokenizedPrompt) -> bool:
        """Whether a prompt and a whole reply fit into the backbone's context."""
        row = encode_prompt(self.store.backbone, prompt, *self._grafted(self.graft))
        return row.length + self.max_tokens <= self.store.backbone.context_length

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return as_result(list(speak(self.store, self._request(messages, stop, kwargs))))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with aclosing(self._off_loop(messages, stop, kwargs)) as said:
            return as_result([piece async for piece in said])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        calls = 0
        with closing(speak(self.store, self._request(messages, stop, kwargs))) as said:
            for piece in said:
                chunk = as_chunk(piece, calls)
                calls += isinstance(piece, Call)
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
        async with aclosing(self._off_loop(messages, stop, kwargs)) as said:
            async for piece in said:
                chunk = as_chunk(piece, calls)
                calls += isinstance(piece, Call)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _off_loop(
        self, messages: list[BaseMessage], stop: list[str] | None, settings: dict[str, Any]
    ) -> AsyncGenerator[Piece]:
        def start(gone: Callable[[], bool]) -> Generator[Piece]:
            return speak(self.store, self._request(messages, stop, settings), gone)

        return off_loop(start)

    def _request(
        self, messages: list[BaseMessage], stop: Sequence[str] | None, settings: Mapping[str, Any]
    ) -> GenerationRequest:
        """A call with everything that it asks for read and checked."""
        refuse_unknown(settings)
        backbone = self.store.backbone
        require_model(settings.get("model"), backbone.id)
        name = settings.get("graft") or self.graft
        fills, attention = self._grafted(name)
        form = ReplyForm.read(settings)
        once = settings.get("parallel_tool_calls") is False and bool(form.tools.functions)
        # Nothing is decoded after a single call.
        stop = (*(stop or ()), CLOSING) if once and not form.tools.forced else stop
        decoding = self._decoding(stop, settings, self.call_tokens if form.may_be_long else None)
        prompt, constraint = self._read(messages, settings.get("tokens"), form, decoding.max_tokens)
        return GenerationRequest(
            row=replace(encode_prompt(backbone, prompt, fills, attention), constraint=constraint),
            decoding=decoding,
            graft=name,
            tools=tuple(function["name"] for function in form.tools.functions),
            once=once,
        )

    def _read(
        self, messages: list[BaseMessage], tokens: TokenizedPrompt | None, form: ReplyForm, max_tokens: int
    ) -> tuple[RenderedPrompt | TokenizedPrompt, Constraint | None]:
        """The prompt of a call, and the constraint on its reply."""
        backbone = self.store.backbone
        if tokens is None:
            prompt = form.described(from_messages(messages, form.tools.functions), backbone, self.language)
            return prompt, form.grammar(prompt, backbone, max_tokens)
        if form.may_be_long:
            raise InputError(
                found="`tokens` together with tools or a response format, which add to the prompt",
                expected="one of them",
                next_step="leave out `tokens`: the messages are tokenised by themselves",
            )
        return tokens, form.constraint

    def _grafted(self, name: str) -> tuple[Mapping[str, SlotFill], Attention]:
        """What fills the slots under that name, and the attention that it wants."""
        if name in self.grafts:
            found = self.grafts[name]
            return (found.fills, found.attention) if isinstance(found, ChatGraft) else (found, self.attention)
        if name == self.graft:
            return self.fills, self.attention
        raise InputError(
            found=f"the graft {name!r}",
            expected=f"one of {', '.join(sorted({self.graft, *self.grafts}))}",
            next_step="name one of these, or give the chat model more `grafts`",
        )

    def _decoding(self, stop: Sequence[str] | None, settings: Mapping[str, Any], budget: int | None = None) -> Decoding:
        own = {name: getattr(self, name) for name in DECODING} | {"max_tokens": budget or self.max_tokens}
        chosen = {name: own[name] if settings.get(name) is None else settings[name] for name in DECODING}
        return Decoding(**chosen, weights=self.decode_weights, stop=(*self.stop, *(stop or ())))


class ChatBinding(RunnableBinding[LanguageModelInput, AIMessage]):
    """What `SoftPromptChat.bind` gives.

    LangChain's own hands these calls to the bare model, and what was bound before is lost.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Behaves as a plain binding, and is shown as one."""
        return [*RunnableBinding.get_lc_namespace(), "RunnableBinding"]

    def bind_tools(self, tools: Any, **settings: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As `SoftPromptChat.bind_tools`."""
        bound: Any = self.bound
        before = {name: value for name, value in self.kwargs.items() if name not in ("tools", "tool_choice")}
        return self._kept(bound.bind_tools(tools, **{**before, **settings}))

    def with_structured_output(self, schema: Any, **settings: Any) -> Runnable[LanguageModelInput, Any]:
        """As `SoftPromptChat.with_structured_output`."""
        bound: Any = self.bound
        return self._kept(bound.with_structured_output(schema, **{**self.kwargs, **settings}))

    def _kept(self, runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return runnable.with_config(self.config) if self.config else runnable

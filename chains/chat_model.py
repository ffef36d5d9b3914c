"""A LangChain chat model over a frozen backbone and its soft prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field, SkipValidation

from chains.content import from_messages
from chains.errors import InputError
from prompts import RenderedPrompt
from soft_prompt import (
    Attention,
    DecodeWeights,
    Decoding,
    PrefixStore,
    Reply,
    Row,
    SlotFill,
    encode_prompt,
    generate,
    stream,
)

_SETTINGS = ("max_tokens", "seed", "temperature", "top_p")


class SoftPromptChat(BaseChatModel):
    """Chat with a frozen backbone; soft slots in the messages are filled with this model's fills.

    Attributes:
        store: prefix keys and values, and the backbone.
        fills: soft slot name to its soft prompt, its text twin, or None for nothing; a slot that is not named stays
            empty.
        graft: a name for the fills, reported with every reply.
        attention: whether passages see one another; a soft prompt wants the one that it was trained with.
        decode_weights: how the backbone's weights are read, `weights` of `soft_prompt.Decoding`.
        max_tokens, temperature, top_p, seed: as in `soft_prompt.Decoding`; each can be given per call.
        stop: texts that end every reply, besides those given per call.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: PrefixStore = Field(exclude=True, repr=False)
    # Not validated, since that would copy it: a mapping may follow a template file that is edited.
    fills: SkipValidation[Mapping[str, SlotFill]] = Field(default_factory=dict, exclude=True, repr=False)
    graft: str = "empty"
    attention: Attention = "exact"
    decode_weights: DecodeWeights = "own"
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def _llm_type(self) -> str:
        return "softgraft"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("graft", "attention", "decode_weights", "max_tokens", "temperature", "top_p", "seed", "stop")
        return {"model": self.store.backbone.id, **{name: getattr(self, name) for name in names}}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """What a tracer records of a call."""
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = self._llm_type
        params["ls_model_name"] = kwargs.get("model", self.store.backbone.id)
        return params

    def reply_many(
        self, prompts: Sequence[RenderedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[Reply]:
        """Replies to many prompts, decoded in batches.

        Args:
            prompts: rendered templates.
            on_reply: called with the number of finished replies.
        """
        rows = [encode_prompt(self.store.backbone, prompt, self.fills, self.attention) for prompt in prompts]
        return generate(self.store, rows, self._decoding(None, {}), on_reply=on_reply)

    def fits(self, prompt: RenderedPrompt) -> bool:
        """Whether a rendered template and a whole reply fit into the backbone's context."""
        row = encode_prompt(self.store.backbone, prompt, self.fills, self.attention)
        return row.length + self.max_tokens <= self.store.backbone.max_tokens

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        [reply] = generate(self.store, [self._row(messages)], self._decoding(stop, kwargs))
        message = AIMessage(
            content=reply.text, usage_metadata=_usage(reply), response_metadata=self._response_metadata(reply)
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for delta in stream(self.store, self._row(messages), self._decoding(stop, kwargs)):
            message = AIMessageChunk(content=delta.text)
            if delta.reply is not None:
                message.usage_metadata = _usage(delta.reply)
                message.response_metadata = self._response_metadata(delta.reply)
                message.chunk_position = "last"
            chunk = ChatGenerationChunk(message=message)
            if run_manager is not None:
                run_manager.on_llm_new_token(delta.text, chunk=chunk)
            yield chunk

    def _row(self, messages: list[BaseMessage]) -> Row:
        return encode_prompt(self.store.backbone, from_messages(messages), self.fills, self.attention)

    def _decoding(self, stop: Sequence[str] | None, settings: Mapping[str, Any]) -> Decoding:
        if unknown := sorted(set(settings) - set(_SETTINGS)):
            raise InputError(
                found=f"the unknown setting {', '.join(unknown)}",
                expected=f"one of {', '.join(_SETTINGS)}, stop",
                next_step="leave it out, or set it on the model you call",
            )
        chosen = {name: settings[name] if settings.get(name) is not None else getattr(self, name) for name in _SETTINGS}
        return Decoding(**chosen, weights=self.decode_weights, stop=(*self.stop, *(stop or ())))

    def _response_metadata(self, reply: Reply) -> dict[str, Any]:
        return {
            "model_name": self.store.backbone.id,
            "model_provider": "softgraft",
            "graft": self.graft,
            "finish_reason": reply.finish,
        }


def _usage(reply: Reply) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=reply.prompt_tokens,
        output_tokens=reply.tokens,
        total_tokens=reply.prompt_tokens + reply.tokens,
        input_token_details=InputTokenDetails(cache_read=reply.cached_tokens),
    )

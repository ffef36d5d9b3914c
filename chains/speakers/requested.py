"""A speaker for one request, with the request's own settings, which counts the tokens that it used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from chains.answering.speaker import DeferredSpeaker, OnReply, PreparedPrompt, Speaker
from chains.errors import InputError
from chains.speakers.speakers import LocalSpeaker, RemoteSpeaker, streamed_replies
from prompts import Message, RenderedPrompt, TextSegment
from prompts.tools import prepend_system_message

# What langchain-openai passes on. The packages of other providers have other names, and ignore what they do not know.
_OPENAI_SETTINGS = ("max_tokens", "response_format", "seed", "stop", "temperature", "top_p")


@dataclass(slots=True)
class TokenUsage:
    """Tokens of the model calls of one answer, and why the last of them ended: `stop` or `length`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    finish: str = "stop"

    def add(self, message: BaseMessage) -> None:
        """Add what a reply, or one chunk of it, says about its tokens."""
        used = getattr(message, "usage_metadata", None)
        if used:
            self.prompt += used["input_tokens"]
            self.completion += used["output_tokens"]
            self.cached += used.get("input_token_details", {}).get("cache_read") or 0
        if reason := message.response_metadata.get("finish_reason"):
            self.finish = "length" if reason == "length" else "stop"


@dataclass(frozen=True)
class RequestSettings:
    """What a request sets for its reply.

    Attributes:
        decoding: `max_tokens`, `temperature`, `top_p`, `seed` and `stop` (a tuple), as far as they are set.
        response_format: in OpenAI's format; None for text.
        system: a system message that precedes the template's; may be empty.
        most_tokens: maximum number of tokens of a reply whose `max_tokens` is not set.
    """

    decoding: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    system: str = ""
    most_tokens: int = 2**31


def requested_speaker(speaker: Speaker, settings: RequestSettings, usage: TokenUsage, backbone: str) -> Speaker:
    """`speaker` with the settings of one request; the tokens are added to `usage`.

    Raises:
        InputError: if the model behind an API (`backbone` is its name) does not take a setting.
    """
    if isinstance(speaker, DeferredSpeaker):
        return DeferredSpeaker(lambda: requested_speaker(speaker.speaker, settings, usage, backbone))
    if isinstance(speaker, LocalSpeaker):
        return _RequestedLocal(local_chat(speaker.chat, settings), settings, usage)
    if isinstance(speaker, RemoteSpeaker):
        set_here = [*settings.decoding, *(["response_format"] if settings.response_format else [])]
        if set_here and not backbone.startswith("openai:"):
            raise InputError(
                found=f"{', '.join(sorted(set_here))} for the model {backbone!r}",
                expected="a request without them: this server passes them to `openai:` models and local ones only",
                next_step="leave them out, or set them in domain.yaml",
            )
        return _RequestedRemote(speaker.chat, speaker.twin_of, settings, usage)
    return speaker


def local_chat(chat: Any, settings: RequestSettings) -> Any:
    """A copy of a `SoftPromptChat` with the decoding settings of a request."""
    decoding = dict(settings.decoding)
    most = settings.most_tokens
    update = {"max_tokens": min(chat.max_tokens, most), "call_tokens": min(chat.call_tokens, most), **decoding}
    if "max_tokens" in decoding:
        update["call_tokens"] = decoding["max_tokens"]
    update["stop"] = (*chat.stop, *decoding.get("stop", ()))
    return chat.model_copy(update=update)


@dataclass(frozen=True)
class _RequestedLocal(LocalSpeaker):
    settings: RequestSettings
    usage: TokenUsage

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        return super().prepare(_with_system(prompt, self.settings.system))

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: OnReply | None = None) -> list[str]:
        # A batch of the chat model takes no format, and reports no tokens.
        return streamed_replies(self, prompts, on_reply)

    def _call(self, prompt: PreparedPrompt) -> dict[str, Any]:
        if self.settings.response_format is not None:
            # It adds to the prompt, so the prompt is tokenised again.
            return {"response_format": self.settings.response_format}
        return super()._call(prompt)

    def _received(self, chunk: BaseMessage) -> None:
        self.usage.add(chunk)


@dataclass(frozen=True)
class _RequestedRemote(RemoteSpeaker):
    settings: RequestSettings
    usage: TokenUsage

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        return super().prepare(_with_system(prompt, self.settings.system))

    def _call(self) -> dict[str, Any]:
        call = {name: value for name, value in self.settings.decoding.items() if name in _OPENAI_SETTINGS}
        if "stop" in call:
            call["stop"] = list(call["stop"])
        if self.settings.response_format is not None:
            call["response_format"] = self.settings.response_format
        return call

    def _received(self, chunk: BaseMessage) -> None:
        self.usage.add(chunk)


def _with_system(prompt: RenderedPrompt, system: str) -> RenderedPrompt:
    if not system:
        return prompt
    return prepend_system_message(prompt, RenderedPrompt((Message("system", (TextSegment(f"{system}\n\n"),)),)))

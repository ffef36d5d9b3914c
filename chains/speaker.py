"""Who words the answers: a frozen backbone with vectors, or a model behind an API with the text twin.

Both take the same rendered prompt, so template, graph and evaluation do not care which one it is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from chains.chat_model import SoftPromptChat
from chains.content import plain_text, to_messages, to_text_messages
from chains.errors import RemoteModelError
from prompts import RenderedPrompt

OPENAI = "openai:"


class Speaker(Protocol):
    """Words answers to rendered prompts."""

    def stream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> Iterator[str]:
        """The answer in pieces, as they become certain."""

    def astream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> AsyncIterator[str]:
        """As `stream`, on the event loop."""

    def reply_many(
        self, prompts: Sequence[RenderedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """Answers to many prompts, in their order."""

    def fits(self, prompt: RenderedPrompt) -> bool:
        """Whether prompt and answer fit into the model's context, as far as can be known."""


@dataclass(frozen=True)
class LocalSpeaker:
    """A backbone with its soft slots filled by the chat model's fills."""

    chat: SoftPromptChat

    def stream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> Iterator[str]:
        """See `Speaker`."""
        for chunk in self.chat.stream(to_messages(prompt), config):
            yield plain_text(chunk.content)

    async def astream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> AsyncIterator[str]:
        """See `Speaker`."""
        async for chunk in self.chat.astream(to_messages(prompt), config):
            yield plain_text(chunk.content)

    def reply_many(
        self, prompts: Sequence[RenderedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """See `Speaker`; decoded in batches."""
        return [reply.text for reply in self.chat.reply_many(prompts, on_reply=on_reply)]

    def fits(self, prompt: RenderedPrompt) -> bool:
        """See `Speaker`."""
        return self.chat.fits(prompt)


@dataclass(frozen=True)
class RemoteSpeaker:
    """A chat model that takes text only; `twin_of` gives the text that stands for a soft slot."""

    chat: BaseChatModel
    twin_of: Callable[[str], str]

    def stream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> Iterator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses or cannot be reached.
        """
        from openai import OpenAIError

        try:
            for chunk in self.chat.stream(to_text_messages(prompt.fill(self.twin_of)), config):
                yield plain_text(chunk.content)
        except OpenAIError as error:
            raise _refused(error) from error

    async def astream(self, prompt: RenderedPrompt, config: RunnableConfig | None = None) -> AsyncIterator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses or cannot be reached.
        """
        from openai import OpenAIError

        try:
            async for chunk in self.chat.astream(to_text_messages(prompt.fill(self.twin_of)), config):
                yield plain_text(chunk.content)
        except OpenAIError as error:
            raise _refused(error) from error

    def reply_many(
        self, prompts: Sequence[RenderedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """See `Speaker`; one call a prompt."""
        replies = []
        for number, prompt in enumerate(prompts, 1):
            replies.append("".join(self.stream(prompt)))
            if on_reply is not None:
                on_reply(number)
        return replies

    def fits(self, prompt: RenderedPrompt) -> bool:
        """Always true: how much a model behind an API reads is not known here."""
        return True


def openai_chat(name: str, *, max_tokens: int, temperature: float, base_url: str | None = None) -> BaseChatModel:
    """A chat model behind the OpenAI protocol.

    Args:
        name: `openai:MODEL`.
        max_tokens: at most so many tokens an answer.
        temperature: 0 for the likeliest answer.
        base_url: another server that speaks the protocol; None takes the client's default.

    Raises:
        RemoteModelError: no API key is set.
    """
    if not os.environ.get("OPENAI_API_KEY"):
        raise RemoteModelError(
            found=f"the backbone {name!r} needs an API key and OPENAI_API_KEY is not set",
            expected="a key in the environment variable OPENAI_API_KEY",
            next_step="export OPENAI_API_KEY=..., or set `backbone: embedded` in domain.yaml",
        )
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model=name.removeprefix(OPENAI),
        max_tokens=max_tokens,  # type: ignore[call-arg]
        temperature=temperature,
        base_url=base_url,
    )


def _refused(error: Exception) -> RemoteModelError:
    return RemoteModelError(
        found=f"the model behind the API did not answer: {error}",
        expected="a reachable server that accepts the key and knows the model",
        next_step="check OPENAI_API_KEY, `base_url` and the name of the model in domain.yaml",
    )

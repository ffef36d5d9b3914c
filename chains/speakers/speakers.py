"""Who words the answers: a frozen backbone with vectors, or a model behind an API with the text twin.

Both take the same rendered prompt, so template, graph and evaluation do not care which one it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from chains.chat.chat_model import SoftPromptChat
from chains.messages.content import plain_text, to_messages, to_text_messages
from chains.speakers.remote_failures import Ending, remote_failure
from prompts import RenderedPrompt


@dataclass(frozen=True)
class LocalSpeaker:
    """A backbone with its soft slots filled by the chat model's fills."""

    chat: SoftPromptChat

    def stream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """See `Speaker`."""
        for chunk in self.chat.stream(to_messages(prompt), cast(RunnableConfig, config)):
            yield plain_text(chunk.content)

    async def astream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """See `Speaker`."""
        async with aclosing(cast(Any, self.chat.astream(to_messages(prompt), cast(RunnableConfig, config)))) as chunks:
            async for chunk in chunks:
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

    def stream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses, cannot be reached, or breaks off.
        """
        messages = to_text_messages(prompt.fill(self.twin_of))
        ending = Ending()
        try:
            for chunk in self.chat.stream(messages, cast(RunnableConfig, config)):
                text = plain_text(chunk.content)
                ending.see(chunk, text)
                yield text
        except Exception as error:
            raise remote_failure(error) from error
        ending.check()

    async def astream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses, cannot be reached, or breaks off.
        """
        messages = to_text_messages(prompt.fill(self.twin_of))
        ending = Ending()
        try:
            async with aclosing(cast(Any, self.chat.astream(messages, cast(RunnableConfig, config)))) as chunks:
                async for chunk in chunks:
                    text = plain_text(chunk.content)
                    ending.see(chunk, text)
                    yield text
        except Exception as error:
            raise remote_failure(error) from error
        ending.check()

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

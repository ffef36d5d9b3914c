"""The speakers: a frozen backbone with vectors, or a remote model with the text twin.

Both take the same prepared prompt, so template, graph and evaluation do not care which one it is. A LangChain chat
model does the call, so that callbacks and traces see it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from chains.answering.speaker import PreparedPrompt
from chains.chat.chat_model import SoftPromptChat
from chains.messages.content import plain_text, to_messages, to_text_messages
from chains.speakers.remote_failures import Ending, remote_failure
from prompts import RenderedPrompt
from soft_prompt import tokenize_prompt


@dataclass(frozen=True)
class LocalSpeaker:
    """A backbone with its soft slots filled by the chat model's fills."""

    chat: SoftPromptChat

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        """See `Speaker`."""
        tokens = tokenize_prompt(self.chat.store.backbone, prompt)
        return PreparedPrompt(prompt, tokens, self.chat.fits(tokens))

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """See `Speaker`."""
        messages = to_messages(prompt.prompt)
        for chunk in self.chat.stream(messages, cast(RunnableConfig, config), tokens=prompt.tokens):
            yield plain_text(chunk.content)

    async def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """See `Speaker`."""
        messages = to_messages(prompt.prompt)
        stream = self.chat.astream(messages, cast(RunnableConfig, config), tokens=prompt.tokens)
        async with aclosing(cast(Any, stream)) as chunks:
            async for chunk in chunks:
                yield plain_text(chunk.content)

    def reply_many(
        self, prompts: Sequence[PreparedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """See `Speaker`; decoded in batches."""
        encoded = [prompt.model_input for prompt in prompts]
        return [reply.text for reply in self.chat.reply_many(encoded, on_reply=on_reply)]


@dataclass(frozen=True)
class RemoteSpeaker:
    """A chat model that takes text only; `twin_of` gives the text that stands for a soft slot."""

    chat: BaseChatModel
    twin_of: Callable[[str], str]

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        """See `Speaker`. The context length of a remote model is not known here, so every prompt fits."""
        return PreparedPrompt(prompt, None, True)

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses, cannot be reached, or breaks off.
        """
        messages = to_text_messages(prompt.prompt.fill(self.twin_of))
        ending = Ending()
        try:
            for chunk in self.chat.stream(messages, cast(RunnableConfig, config)):
                text = plain_text(chunk.content)
                ending.see(chunk, text)
                yield text
        except Exception as error:
            raise remote_failure(error) from error
        ending.check()

    async def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """See `Speaker`.

        Raises:
            RemoteModelError: the API refuses, cannot be reached, or breaks off.
        """
        messages = to_text_messages(prompt.prompt.fill(self.twin_of))
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
        self, prompts: Sequence[PreparedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """See `Speaker`; one call a prompt."""
        replies = []
        for number, prompt in enumerate(prompts, 1):
            replies.append("".join(self.stream(prompt)))
            if on_reply is not None:
                on_reply(number)
        return replies

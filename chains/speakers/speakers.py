"""The two speakers: a frozen backbone with soft prompts, and a remote model with text twins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from chains.answering.speaker import OnReply, PreparedPrompt, Speaker
from chains.chat.chat_model import SoftPromptChat
from chains.messages.content import plain_text, to_messages, to_text_messages
from chains.speakers.remote_failures import ReplyEndCheck, to_remote_error
from prompts import RenderedPrompt
from soft_prompt import tokenize_prompt

# The type of the chat model of either speaker, for code that does not import LangChain.
ChatModel: TypeAlias = BaseChatModel


@dataclass(frozen=True)
class LocalSpeaker:
    """A local backbone whose chat model fills the soft slots."""

    chat: SoftPromptChat

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        tokens = tokenize_prompt(self.chat.store.backbone, prompt)
        return PreparedPrompt(prompt, tokens, self.chat.fits(tokens))

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        messages = to_messages(prompt.prompt)
        for chunk in self.chat.stream(messages, cast(RunnableConfig, config), **self._call(prompt)):
            self._received(chunk)
            yield plain_text(chunk.content)

    async def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        messages = to_messages(prompt.prompt)
        stream = self.chat.astream(messages, cast(RunnableConfig, config), **self._call(prompt))
        async with aclosing(cast(Any, stream)) as chunks:
            async for chunk in chunks:
                self._received(chunk)
                yield plain_text(chunk.content)

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: OnReply | None = None) -> list[str]:
        inputs = [prompt.model_input for prompt in prompts]
        constraints = [prompt.constraint for prompt in prompts]
        return [reply.text for reply in self.chat.reply_many(inputs, constraints, on_reply=on_reply)]

    def _call(self, prompt: PreparedPrompt) -> dict[str, Any]:
        """The settings of one call of the chat model."""
        return {"tokens": prompt.tokens, "constraint": prompt.constraint}

    def _received(self, chunk: BaseMessage) -> None:
        """Called with each chunk of a stream."""


@dataclass(frozen=True)
class RemoteSpeaker:
    """A chat model that takes only text; `twin_of` returns the text twin of a soft slot."""

    chat: BaseChatModel
    twin_of: Callable[[str], str]

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        return PreparedPrompt(prompt, None, True)

    def messages(self, prompt: PreparedPrompt) -> list[BaseMessage]:
        """The prompt as the API gets it."""
        return to_text_messages(prompt.prompt.fill(self.twin_of))

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        messages, end = self.messages(prompt), ReplyEndCheck()
        try:
            for chunk in self.chat.stream(messages, cast(RunnableConfig, config), **self._call()):
                text = plain_text(chunk.content)
                self._received(chunk)
                end.add(chunk, text)
                yield text
        except Exception as error:
            raise to_remote_error(error) from error
        end.check()

    async def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        messages, end = self.messages(prompt), ReplyEndCheck()
        stream = self.chat.astream(messages, cast(RunnableConfig, config), **self._call())
        try:
            async with aclosing(cast(Any, stream)) as chunks:
                async for chunk in chunks:
                    text = plain_text(chunk.content)
                    self._received(chunk)
                    end.add(chunk, text)
                    yield text
        except Exception as error:
            raise to_remote_error(error) from error
        end.check()

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: OnReply | None = None) -> list[str]:
        return streamed_replies(self, prompts, on_reply)

    def _call(self) -> dict[str, Any]:
        """The settings of one call of the chat model."""
        return {}

    def _received(self, chunk: BaseMessage) -> None:
        """Called with each chunk of a stream."""


def streamed_replies(speaker: Speaker, prompts: Sequence[PreparedPrompt], on_reply: OnReply | None) -> list[str]:
    """The replies to the prompts, one after another."""
    replies = []
    for number, prompt in enumerate(prompts, 1):
        replies.append("".join(speaker.stream(prompt)))
        if on_reply is not None:
            on_reply(number)
    return replies

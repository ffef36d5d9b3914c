"""The protocol of a speaker, which writes the answers: a local backbone or a remote model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from prompts import RenderedPrompt
from soft_prompt import Constraint, TokenizedPrompt

# Called with the number of replies so far.
OnReply = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A rendered prompt and its tokens (None for a remote model); `fits` is True if the context length is not known.

    Only a local model can honour a `constraint` on the reply.
    """

    prompt: RenderedPrompt
    tokens: TokenizedPrompt | None
    fits: bool
    constraint: Constraint | None = None

    @property
    def model_input(self) -> RenderedPrompt | TokenizedPrompt:
        return self.tokens or self.prompt


class Speaker(Protocol):
    """Writes answers to prompts."""

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt: ...

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]: ...

    def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """Closing it stops the model."""

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: OnReply | None = None) -> list[str]:
        """Replies in the order of the prompts."""


@dataclass(frozen=True)
class DeferredSpeaker:
    """A speaker that is made on first use, because loading a model takes time and memory."""

    make: Callable[[], Speaker]

    @cached_property
    def speaker(self) -> Speaker:
        return self.make()

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        return self.speaker.prepare(prompt)

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        return self.speaker.stream(prompt, config)

    def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        return self.speaker.astream(prompt, config)

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: OnReply | None = None) -> list[str]:
        return self.speaker.reply_many(prompts, on_reply=on_reply)

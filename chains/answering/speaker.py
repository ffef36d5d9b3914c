"""The protocol of a speaker, which writes the answers: a local backbone or a remote model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prompts import RenderedPrompt
from soft_prompt import TokenizedPrompt


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A rendered prompt, prepared and tokenised for its speaker.

    Attributes:
        prompt: the rendered template.
        tokens: its tokens; None for a remote model, whose tokenizer is not available.
        fits: whether prompt and answer fit into the model's context; True if its length is not known.
    """

    prompt: RenderedPrompt
    tokens: TokenizedPrompt | None
    fits: bool

    @property
    def model_input(self) -> RenderedPrompt | TokenizedPrompt:
        """Input of a local backbone: the tokens if there are any, else the prompt."""
        return self.tokens or self.prompt


class Speaker(Protocol):
    """Writes answers to prompts."""

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        """Tokenise a prompt, and check whether it fits."""

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """Stream the answer in pieces of text."""

    def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """As `stream`, on the event loop; closing it stops the model."""

    def reply_many(
        self, prompts: Sequence[PreparedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """Answers to many prompts, in their order; `on_reply` gets the number of answers so far."""

"""The protocol of what writes the answers: a local backbone or a remote model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prompts import RenderedPrompt
from soft_prompt import TokenizedPrompt


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A rendered prompt as its speaker takes it, tokenised once.

    Attributes:
        prompt: the rendered template.
        tokens: its tokens; None for a remote model, which tokenises by itself.
        fits: whether prompt and answer fit into the model's context, as far as that is known.
    """

    prompt: RenderedPrompt
    tokens: TokenizedPrompt | None
    fits: bool

    @property
    def model_input(self) -> RenderedPrompt | TokenizedPrompt:
        """What a local backbone encodes: the tokens, if there are any."""
        return self.tokens or self.prompt


class Speaker(Protocol):
    """Writes answers to prompts."""

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        """Tokenise a prompt, and see whether it fits."""

    def stream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The answer in pieces, as they become certain."""

    def astream(self, prompt: PreparedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """As `stream`, on the event loop; the model stops when the caller closes it."""

    def reply_many(
        self, prompts: Sequence[PreparedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """Answers to many prompts, in their order."""

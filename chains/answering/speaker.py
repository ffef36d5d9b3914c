"""The protocol of what writes the answers: a local backbone or a remote model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prompts import RenderedPrompt


class Speaker(Protocol):
    """Words answers to rendered prompts."""

    def stream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The answer in pieces, as they become certain."""

    def astream(self, prompt: RenderedPrompt, config: Mapping[str, Any] | None = None) -> AsyncGenerator[str]:
        """As `stream`, on the event loop; the model stops when the caller closes it."""

    def reply_many(
        self, prompts: Sequence[RenderedPrompt], *, on_reply: Callable[[int], None] | None = None
    ) -> list[str]:
        """Answers to many prompts, in their order."""

    def fits(self, prompt: RenderedPrompt) -> bool:
        """Whether prompt and answer fit into the model's context, as far as can be known."""

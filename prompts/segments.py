"""What a rendered template is: messages made of text, soft slots and passages.

Segments are data. Nothing in a segment's text is ever parsed again, neither as template nor as slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class TextSegment:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class SoftSegment:
    """The place of a soft slot, to be filled with vectors, with its text twin or with nothing."""

    slot: str


@dataclass(frozen=True, slots=True)
class PassageSegment:
    """One passage as the model reads it. `passage_id` names it in the index; it is not shown."""

    text: str
    passage_id: str


Segment = TextSegment | SoftSegment | PassageSegment


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Role
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The message as plain text, soft slots left out."""
        return "".join(part.text for part in self.segments if not isinstance(part, SoftSegment))


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A rendered template: what the model is about to read."""

    messages: tuple[Message, ...]

    def slots(self) -> tuple[str, ...]:
        """Names of the soft slots, in order."""
        return tuple(
            part.slot for message in self.messages for part in message.segments if isinstance(part, SoftSegment)
        )

    def fill(self, text_of: Callable[[str], str]) -> RenderedPrompt:
        """Replace each soft slot by text, for a model that takes no vectors."""

        def swap(parts: Sequence[Segment]) -> tuple[Segment, ...]:
            return tuple(TextSegment(text_of(p.slot)) if isinstance(p, SoftSegment) else p for p in parts)

        return RenderedPrompt(tuple(Message(m.role, swap(m.segments)) for m in self.messages))


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of the conversation, given to a template as `history`."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example: a question and how it should be answered. Both are data, never parsed."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class PassageInput:
    """One passage given to a template as an entry of `context`."""

    passage_id: str
    title: str
    heading: str
    text: str

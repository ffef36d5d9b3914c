"""A rendered template: messages made of text, soft slots and passages. Their text is never parsed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextSegment:
    text: str


@dataclass(frozen=True, slots=True)
class SoftSegment:
    """A soft slot, to be filled with vectors, with its text twin or with nothing."""

    slot: str


@dataclass(frozen=True, slots=True)
class PassageSegment:
    """One passage as the model reads it. `passage_id` is its id in the index, which the model does not see."""

    text: str
    passage_id: str


Segment = TextSegment | SoftSegment | PassageSegment


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model. `arguments` is a JSON object, serialised."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message. A `tool` message holds the result of a tool; an `assistant` message may have `calls`."""

    role: Role
    segments: tuple[Segment, ...]
    calls: tuple[ToolCall, ...] = ()

    @property
    def text(self) -> str:
        """The message as plain text, without soft slots."""
        return "".join(part.text for part in self.segments if not isinstance(part, SoftSegment))


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A rendered template: the input of the model.

    `tools` are the tools that it may call, each a JSON function declaration with name, description, parameters.
    """

    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()

    def slots(self) -> tuple[str, ...]:
        return tuple(
            part.slot for message in self.messages for part in message.segments if isinstance(part, SoftSegment)
        )

    def fill(self, text_of: Callable[[str], str]) -> RenderedPrompt:
        """Replace each soft slot by text, for a model that takes no vectors."""

        def replaced(parts: Sequence[Segment]) -> tuple[Segment, ...]:
            return tuple(TextSegment(text_of(p.slot)) if isinstance(p, SoftSegment) else p for p in parts)

        return replace(self, messages=tuple(replace(m, segments=replaced(m.segments)) for m in self.messages))


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation so far, an entry of the input `history`: one half of a question-answer turn."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example: a question and its expected answer. Both are data and never parsed."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class PassageInput:
    """One passage, an entry of an input of the kind `passages`."""

    passage_id: str
    title: str
    heading: str
    text: str

"""A template: chat messages with named slots, rendered to segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prompts.errors import MissingInputError, TemplateError, UnknownInputError
from prompts.pieces import Conditional, Part, Piece, to_plain
from prompts.segments import (
    Example,
    Message,
    PassageInput,
    PassageSegment,
    RenderedPrompt,
    Role,
    Segment,
    SoftSegment,
    TextSegment,
    Turn,
)

InputKind = Literal["text", "passages", "history"]

PASSAGE_FIELDS = ("heading", "text", "title")
EXAMPLE_FIELDS = ("answer", "question")
# Name of the slot, the message role and the input of worked examples.
EXAMPLES = "examples"
# The types of the entries of inputs that are sequences.
_ENTRIES: dict[str, type] = {"passages": PassageInput, "history": Turn, EXAMPLES: Example}


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One message of a template; the roles "history" and "examples" stand for any number of messages."""

    role: Role | Literal["history", "examples"]
    pieces: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class FewShot:
    """The worked examples of a template.

    Attributes:
        fixed: the examples in the template file; always shown, before the others.
        similar: number of further examples, which the caller chooses for each question.
        tokens: maximum number of tokens of the chosen examples.
        text: format of one example in the slot {examples}, with the fields question and answer.
    """

    fixed: tuple[Example, ...] = ()
    similar: int = 0
    tokens: int = 200
    text: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template. `prompts.load_template` creates one.

    Attributes:
        inputs: the declared inputs and their kinds; `text` is a string, `passages` a sequence of `PassageInput`,
            `history` a sequence of `Turn`.
        soft_slots: soft slot name to its text twin.
        passage: format of one passage, with the fields title, heading and text.
        no_passages: text that replaces an empty `passages` input.
        optional: the inputs that may be left out.
        sources: the template file, and every path that was tried for its blocks, whether it exists or not.
        text: text of the file with its blocks inlined; a template file by itself.
    """

    name: str
    version: int
    language: str
    description: str
    inputs: Mapping[str, InputKind]
    soft_slots: Mapping[str, str]
    messages: tuple[MessageTemplate, ...]
    passage: tuple[Piece, ...]
    no_passages: str
    optional: frozenset[str] = frozenset()
    examples: FewShot | None = None
    sources: tuple[Path, ...] = field(default=(), compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 over everything that reaches a model; comments and description are left out."""
        content: dict[str, Any] = {
            "messages": [[m.role, to_plain(m.pieces)] for m in self.messages],
            "passage": to_plain(self.passage),
            "no_passages": self.no_passages,
            "soft_slots": dict(self.soft_slots),
            "inputs": dict(self.inputs),
        }
        # Included only if they are used: templates without them keep the hash that older artifacts recorded.
        if self.optional:
            content["optional"] = sorted(self.optional)
        if (shots := self.examples) is not None:
            content["examples"] = {
                "fixed": [[example.question, example.answer] for example in shots.fixed],
                "similar": shots.similar,
                "tokens": shots.tokens if shots.similar else None,
                "text": to_plain(shots.text),
            }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, str | int]:
        """Name, version and hash, which are recorded with every answer."""
        return {"name": self.name, "version": self.version, "hash": self.content_hash}

    def text_twin(self, slot: str) -> str:
        if slot not in self.soft_slots:
            raise TemplateError(
                found=f"template {self.name!r} has no soft slot {slot!r}",
                expected=f"one of {sorted(self.soft_slots)}",
                next_step=f"add the slot to the template {self.name!r}, or train again: softgraft train DOMAIN",
            )
        return self.soft_slots[slot]

    @property
    def chooses_examples(self) -> bool:
        """Whether the caller chooses examples for each question and passes them as `examples`."""
        return self.examples is not None and self.examples.similar > 0

    def render(self, values: Mapping[str, Any]) -> RenderedPrompt:
        """Fill the slots: one value per declared input, of its declared kind; optional inputs may be left out.

        A template with chosen examples takes them as `examples`, a sequence of `Example`. Values are data and never
        parsed: braces and slot names in them stay text.
        """
        self._check(values)
        empty = {name: "" if self.inputs[name] == "text" else () for name in self.optional}
        filled = {EXAMPLES: (), **empty, **values}
        messages: list[Message] = []
        for message in self.messages:
            if message.role == "history":
                history: Sequence[Turn] = filled["history"]
                messages += [Message(turn.role, (TextSegment(turn.text),)) for turn in history]
            elif message.role == "examples":
                for example in self._examples(filled):
                    messages.append(Message("user", (TextSegment(example.question),)))
                    messages.append(Message("assistant", (TextSegment(example.answer),)))
            else:
                messages.append(Message(message.role, self._segments(message.pieces, filled)))
        return RenderedPrompt(tuple(messages))

    def _segments(self, parts: Sequence[Part], values: Mapping[str, Any]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for part in parts:
            if isinstance(part, str):
                segments.append(TextSegment(part))
            elif isinstance(part, Conditional):
                segments += self._segments(part.pieces, values) if values[part.condition] else ()
            elif part.name in self.soft_slots:
                segments.append(SoftSegment(part.name))
            elif part.name == EXAMPLES and self.examples is not None:
                segments += [TextSegment(_fill(self.examples.text, e)) for e in self._examples(values)]
            elif self.inputs[part.name] == "passages":
                segments += self._passages(values[part.name])
            else:
                segments.append(TextSegment(values[part.name]))
        return tuple(s for s in segments if isinstance(s, SoftSegment) or s.text)

    def _passages(self, passages: Sequence[PassageInput]) -> list[Segment]:
        if not passages:
            return [TextSegment(self.no_passages)]
        return [PassageSegment(_fill(self.passage, p), p.passage_id) for p in passages]

    def _examples(self, values: Mapping[str, Any]) -> tuple[Example, ...]:
        return (*(self.examples.fixed if self.examples else ()), *values[EXAMPLES])

    def _check(self, values: Mapping[str, Any]) -> None:
        kinds: dict[str, str] = {**self.inputs, **({EXAMPLES: EXAMPLES} if self.chooses_examples else {})}
        declared = sorted(kinds)
        if unknown := sorted(set(values) - set(declared)):
            raise UnknownInputError(
                found=f"template {self.name!r} was given the unknown input {', '.join(unknown)}",
                expected=f"the declared inputs {', '.join(declared) or '(none)'}",
                next_step="rename the value, or declare it under `inputs:` in the template file",
            )
        if missing := [name for name in sorted(self.inputs) if name not in values and name not in self.optional]:
            raise MissingInputError(
                found=f"template {self.name!r} was not given {', '.join(missing)}",
                expected=f"a value for each of {', '.join(sorted(set(self.inputs) - self.optional))}",
                next_step="pass the missing value to the chain, or list it under `optional:` in the template file",
            )
        for name in values:
            if not _has_kind(values[name], entry := _ENTRIES.get(kinds[name])):
                raise UnknownInputError(
                    found=f"the input {name!r} of template {self.name!r} is a {type(values[name]).__name__}",
                    expected=f"a sequence of {entry.__name__}" if entry else "a string",
                    next_step="convert the value before rendering",
                )


def _fill(pieces: Sequence[Piece], entry: PassageInput | Example) -> str:
    return "".join(piece if isinstance(piece, str) else getattr(entry, piece.name) for piece in pieces)


def _has_kind(value: object, entry_type: type | None) -> bool:
    """Whether a value is a string or, with an entry type, a sequence of such entries."""
    if entry_type is None or isinstance(value, str):
        return isinstance(value, str) and entry_type is None
    # A system message in the history could override that of the template.
    return isinstance(value, Sequence) and all(
        isinstance(entry, entry_type) and getattr(entry, "role", "user") in ("user", "assistant") for entry in value
    )

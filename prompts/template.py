"""A template: chat messages with named slots, rendered to segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from prompts.errors import MissingInputError, TemplateError, UnknownInputError
from prompts.pieces import Part, Piece, When, plain
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
# The slot, the message entry and the value of examples that were chosen for one question.
EXAMPLES = "examples"


@dataclass(frozen=True, slots=True)
class MessagePattern:
    """One message of a template; `role` is "history" or "examples" where earlier turns or examples go in."""

    role: Role | Literal["history", "examples"]
    pieces: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class FewShot:
    """The worked examples of a template.

    Attributes:
        fixed: those that the file itself holds; they are always shown, and first.
        similar: how many more are chosen for each question, by whoever renders.
        tokens: so many tokens at most the chosen ones may take.
        text: how one example is written where the slot {examples} stands, from the fields question and answer.
    """

    fixed: tuple[Example, ...] = ()
    similar: int = 0
    tokens: int = 200
    text: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template. Make one with `prompts.load_template`.

    Attributes:
        inputs: the declared inputs and their kinds; `text` is a string, `passages` a sequence of
            `PassageInput`, `history` a sequence of `Turn`.
        soft_slots: soft slot name to its text twin.
        passage: how one passage is written out, from the fields title, heading and text.
        no_passages: what stands in place of an empty `passages` input.
        optional: the inputs that need not be given.
        examples: the worked examples, if it has any.
        sources: files that it was read from, and those that would take their place if they were there.
        text: of the file, with the included blocks put in; a template file by itself.
    """

    name: str
    version: int
    language: str
    description: str
    inputs: Mapping[str, InputKind]
    soft_slots: Mapping[str, str]
    messages: tuple[MessagePattern, ...]
    passage: tuple[Piece, ...]
    no_passages: str
    optional: frozenset[str] = frozenset()
    examples: FewShot | None = None
    sources: tuple[Path, ...] = field(default=(), compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 over everything that reaches a model; comments and description do not count."""
        content: dict[str, Any] = {
            "messages": [[m.role, plain(m.pieces)] for m in self.messages],
            "passage": plain(self.passage),
            "no_passages": self.no_passages,
            "soft_slots": dict(self.soft_slots),
            "inputs": dict(self.inputs),
        }
        # Named only where they are used, so that the hashes recorded before they existed still hold.
        if self.optional:
            content["optional"] = sorted(self.optional)
        if (shots := self.examples) is not None:
            content["examples"] = {
                "fixed": [[example.question, example.answer] for example in shots.fixed],
                "similar": shots.similar,
                "tokens": shots.tokens if shots.similar else None,
                "text": plain(shots.text),
            }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, str | int]:
        """Name, version and hash, as they are recorded with every answer."""
        return {"name": self.name, "version": self.version, "hash": self.content_hash}

    def text_twin(self, slot: str) -> str:
        """The plain text that a soft slot stands for.

        Raises:
            TemplateError: the template has no such slot.
        """
        if slot not in self.soft_slots:
            raise TemplateError(
                found=f"template {self.name!r} has no soft slot {slot!r}",
                expected=f"one of {sorted(self.soft_slots)}",
                next_step=f"add the slot to the template {self.name!r}, or train again: softgraft train DOMAIN",
            )
        return self.soft_slots[slot]

    @property
    def chooses_examples(self) -> bool:
        """Whether examples are to be chosen for each question and given as the value `examples`."""
        return self.examples is not None and self.examples.similar > 0

    def render(self, values: Mapping[str, Any]) -> RenderedPrompt:
        """Put values into the slots.

        Args:
            values: one entry for each declared input, of its declared kind; optional ones may be left out. A template
                that chooses examples takes them as `examples`, a sequence of `Example`. Values are data: they are
                never parsed, so braces or slot names inside them stay what they are.

        Raises:
            UnknownInputError: a value for an input that is not declared, or of another kind.
            MissingInputError: a declared input without a value.
        """
        self._check(values)
        empty = {name: "" if self.inputs[name] == "text" else () for name in self.optional}
        given = {EXAMPLES: (), **empty, **values}
        messages: list[Message] = []
        for pattern in self.messages:
            if pattern.role == "history":
                turns: Sequence[Turn] = given["history"]
                messages += [Message(turn.role, (TextSegment(turn.text),)) for turn in turns]
            elif pattern.role == "examples":
                for example in self._examples(given):
                    messages.append(Message("user", (TextSegment(example.question),)))
                    messages.append(Message("assistant", (TextSegment(example.answer),)))
            else:
                messages.append(Message(pattern.role, self._segments(pattern.pieces, given)))
        return RenderedPrompt(tuple(messages))

    def _segments(self, parts: Sequence[Part], values: Mapping[str, Any]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for part in parts:
            if isinstance(part, str):
                segments.append(TextSegment(part))
            elif isinstance(part, When):
                segments += self._segments(part.pieces, values) if values[part.given] else ()
            elif part.name in self.soft_slots:
                segments.append(SoftSegment(part.name))
            elif part.name == EXAMPLES and self.examples is not None:
                segments += [TextSegment(self._write_example(example)) for example in self._examples(values)]
            elif self.inputs[part.name] == "passages":
                segments += self._passages(values[part.name])
            else:
                segments.append(TextSegment(values[part.name]))
        return tuple(s for s in segments if isinstance(s, SoftSegment) or s.text)

    def _passages(self, passages: Sequence[PassageInput]) -> list[Segment]:
        if not passages:
            return [TextSegment(self.no_passages)]
        return [PassageSegment(self._write(passage), passage.passage_id) for passage in passages]

    def _write(self, passage: PassageInput) -> str:
        fields = {"title": passage.title, "heading": passage.heading, "text": passage.text}
        return "".join(piece if isinstance(piece, str) else fields[piece.name] for piece in self.passage)

    def _examples(self, values: Mapping[str, Any]) -> tuple[Example, ...]:
        return (*(self.examples.fixed if self.examples else ()), *values[EXAMPLES])

    def _write_example(self, example: Example) -> str:
        fields = {"question": example.question, "answer": example.answer}
        pieces = self.examples.text if self.examples else ()
        return "".join(piece if isinstance(piece, str) else fields[piece.name] for piece in pieces)

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
            if not _fits(values[name], kinds[name]):
                raise UnknownInputError(
                    found=f"the input {name!r} of template {self.name!r} is a {type(values[name]).__name__}",
                    expected={
                        "text": "a string",
                        "passages": "a sequence of PassageInput",
                        "history": "a sequence of Turn",
                        "examples": "a sequence of Example",
                    }[kinds[name]],
                    next_step="convert the value before rendering",
                )


def _fits(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    entries = cast("Sequence[object]", value)
    if kind != "history":
        return all(isinstance(entry, PassageInput if kind == "passages" else Example) for entry in entries)
    # A history that brings a system message of its own would speak for the house.
    return all(isinstance(entry, Turn) and entry.role in ("user", "assistant") for entry in entries)

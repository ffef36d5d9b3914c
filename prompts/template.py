"""A template: chat messages with named slots, rendered to segments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from prompts.errors import MissingInputError, TemplateError, UnknownInputError
from prompts.segments import (
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

# A slot is a bare name in braces; doubled braces are literal. Nothing else is allowed between braces,
# so a template can reach no attribute, no index and no format specification.
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")

PASSAGE_FIELDS = ("heading", "text", "title")


@dataclass(frozen=True, slots=True)
class Slot:
    """A named place in a line of template text."""

    name: str


Piece = str | Slot


def parse_pieces(source: str) -> tuple[Piece, ...]:
    """Split template text into literal text and slots.

    Raises:
        ValueError: a brace that is neither doubled nor part of `{name}`.
    """
    pieces: list[Piece] = []
    literal: list[str] = []
    at = 0
    for match in _TOKEN.finditer(source):
        literal.append(source[at : match.start()])
        at = match.end()
        token = match.group(0)
        if token in ("{{", "}}"):
            literal.append(token[0])
        elif match.group(1):
            if text := "".join(literal):
                pieces.append(text)
            literal = []
            pieces.append(Slot(match.group(1)))
        else:
            excerpt = source[max(0, match.start() - 10) : match.start() + 20]
            raise ValueError(f"a lone brace near {excerpt!r}; write {{name}} for a slot, {{{{ or }}}} for a brace")
    literal.append(source[at:])
    if text := "".join(literal):
        pieces.append(text)
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class MessagePattern:
    """One message of a template; `role` is "history" where the earlier turns go in."""

    role: Role | Literal["history"]
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template. Make one with `prompts.load_template`.

    Attributes:
        inputs: the declared inputs and their kinds; `text` is a string, `passages` a sequence of
            `PassageInput`, `history` a sequence of `Turn`.
        soft_slots: soft slot name to its text twin.
        passage: how one passage is written out, from the fields title, heading and text.
        no_passages: what stands in place of an empty `passages` input.
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

    @property
    def content_hash(self) -> str:
        """SHA-256 over everything that reaches a model; comments and description do not count."""
        content = {
            "messages": [[m.role, _plain(m.pieces)] for m in self.messages],
            "passage": _plain(self.passage),
            "no_passages": self.no_passages,
            "soft_slots": dict(self.soft_slots),
            "inputs": dict(self.inputs),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

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

    def render(self, values: Mapping[str, Any]) -> RenderedPrompt:
        """Put values into the slots.

        Args:
            values: one entry for each declared input, of its declared kind. Values are data: they are
                never parsed, so braces or slot names inside them stay what they are.

        Raises:
            UnknownInputError: a value for an input that is not declared, or of another kind.
            MissingInputError: a declared input without a value.
        """
        self._check(values)
        messages: list[Message] = []
        for pattern in self.messages:
            if pattern.role == "history":
                turns: Sequence[Turn] = values["history"]
                messages += [Message(turn.role, (TextSegment(turn.text),)) for turn in turns]
            else:
                messages.append(Message(pattern.role, self._segments(pattern.pieces, values)))
        return RenderedPrompt(tuple(messages))

    def _segments(self, pieces: Sequence[Piece], values: Mapping[str, Any]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for piece in pieces:
            if isinstance(piece, str):
                segments.append(TextSegment(piece))
            elif piece.name in self.soft_slots:
                segments.append(SoftSegment(piece.name))
            elif self.inputs[piece.name] == "passages":
                segments += self._passages(values[piece.name])
            else:
                segments.append(TextSegment(values[piece.name]))
        return tuple(s for s in segments if isinstance(s, SoftSegment) or s.text)

    def _passages(self, passages: Sequence[PassageInput]) -> list[Segment]:
        if not passages:
            return [TextSegment(self.no_passages)]
        return [PassageSegment(self._write(passage), passage.passage_id) for passage in passages]

    def _write(self, passage: PassageInput) -> str:
        fields = {"title": passage.title, "heading": passage.heading, "text": passage.text}
        return "".join(piece if isinstance(piece, str) else fields[piece.name] for piece in self.passage)

    def _check(self, values: Mapping[str, Any]) -> None:
        declared = sorted(self.inputs)
        if unknown := sorted(set(values) - set(declared)):
            raise UnknownInputError(
                found=f"template {self.name!r} was given the unknown input {', '.join(unknown)}",
                expected=f"the declared inputs {', '.join(declared) or '(none)'}",
                next_step="rename the value, or declare it under `inputs:` in the template file",
            )
        if missing := [name for name in declared if name not in values]:
            raise MissingInputError(
                found=f"template {self.name!r} was not given {', '.join(missing)}",
                expected=f"a value for each of {', '.join(declared)}",
                next_step="pass the missing value to the chain, or remove it from `inputs:` in the template file",
            )
        for name, kind in self.inputs.items():
            if not _fits(values[name], kind):
                raise UnknownInputError(
                    found=f"the input {name!r} of template {self.name!r} is a {type(values[name]).__name__}",
                    expected={
                        "text": "a string",
                        "passages": "a sequence of PassageInput",
                        "history": "a sequence of Turn",
                    }[kind],
                    next_step="convert the value before rendering",
                )


def _fits(value: object, kind: InputKind) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    entries = cast("Sequence[object]", value)
    if kind == "passages":
        return all(isinstance(entry, PassageInput) for entry in entries)
    # A history that brings a system message of its own would speak for the house.
    return all(isinstance(entry, Turn) and entry.role in ("user", "assistant") for entry in entries)


def _plain(pieces: Sequence[Piece]) -> list[list[str]]:
    return [["text", p] if isinstance(p, str) else ["slot", p.name] for p in pieces]

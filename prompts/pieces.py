"""Template text, split into literal text, slots and conditional parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A slot is a name in braces; doubled braces are literal. Nothing else is allowed between braces, so a template
# cannot access attributes, indices or format specifications.
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Slot:
    """A named slot in template text."""

    name: str


Piece = str | Slot


@dataclass(frozen=True, slots=True)
class Conditional:
    """Pieces that are rendered only if the optional input `condition` is not empty."""

    condition: str
    pieces: tuple[Piece, ...]


Part = Piece | Conditional


def parse_pieces(source: str) -> tuple[Piece, ...]:
    """Split template text into text and slots; ValueError if a brace is neither doubled nor part of `{name}`."""
    pieces: list[Piece] = []
    literal: list[str] = []
    end = 0
    for match in _TOKEN.finditer(source):
        literal.append(source[end : match.start()])
        end = match.end()
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
    literal.append(source[end:])
    if text := "".join(literal):
        pieces.append(text)
    return tuple(pieces)


def slot_names(source: str) -> list[str]:
    """Names of the slots in a text, even if it has a stray brace."""
    return [match.group(1) for match in _TOKEN.finditer(source) if match.group(1)]


def to_source(pieces: Iterable[Piece]) -> str:
    """Template text of pieces; the inverse of `parse_pieces`."""
    return "".join(
        f"{{{piece.name}}}" if isinstance(piece, Slot) else piece.replace("{", "{{").replace("}", "}}")
        for piece in pieces
    )


def merge_texts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Merge adjacent texts, since each text is tokenised separately."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part != "":
            merged.append(part)
    return tuple(merged)


def to_plain(parts: Sequence[Part]) -> list[list[object]]:
    """Parts as JSON-serialisable data, in which a literal brace and a slot differ."""
    return [
        ["text", p]
        if isinstance(p, str)
        else ["slot", p.name]
        if isinstance(p, Slot)
        else ["if", p.condition, to_plain(p.pieces)]
        for p in parts
    ]

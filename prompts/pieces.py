"""Template text, split into literal text, slots, and blocks that stand only where an input is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A slot is a bare name in braces; doubled braces are literal. Nothing else is allowed between braces,
# so a template can reach no attribute, no index and no format specification.
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Slot:
    """A named place in a line of template text."""

    name: str


Piece = str | Slot


@dataclass(frozen=True, slots=True)
class When:
    """Pieces that stand there only where the optional input `given` has a value that is not empty."""

    given: str
    pieces: tuple[Piece, ...]


Part = Piece | When


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


def slot_names(source: str) -> list[str]:
    """The slots of a text, also of one with a stray brace."""
    return [match.group(1) for match in _TOKEN.finditer(source) if match.group(1)]


def literal(text: str) -> str:
    """The text as a template writes it down: braces doubled."""
    return text.replace("{", "{{").replace("}", "}}")


def written(pieces: Iterable[Piece]) -> str:
    """Pieces as a template writes them down; the reverse of `parse_pieces`."""
    return "".join(literal(piece) if isinstance(piece, str) else f"{{{piece.name}}}" for piece in pieces)


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts with neighbouring texts made one, since every text is tokenised alone."""
    made: list[Part] = []
    for part in parts:
        last = made[-1] if made else None
        if isinstance(part, str) and isinstance(last, str):
            made[-1] = last + part
        elif part != "":
            made.append(part)
    return tuple(made)


def plain(parts: Sequence[Part]) -> list[list[object]]:
    """Parts as plain data, in which a literal brace and a slot differ."""
    return [
        ["text", p]
        if isinstance(p, str)
        else ["slot", p.name]
        if isinstance(p, Slot)
        else ["if", p.given, plain(p.pieces)]
        for p in parts
    ]

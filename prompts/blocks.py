"""Blocks: plain texts beside the templates, included by a bare name. Nothing in a block is parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prompts.form import NAME

BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was looked for.

    Attributes:
        text: None where it was not found or cannot be read; `problem` then says why.
        looked: the files that would be it, the first that is there wins.
    """

    text: str | None
    problem: str
    looked: tuple[Path, ...]


def find_block(name: str, language: str, folders: Sequence[Path]) -> Block:
    """Read `blocks/<name>.<language>.txt` from the first template folder that has it.

    The last line break of the file does not count, since editors put one there.
    """
    if not NAME.fullmatch(name):
        return Block(None, f"{name!r} is no name of a block; expected small letters, digits and -", ())
    looked: list[Path] = []
    for folder in folders:
        path = folder / BLOCKS / f"{name}.{language}.txt"
        looked.append(path)
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            return Block(None, f"{path} leads out of the folder of the templates", tuple(looked))
        try:
            text = path.read_text(encoding="utf-8-sig").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            return Block(None, f"{path} cannot be read: {error}", tuple(looked))
        return Block(text, "", tuple(looked)) if text.strip() else Block(None, f"{path} is empty", tuple(looked))
    return Block(None, f"no block {name!r} in this language; expected the file {looked[0]}", tuple(looked))

"""Blocks: plain texts beside the templates, included by a bare name. Nothing in a block is parsed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prompts.form import NAME, TemplateForm
from prompts.pieces import Slot, parse_pieces, slot_names, written
from prompts.source import Source, found_node

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


def resolved_text(source: Source, form: TemplateForm, blocks: Mapping[str, str]) -> str:
    """The file's text with each slot of a block replaced by the block, and without `include`.

    Args:
        source: a file without problems.
        form: of the file.
        blocks: name of the slot to the text of its block.
    """
    if not form.include:
        return source.text
    cuts = [(node.start_mark.index, node.end_mark.index, _scalar(node, blocks)) for node in _texts(source, blocks)]
    for key, value in source.node.value:
        if key.value == "include":
            cuts.append((key.start_mark.index, value.end_mark.index, ""))
    text = source.text
    for start, end, put in sorted(cuts, reverse=True):
        text = text[:start] + put + text[end:]
    return text


def _texts(source: Source, blocks: Mapping[str, str]) -> Iterator[Any]:
    """Every scalar of a message that has the slot of a block in it."""
    for message in found_node(source.node, ("messages",)).value:
        content = found_node(message, ("content",))
        parts = content.value if isinstance(content, yaml.SequenceNode) else [content]
        for part in parts:
            text = found_node(part, ("text",)) if isinstance(part, yaml.MappingNode) else part
            if isinstance(text, yaml.ScalarNode) and set(slot_names(text.value)) & set(blocks):
                yield text


def _scalar(node: Any, blocks: Mapping[str, str]) -> str:
    pieces = parse_pieces(node.value)
    filled = written(blocks.get(p.name, p) if isinstance(p, Slot) else p for p in pieces)
    text = yaml.safe_dump(filled, default_style='"', allow_unicode=True, width=sys.maxsize).rstrip("\n")
    # A scalar in the block style takes its line break with it.
    return text + ("\n" if node.style in ("|", ">") else "")

"""Blocks: plain text files beside the templates, which templates include by name. A block is never parsed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prompts.pieces import Slot, parse_pieces, slot_names, to_source
from prompts.schema import NAME
from prompts.source import TemplateSource, find_node
from prompts.yaml_document import YamlError, read_text

BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Block:
    """The text of a block, or None with a `problem`; `candidates` are the paths that were tried, in order."""

    text: str | None
    problem: str
    candidates: tuple[Path, ...]


def find_block(name: str, language: str, folders: Sequence[Path]) -> Block:
    """Read `blocks/<name>.<language>.txt` from the first template folder that has it, without its final line break."""
    if not NAME.fullmatch(name):
        return Block(None, f"{name!r} is not a block name; expected lower-case letters, digits and -", ())
    candidates = tuple(folder / BLOCKS / f"{name}.{language}.txt" for folder in folders)
    number = next((number for number, path in enumerate(candidates) if path.exists()), None)
    if number is None:
        return Block(None, f"no block {name!r} in this language; expected the file {candidates[0]}", candidates)
    path, tried = candidates[number], candidates[: number + 1]
    if not path.resolve().is_relative_to(folders[number].resolve()):
        return Block(None, f"{path} leads out of the template folder", tried)
    try:
        text = read_text(path).removesuffix("\n")
    except (OSError, YamlError) as error:
        return Block(None, f"{path} cannot be read: {error}", tried)
    return Block(text, "", tried) if text.strip() else Block(None, f"{path} is empty", tried)


def inline_blocks(source: TemplateSource, blocks: Mapping[str, str]) -> str:
    """The text of a file without problems, with each block in place of its slot, and without `include`."""
    if not blocks:
        return source.text
    edits = [
        (node.start_mark.index, node.end_mark.index, _inlined_scalar(node, blocks))
        for node in _scalars_with_blocks(source, blocks)
    ]
    for key, value in source.node.value:
        if key.value == "include":
            edits.append((key.start_mark.index, value.end_mark.index, ""))
    text = source.text
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _scalars_with_blocks(source: TemplateSource, blocks: Mapping[str, str]) -> Iterator[Any]:
    for message in find_node(source.node, ("messages",)).value:
        content = find_node(message, ("content",))
        parts = content.value if isinstance(content, yaml.SequenceNode) else [content]
        for part in parts:
            text = find_node(part, ("text",)) if isinstance(part, yaml.MappingNode) else part
            if isinstance(text, yaml.ScalarNode) and set(slot_names(text.value)) & set(blocks):
                yield text


def _inlined_scalar(node: Any, blocks: Mapping[str, str]) -> str:
    pieces = parse_pieces(node.value)
    filled = to_source(blocks.get(p.name, p) if isinstance(p, Slot) else p for p in pieces)
    text = yaml.safe_dump(filled, default_style='"', allow_unicode=True, width=sys.maxsize).rstrip("\n")
    # A scalar in block style includes its line break.
    return text + ("\n" if node.style in ("|", ">") else "")

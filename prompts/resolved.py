"""The text of a template file with its included blocks put in: a file that says the same by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from prompts.form import TemplateForm
from prompts.pieces import Slot, parse_pieces, slot_names, written
from prompts.source import Source, found_node


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

"""YAML files that users edit, read within limits: a small file must not expand to gigabytes or exhaust the stack.

The limits are checked on the parser's events, before a value is built. PyYAML composes nodes recursively, and every
alias repeats what its anchor holds, so a file of a few lines could otherwise stand for billions of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prompts.regular_file import read_regular

MAX_BYTES = 512 * 1024
MAX_DEPTH = 40
# Values in the file, those that aliases repeat included.
MAX_VALUES = 50_000
# Characters of a number. Python refuses integers of more than 4,300 digits, and no setting needs 40.
MAX_NUMBER = 40
_NUMBERS = frozenset(("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"))


class YamlError(ValueError):
    """A text is not YAML, or beyond a limit; `line` counts from 1, None if no line can be named."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A parsed text.

    Attributes:
        node: its tree of YAML nodes, which know their lines; None if the text is empty.
        data: the value.
        duplicates: line and name of every key that repeats an earlier one of its mapping.
    """

    text: str
    node: Any
    data: Any
    duplicates: tuple[tuple[int, str], ...]

    def require_unique_keys(self) -> None:
        """Raises YamlError if a mapping has a key twice, of which YAML would silently use the last."""
        if self.duplicates:
            line, key = self.duplicates[0]
            raise YamlError(f"duplicate key {key!r}; keep one of them", line)


def read_text(path: Path) -> str:
    """The text of a YAML file, with or without a byte order mark.

    Raises:
        OSError: if it cannot be read.
        YamlError: if it is too large or not UTF-8.
    """
    data = read_regular(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise YamlError(f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"the file is not UTF-8: {error}", data.count(b"\n", 0, error.start) + 1) from error


def parse_yaml(text: str) -> YamlDocument:
    """Parse a text of one document.

    Raises:
        YamlError: if it is not YAML, is beyond a limit, or has an invalid value, such as an impossible date.
    """
    try:
        _check_limits(text)
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(f"this is not YAML: {reason}", mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        # A character that YAML forbids.
        raise YamlError("this is not YAML: " + " ".join(str(error).split())) from error
    return YamlDocument(text, node, data, tuple(_duplicate_keys(node, set())))


class _Loader(yaml.SafeLoader):
    """The safe loader, whose errors all name a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
            # An impossible date, or an explicit tag with a text that does not fit it.
            kind = node.tag.rpartition(":")[2]
            reason = f": {error}" if isinstance(error, ValueError) else ""
            raise YamlError(f"{_shown(node)} is no {kind}{reason}", node.start_mark.line + 1) from error


def _check_scalar(node: yaml.ScalarNode) -> None:
    line = node.start_mark.line + 1
    if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER:
        raise YamlError(f"a number of {len(node.value)} characters; expected at most {MAX_NUMBER}", line)
    for character in node.value:
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise YamlError(f"the escaped character U+{ord(character):04X}, which no text may contain", line)


def _shown(node: yaml.Node) -> str:
    return repr(node.value if len(node.value) <= MAX_NUMBER else f"{node.value[:MAX_NUMBER]}...")


def _check_limits(text: str) -> None:
    """Depth, and number of values with every alias expanded."""
    # Of each open collection: its anchor, and the number of values in it so far.
    open_collections: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else None
        added = 0
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            open_collections.append((event.anchor, 1))
            if len(open_collections) > MAX_DEPTH:
                raise YamlError(f"more than {MAX_DEPTH} levels of nesting", line)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, added = open_collections.pop()
            if anchor is not None:
                sizes[anchor] = added
        elif isinstance(event, yaml.ScalarEvent):
            added = 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_collections):
                raise YamlError(f"the alias *{event.anchor} repeats the value that it is part of", line)
            # An unknown anchor is an error of the composer, which names it.
            added = sizes.get(event.anchor or "", 1)
        if added and open_collections:
            anchor, before = open_collections[-1]
            open_collections[-1] = anchor, before + added
        if sum(size for _, size in open_collections) > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES:,} values, those repeated by aliases included", line)


def _duplicate_keys(node: Any, seen: set[int]) -> list[tuple[int, str]]:
    """Line and name of every repeated key. `seen` holds visited nodes, since aliases share them."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    duplicates: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    duplicates.append((key.start_mark.line + 1, key.value))
                names.add(key.value)
            duplicates += _duplicate_keys(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            duplicates += _duplicate_keys(child, seen)
    return duplicates

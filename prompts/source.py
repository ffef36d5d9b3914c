"""A template file as YAML: its text, its tree with places, and what is wrong with it as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file.

    Attributes:
        line: counted from 1; None where no line can be named.
    """

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line or 1}: {self.message}"

    @property
    def placed(self) -> str:
        """The message with its line, without the file."""
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclass
class Source:
    """A file that was read; `data` is None where it holds no mapping."""

    path: Path
    text: str = ""
    node: Any = None
    data: dict[str, Any] | None = None
    problems: list[Problem] = field(default_factory=list)

    def problem(self, loc: Sequence[str | int], message: str) -> None:
        """Note a problem at a place in the tree."""
        self.problems.append(Problem(self.path, line_of(self.node, loc), message))


def read_source(path: Path) -> Source:
    """Read a file and parse it; what goes wrong is among the problems."""
    source = Source(path)
    try:
        source.text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        source.problems.append(Problem(path, None, str(error)))
        return source
    try:
        source.node = yaml.compose(source.text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source.text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        source.problems.append(Problem(path, mark.line + 1 if mark else None, f"this is no YAML: {said}"))
        return source
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date that is none, a character that YAML forbids, brackets without end.
        source.problems.append(Problem(path, None, "this is no YAML: " + str(error).replace("\n", " ")))
        return source
    if not isinstance(data, dict):
        source.problems.append(Problem(path, 1, "the file is empty or no mapping"))
        return source
    source.data = data
    for line, key in _doubled(source.node, set()):
        source.problems.append(Problem(path, line, f"the key {key!r} stands here a second time; only one can count"))
    return source


def line_of(node: Any, loc: Sequence[str | int]) -> int:
    """The line of an entry in the YAML tree, or of its nearest ancestor that exists."""
    return int(_descend(node, loc)[0].start_mark.line) + 1


def found_node(node: Any, loc: Sequence[str | int]) -> Any:
    """The node of a value in the YAML tree, or its nearest ancestor that exists."""
    return _descend(node, loc)[1]


def _descend(node: Any, loc: Sequence[str | int]) -> tuple[Any, Any]:
    """Where an entry begins, which is at its key if it has one, and its value."""
    begin = node
    for key in loc:
        entry = None
        if isinstance(node, yaml.MappingNode):
            entry = next((pair for pair in node.value if pair[0].value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            entry = (node.value[key], node.value[key])
        if entry is None:
            break
        begin, node = entry
    return begin, node


def _doubled(node: Any, seen: set[int]) -> list[tuple[int, str]]:
    """Line and name of every key that its mapping has already; an alias may lead back to what was seen."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    found.append((key.start_mark.line + 1, key.value))
                names.add(key.value)
            found += _doubled(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            found += _doubled(child, seen)
    return found

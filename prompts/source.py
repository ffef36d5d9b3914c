"""A template file parsed as YAML: text, data, node tree with line numbers, and problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a file; `line` counts from 1, None if no line can be named."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line or 1}: {self.message}"

    @property
    def with_line(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclass
class TemplateSource:
    """A parsed template file; `data` is None if the file is not a YAML mapping."""

    path: Path
    text: str = ""
    node: Any = None
    data: dict[str, Any] | None = None
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, loc: Sequence[str | int], message: str) -> None:
        self.problems.append(Problem(self.path, line_of(self.node, loc), message))


def read_source(path: Path) -> TemplateSource:
    """Read and parse a file; failures are recorded as its problems."""
    source = TemplateSource(path)
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
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        source.problems.append(Problem(path, mark.line + 1 if mark else None, f"this is not YAML: {reason}"))
        return source
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # An invalid date, a character that YAML forbids, or brackets nested too deeply.
        source.problems.append(Problem(path, None, "this is not YAML: " + str(error).replace("\n", " ")))
        return source
    if not isinstance(data, dict):
        source.problems.append(Problem(path, 1, "the file is empty or not a mapping"))
        return source
    source.data = data
    for line, key in _duplicate_keys(source.node, set()):
        source.problems.append(Problem(path, line, f"duplicate key {key!r}; keep one of them"))
    return source


def line_of(node: Any, loc: Sequence[str | int]) -> int:
    """The line of an entry in the YAML tree, or of its nearest ancestor that exists."""
    return int(_descend(node, loc)[0].start_mark.line) + 1


def find_node(node: Any, loc: Sequence[str | int]) -> Any:
    """The node of a value in the YAML tree, or its nearest ancestor that exists."""
    return _descend(node, loc)[1]


def _descend(node: Any, loc: Sequence[str | int]) -> tuple[Any, Any]:
    """The node where an entry starts (its key, if it has one) and the node of its value."""
    start = node
    for key in loc:
        entry = None
        if isinstance(node, yaml.MappingNode):
            entry = next((pair for pair in node.value if pair[0].value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            entry = (node.value[key], node.value[key])
        if entry is None:
            break
        start, node = entry
    return start, node


def _duplicate_keys(node: Any, seen: set[int]) -> list[tuple[int, str]]:
    """Line and name of every repeated key. `seen` holds visited nodes, since an alias may form a cycle."""
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

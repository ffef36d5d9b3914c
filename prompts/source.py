"""A template file parsed as YAML: text, data, node tree with line numbers, and problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prompts.yaml_document import YamlError, parse_yaml, read_text


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
        source.text = read_text(path)
        document = parse_yaml(source.text)
    except YamlError as error:
        source.problems.append(Problem(path, error.line, error.message))
        return source
    except (OSError, ValueError) as error:
        # A path with a NUL is a ValueError.
        source.problems.append(Problem(path, None, str(error)))
        return source
    source.node, data = document.node, document.data
    if not isinstance(data, dict):
        source.problems.append(Problem(path, 1, "the file is empty or not a mapping"))
        return source
    source.data = data
    for line, key in document.duplicates:
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

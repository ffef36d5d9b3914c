"""The problems of a domain.yaml in words: each with its setting, its line, and the setting that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

# Names of a section and its setting, and numbers of list items.
Location = tuple[str | int, ...]


def problems_of(error: ValidationError, model: type[BaseModel], node: yaml.Node | None = None) -> list[str]:
    """One line per problem: `retrieval.depth: unknown setting (line 7); did you mean ...?`.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        node: the tree of the YAML text, for the lines; without it there are none.
    """
    problems = []
    for problem in error.errors():
        path = problem["loc"]
        if problem["type"] == "extra_forbidden":
            words = f"unknown setting{in_line(node, path)}{_suggestion(model, path)}"
        else:
            words = f"{problem_message(problem['msg'])}{in_line(node, path)}"
        problems.append(f"{'.'.join(map(str, path)) or 'file'}: {words}")
    return problems


def in_line(node: yaml.Node | None, path: Location) -> str:
    """` (line 7)` for a setting that is in the text, else the line of the section around it, or nothing."""
    line = _line(node, path)
    return f" (line {line})" if line else ""


def problem_message(message: str) -> str:
    """A problem's message, without the prefix that pydantic adds to our own messages."""
    return message.removeprefix("Value error, ")


def _line(node: yaml.Node | None, path: Location) -> int | None:
    """The line of a setting; of the innermost section around it if it is missing."""
    line = None
    for part in path:
        found: tuple[yaml.Node, yaml.Node] | None = None
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part], node.value[part]
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _suggestion(model: type[BaseModel], path: Location) -> str:
    """The setting that was probably meant by an unknown one: similar in its section, or the same in another."""
    name, section = str(path[-1]), _section(model, path[:-1])
    known = list(section.model_fields) if section is not None else []
    if similar := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean `{similar[0]}`?"
    places = [".".join(place) for place in _settings(model) if place[-1] == name]
    if places:
        return f"; did you mean `{places[0]}`?"
    every = {".".join(place): place[-1] for place in _settings(model)}
    if similar := difflib.get_close_matches(name, list(every.values()), n=1, cutoff=0.75):
        meant = next(place for place, last in every.items() if last == similar[0])
        return f"; did you mean `{meant}`?"
    return f"; expected one of {', '.join(known)}" if path[:-1] and known else ""


def _section(model: type[BaseModel], path: Location) -> type[BaseModel] | None:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def _settings(model: type[BaseModel], before: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting, the outer ones first."""
    inner = []
    for name, field in model.model_fields.items():
        yield (*before, name)
        if (section := _model_in(field.annotation)) is not None:
            inner.append((name, section))
    for name, section in inner:
        yield from _settings(section, (*before, name))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)

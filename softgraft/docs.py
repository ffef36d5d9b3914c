"""Generate docs/settings.md and docs/commands.md: `python -m softgraft.docs`."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from softgraft.cli import app
from softgraft.settings.domain_file import DomainFile

FOLDER = Path(__file__).parents[1] / "docs"

_SETTINGS_INTRO = """# Settings

Every setting of `domain.yaml`, with its default. Only `name` and `title` are required. An unknown setting is an error
that names it. `make docs` generates this page.

A setting of a section is written below it:

```yaml
name: shop
title: The shop
retrieval:
  passages: 4
```
"""
_COMMANDS_INTRO = """# Commands

The `--help` of every command. A domain is a name under `domains/` or a path. `make docs` generates
this page.

Every error says what was found, what was expected and what to do next; with `--json` as one JSON object. The exit code:

| code | meaning |
|---|---|
| 0 | done |
| 1 | something is broken (`doctor`), declined, or the reader of the output has gone |
| 2 | the command was used wrongly: options, names, text that is not UTF-8 |
| 3 | the domain, index or conversation does not exist, or `domain.yaml` has problems |
| 4 | a document, question file or template is malformed |
| 5 | an index, soft prompt or conversation is damaged, or belongs to something else |
| 6 | a model, the disk, memory or the network is not available |
| 7 | training cannot start or diverged |
| 130 | Ctrl-C |
"""


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    return {"settings.md": _settings_page(), "commands.md": _commands_page()}


def _settings_page() -> str:
    sections = {name: section for name, field in DomainFile.model_fields.items() if (section := _section(field))}
    parts = [_SETTINGS_INTRO, "## Top level\n", _table(DomainFile, sections)]
    for name, section in sections.items():
        parts += [f"## `{name}`\n", f"{_link(inspect.getdoc(section) or '')}\n", _table(section, {})]
    return "\n".join(parts)


def _commands_page() -> str:
    helps = (f"## `{' '.join(['softgraft', *words])}`\n\n```text\n{_help(words)}\n```\n" for words in _commands())
    return "\n".join([_COMMANDS_INTRO, *helps])


def _section(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _table(model: type[BaseModel], sections: dict[str, type[BaseModel]]) -> str:
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = _link(field.description or "")
        if name in sections:
            rows.append(f"| `{name}` | section | | {meaning} See [`{name}`](#{name}). |")
        else:
            rows.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return ", ".join(_type(part) for part in get_args(annotation))
    names = {str: "text", int: "integer", float: "number", bool: "`true`, `false`", type(None): "`null`"}
    return names.get(annotation, "mapping")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    return f"`{value}`" if value != "" else ""


def _link(text: str) -> str:
    return re.sub(r"docs/(\S+)\.md", r"[\1](\1.md)", text)


def _commands(typer_app: typer.Typer = app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for command in typer_app.registered_commands:
        yield (*words, command.name or "")
    for group in typer_app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, (*words, group.name or ""))


def _help(words: tuple[str, ...]) -> str:
    """The help of one command, without colours and frames, in 80 columns."""
    mode, app.rich_markup_mode = app.rich_markup_mode, None
    try:
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="softgraft", env={"COLUMNS": "80"})
    finally:
        app.rich_markup_mode = mode
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

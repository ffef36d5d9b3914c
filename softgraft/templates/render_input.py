"""What a person gives to `softgraft prompts render`: files and NAME=TEXT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chains.messages.prompt_template import history_turns
from prompts import PassageInput, TemplateFile, Turn, load_template
from softgraft.domain import Domain, resolve
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile
from softgraft.templates.template_files import domain_templates, template_path

_FIELDS = ("title", "heading", "text")


def opened_for(name: str, domain: str | None) -> tuple[Domain, TemplateFile]:
    """The domain that a template is rendered for, and the template's file.

    Without a domain it is the embedded backbone, with no index and no soft prompt.

    Raises:
        DomainError: no such domain.
        PromptError: no such template, or it has problems.
    """
    if domain is not None:
        opened = resolve(domain)
        return opened, TemplateFile(template_path(name, domain_templates(opened.folder)))
    path = template_path(name, None)
    template, nowhere = load_template(path), path.parent
    file = DomainFile(name="none", title="no domain", language=template.language)
    return Domain(nowhere, file, nowhere / "build"), TemplateFile(path)


def read_history(path: Path) -> list[Turn]:
    """A conversation from a JSON list of [question, answer] pairs.

    Raises:
        UsageError: the file cannot be read.
        InputError: it holds something else.
    """
    try:
        return history_turns(json.loads(_text(path)))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error), 'a JSON list such as [["question", "answer"]]') from error


def read_passages(path: Path) -> list[PassageInput]:
    """Passages from JSON lines with `text`, and perhaps `title` and `heading`; any other file is one passage.

    Raises:
        UsageError: the file cannot be read, or a line has other fields.
    """
    text = _text(path)
    if path.suffix != ".jsonl":
        return [PassageInput(path.name, path.stem, "", text.strip())]
    found = []
    # Not splitlines: JSON lets U+2028 and its like stand in a string, where they end no line.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            fields = _fields(path, number, line)
            found.append(PassageInput(f"{path.name}:{number}", *(fields.get(name, "") for name in _FIELDS)))
    return found


def read_inputs(values: Sequence[str]) -> dict[str, str]:
    """Further inputs from `NAME=TEXT`.

    Raises:
        UsageError: no `=`, or a name twice.
    """
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name in found:
            raise UsageError(
                found=f"--input {value!r}" + (f", and {name!r} was given before" if equals else ""),
                expected="NAME=TEXT, each name once",
                next_step='write for example: --input tone="warm and short"',
            )
        found[name] = text
    return found


def _fields(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"line {number}: {error}", "a JSON object a line") from error
    texts = isinstance(row, dict) and all(isinstance(value, str) for value in row.values())
    if not texts or not row.get("text") or set(row) - set(_FIELDS):
        raise _unreadable(
            path, f"line {number} has other fields", "the texts `text`, and perhaps `title` and `heading`"
        )
    fields: dict[str, str] = row
    return fields


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error), "a text file in UTF-8") from error


def _unreadable(path: Path, found: str, expected: str) -> UsageError:
    return UsageError(
        found=f"{path} cannot be read: {found}", expected=expected, next_step=f"correct {path}, or leave it out"
    )

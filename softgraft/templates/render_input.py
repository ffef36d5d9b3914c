"""The inputs of `softgraft prompts render`: a domain, files and NAME=TEXT options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from chains.messages.prompt_template import history_turns
from prompts import PassageInput, TemplateFile, Turn, load_template
from retrieval.regular_files import open_regular
from softgraft.domain import Domain, open_domain
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile
from softgraft.settings.location import domain_folder
from softgraft.templates.template_files import domain_templates, template_path


class _PassageLine(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1)
    title: str = ""
    heading: str = ""


def open_for_rendering(name: str, domain: str | None) -> tuple[Domain, TemplateFile]:
    """The domain to render a template for, and the template's file.

    Without a domain, it is a temporary one with the embedded backbone, no index and no soft prompt.
    """
    if domain is not None:
        opened = open_domain(domain_folder(domain))
        return opened, TemplateFile(template_path(name, domain_templates(opened.folder)))
    path = template_path(name, None)
    file = DomainFile(name="none", title="no domain", language=load_template(path).language)
    return Domain(path.parent, file, path.parent / "build"), TemplateFile(path)


def read_history(path: Path) -> list[Turn]:
    """A conversation from a JSON list of [question, answer] pairs."""
    try:
        # Unlike the standard library, it refuses lone surrogates, which no tokenizer reads.
        return history_turns(from_json(_text(path)))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error), 'a JSON list such as [["question", "answer"]]') from error


def read_passages(path: Path) -> list[PassageInput]:
    """Passages from JSON lines with `text` and optionally `title` and `heading`; any other file is one passage."""
    text = _text(path)
    if path.suffix != ".jsonl":
        return [PassageInput(path.name, path.stem, "", text.strip())]
    passages = []
    # Not splitlines: a JSON string may contain U+2028 and other characters that splitlines splits at.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = _PassageLine.model_validate_json(line)
            except ValidationError as error:
                problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
                expected = "one JSON object per line, with the strings `text` and optionally `title` and `heading`"
                raise _unreadable(path, f"line {number}: {problems}", expected) from error
            passages.append(PassageInput(f"{path.name}:{number}", row.title, row.heading, row.text))
    return passages


def read_inputs(values: Sequence[str]) -> dict[str, str]:
    """Text inputs from `NAME=TEXT` options.

    Raises:
        UsageError: if an option has no `=`, or a name occurs twice.
    """
    inputs: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name in inputs:
            raise UsageError(
                found=f"--input {value!r}" + (f", a second value for {name!r}" if equals else ""),
                expected="NAME=TEXT, with each name once",
                next_step='for example: --input tone="warm and short"',
            )
        inputs[name] = text
    return inputs


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error), "a text file in UTF-8") from error


def _unreadable(path: Path, found: str, expected: str) -> UsageError:
    return UsageError(
        found=f"{path} cannot be read: {found}", expected=expected, next_step=f"correct {path}, or leave it out"
    )

"""The templates of a workplace: which there are, who uses them, what is wrong with them, and what changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompts import (
    TEMPLATES,
    Problem,
    Template,
    UnknownTemplateError,
    check_folder,
    check_template,
    find_template,
    list_templates,
    load_template,
)
from softgraft.errors import DomainError, UsageError
from softgraft.settings.domain_file import FILE, DomainFile, read_domain_file
from softgraft.settings.workplace import DOMAINS

# Beside a trained soft prompt: the template that it was trained with.
TRAINED = Path("build") / "soft_prompt" / "template.yaml"


@dataclass(frozen=True, slots=True)
class DomainTemplates:
    """Where one domain's templates come from."""

    name: str
    folder: Path
    file: DomainFile

    @property
    def own(self) -> Path:
        """The folder of its own templates, which come first."""
        return self.folder / "templates"

    def names(self) -> list[str]:
        """The templates that it answers with."""
        rewrites = self.file.answer.condense == "model" or self.file.backbone.startswith("openai:")
        used = [self.file.template, self.file.closed_book_template, *(["condense-question"] if rewrites else [])]
        return list(dict.fromkeys(used))


def domain_templates(folder: Path) -> DomainTemplates:
    """Those of a domain's folder.

    Raises:
        DomainError: its domain.yaml has problems.
    """
    name = folder.name if folder.parent == DOMAINS else str(folder)
    return DomainTemplates(name, folder, read_domain_file(folder))


def shown(path: Path) -> str:
    """A path as it is typed here: without the working folder in front."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def every_domain() -> Iterator[DomainTemplates]:
    """Those of each domain under domains/; one whose domain.yaml has problems says so when it is opened."""
    for path in sorted(DOMAINS.glob(f"*/{FILE}")):
        try:
            yield domain_templates(path.parent)
        except DomainError:
            continue


def template_path(named: str, domain: DomainTemplates | None, language: str | None = None) -> Path:
    """The file that a person means by `rag-chat`, `rag-chat.zh` or a path.

    Raises:
        UnknownTemplateError: there is none.
    """
    if "/" in named or named.endswith((".yaml", ".yml")):
        return Path(named)
    name, _, ending = named.partition(".")
    language = ending or language or (domain.file.language if domain else "en")
    return find_template(name, language, [domain.own] if domain else [])


def listed(domain: DomainTemplates | None) -> list[dict[str, Any]]:
    """Every template as plain data: name, language, version, description, file, hash, and which domains use it."""
    users: dict[Path, list[str]] = {}
    for one in [domain] if domain else every_domain():
        for name in one.names():
            try:
                users.setdefault(find_template(name, one.file.language, [one.own]), []).append(one.name)
            except UnknownTemplateError:
                continue
    return [
        {
            "name": found.name,
            "language": found.language,
            "version": found.template.version if found.template else None,
            "description": found.template.description if found.template else None,
            "path": shown(found.path),
            "hash": found.template.content_hash if found.template else None,
            "used_by": users.get(found.path, []),
        }
        for found in list_templates([domain.own] if domain else [])
    ]


def checked(paths: Sequence[Path], domain: DomainTemplates | None) -> tuple[list[Path], list[Problem]]:
    """Files that were looked at, and every problem of every one.

    Args:
        paths: files and folders; none means all that ship with the project and those of all domains.
        domain: in place of all domains.

    Raises:
        UsageError: a path that is not there.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    domains = [domain] if domain else [] if paths else list(every_domain())
    for path in paths or [*([] if domain else [TEMPLATES]), *(one.own for one in domains)]:
        if path.is_dir() or path not in paths:
            found, wrong = check_folder(path)
            files += found
            problems += wrong
        elif path.exists():
            files.append(path)
            problems += check_template(path)
        else:
            raise UsageError(
                found=f"no file or folder {path}",
                expected="template files, or folders of them",
                next_step="run without a path to check all: softgraft prompts check",
            )
    for one in domains:
        for name in one.names():
            try:
                find_template(name, one.file.language, [one.own])
            except UnknownTemplateError as error:
                problems.append(Problem(one.folder / FILE, _line_of_template(one, name), f"{error.found}"))
    return files, problems


def compared(first: str | None, second: str | None, domain: DomainTemplates | None) -> dict[str, Any]:
    """Two versions of a template as plain data, with a unified diff of their texts.

    Two names or paths are compared with each other; one name with a domain, the shipped file with the domain's own; a
    domain alone, the template that its soft prompt was trained with and the one it answers with now.

    Raises:
        UsageError: too little to compare.
        PromptError: a file is not found or has problems.
    """
    if first is not None and second is not None:
        old, new = template_path(first, domain), template_path(second, domain)
    elif first is not None and domain is not None:
        old, new = find_template(first, domain.file.language), template_path(first, domain)
        if old == new:
            raise UsageError(
                found=f"the domain {domain.name!r} has no template {first!r} of its own",
                expected=f"the file {domain.own / old.name}",
                next_step=f"copy {old} there and edit it, or compare two files: softgraft prompts diff A B",
            )
    elif first is None and domain is not None:
        old, new = _trained(domain), template_path(domain.file.template, domain)
    else:
        raise UsageError(
            found="one template and nothing to compare it with" if first else "nothing to compare",
            expected="two templates, a template and a domain, or a domain",
            next_step="run: softgraft prompts diff A B, or softgraft prompts diff --domain DOMAIN",
        )
    one, other = load_template(old), load_template(new)
    lines = difflib.unified_diff(
        one.text.splitlines(), other.text.splitlines(), shown(old), shown(new), lineterm="", n=2
    )
    return {
        "old": _version(one, old),
        "new": _version(other, new),
        "same_for_the_model": one.content_hash == other.content_hash,
        "diff": list(lines),
    }


def _trained(domain: DomainTemplates) -> Path:
    path = domain.folder / TRAINED
    if not path.is_file():
        trained = path.parent.is_dir()
        raise UsageError(
            found=f"no template beside the soft prompt in {path.parent}"
            if trained
            else f"no soft prompt in {path.parent}",
            expected="the template that it was trained with, which is kept with every soft prompt that is trained now",
            next_step=f"run: softgraft train {domain.name}",
        )
    return path


def _version(template: Template, path: Path) -> dict[str, Any]:
    return {
        "path": shown(path),
        "name": template.name,
        "language": template.language,
        "version": template.version,
        "hash": template.content_hash,
    }


def _line_of_template(domain: DomainTemplates, name: str) -> int | None:
    lines = (domain.folder / FILE).read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if name in line and "template" in line), None)

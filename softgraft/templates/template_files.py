"""List, check and compare templates: the included ones and those of domains."""

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
from softgraft.settings.location import DOMAINS, cli_name

# The soft prompt, with the template that it was trained with.
TRAINED = Path("build") / "soft_prompt"


@dataclass(frozen=True, slots=True)
class DomainTemplates:
    """The templates of one domain."""

    name: str
    folder: Path
    file: DomainFile

    @property
    def own(self) -> Path:
        """The folder of its own templates, which come before the included ones."""
        return self.folder / "templates"

    def names(self) -> list[str]:
        """The templates that it uses."""
        rewrites = self.file.answer.condense == "model" or self.file.behind_api
        used = [self.file.template, self.file.closed_book_template, *(["condense-question"] if rewrites else [])]
        return list(dict.fromkeys(used))


def domain_templates(folder: Path) -> DomainTemplates:
    """The templates of a domain's folder."""
    return DomainTemplates(cli_name(folder), folder, read_domain_file(folder))


def short_path(path: Path) -> str:
    """A path relative to the current folder, if it is inside."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def every_domain() -> Iterator[DomainTemplates]:
    """The templates of each domain under domains/, except domains whose domain.yaml has problems."""
    for path in sorted(DOMAINS.glob(f"*/{FILE}")):
        try:
            yield domain_templates(path.parent)
        except DomainError:
            continue


def template_path(reference: str, domain: DomainTemplates | None) -> Path:
    """The file of a template: `NAME`, `NAME.LANGUAGE` or a path. The domain's own come first, its language too."""
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        return Path(reference)
    name, _, language = reference.partition(".")
    return find_template(name, language or (domain.file.language if domain else "en"), [domain.own] if domain else [])


def list_all(domain: DomainTemplates | None) -> list[dict[str, Any]]:
    """Every template as plain data: name, language, version, description, file, hash, and the domains that use it."""
    users: dict[Path, list[str]] = {}
    for one in [domain] if domain else every_domain():
        for name in one.names():
            try:
                users.setdefault(find_template(name, one.file.language, [one.own]), []).append(one.name)
            except UnknownTemplateError:
                continue
    return [
        {
            "name": entry.name,
            "language": entry.language,
            "version": entry.template.version if entry.template else None,
            "description": entry.template.description if entry.template else None,
            "path": short_path(entry.path),
            "hash": entry.template.content_hash if entry.template else None,
            "used_by": users.get(entry.path, []),
        }
        for entry in list_templates([domain.own] if domain else [])
    ]


def check_all(paths: Sequence[Path], domain: DomainTemplates | None) -> tuple[list[Path], list[Problem]]:
    """Check templates, and return the checked files and all problems.

    Without `paths`, check the templates of the domain or, without one, the included templates and those of all domains.

    Raises:
        UsageError: if a path does not exist.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    domains = [domain] if domain else [] if paths else list(every_domain())
    for path in paths or [*([] if domain else [TEMPLATES]), *(one.own for one in domains)]:
        if path.is_dir() or path not in paths:
            folder_files, folder_problems = check_folder(path)
            files += folder_files
            problems += folder_problems
        elif path.exists():
            files.append(path)
            problems += check_template(path)
        else:
            raise UsageError(
                found=f"no file or folder {path}",
                expected="template files or folders",
                next_step="check all templates: softgraft prompts check",
            )
    for one in domains:
        for name in one.names():
            try:
                find_template(name, one.file.language, [one.own])
            except UnknownTemplateError as error:
                problems.append(Problem(one.folder / FILE, _line_of_template(one, name), error.found))
    return files, problems


def compare(first: str | None, second: str | None, domain: DomainTemplates | None) -> dict[str, Any]:
    """Compare two templates; plain data with a unified diff of their texts.

    Two names or paths are compared with each other. One name and a domain: the included file with the domain's own. A
    domain alone: the template that its soft prompt was trained with, and the current one.

    Raises:
        UsageError: if there are not two templates to compare.
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
        old, new = _trained_with(domain), template_path(domain.file.template, domain)
    else:
        raise UsageError(
            found="one template and nothing to compare it with" if first else "no templates to compare",
            expected="two templates, a template and a domain, or a domain",
            next_step="run: softgraft prompts diff A B, or softgraft prompts diff --domain DOMAIN",
        )
    old_template, new_template = load_template(old), load_template(new)
    texts = old_template.text.splitlines(), new_template.text.splitlines()
    lines = difflib.unified_diff(*texts, short_path(old), short_path(new), lineterm="", n=2)
    return {
        "old": version_of(old_template, old),
        "new": version_of(new_template, new),
        "same_for_the_model": old_template.content_hash == new_template.content_hash,
        "diff": list(lines),
    }


def _trained_with(domain: DomainTemplates) -> Path:
    # Imports PyTorch, which takes seconds.
    from soft_prompt.artifact.artifact import trained_template

    path = trained_template(domain.folder / TRAINED)
    if not path.is_file():
        raise UsageError(
            found=f"no {path.name if path.parent.is_dir() else 'soft prompt'} in {path.parent}",
            expected="the template that the soft prompt was trained with, which every training saves",
            next_step=f"run: softgraft train {domain.name}",
        )
    return path


def version_of(template: Template, path: Path) -> dict[str, Any]:
    """The identity of a template as plain data."""
    return {
        "path": short_path(path),
        "name": template.name,
        "language": template.language,
        "version": template.version,
        "hash": template.content_hash,
    }


def _line_of_template(domain: DomainTemplates, name: str) -> int | None:
    lines = (domain.folder / FILE).read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if name in line and "template" in line), None)

"""Find, parse and check template files. All problems of a file are reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prompts.build import build_template
from prompts.errors import TemplateError, UnknownTemplateError
from prompts.schema import NAME, validate_source
from prompts.source import Problem, TemplateSource, read_source
from prompts.template import Template

TEMPLATES = Path(__file__).parent / "templates"


def find_template(name: str, language: str = "en", folders: Sequence[Path] = ()) -> Path:
    """The file of a template: `<name>.<language>.yaml` in the first folder that has it."""
    searched = [*folders, TEMPLATES]
    if NAME.fullmatch(name):
        for folder in searched:
            path = folder / f"{name}.{language}.yaml"
            # A pipe or a folder of this name is an error when it is read; no other template is used instead.
            if path.exists():
                return path
    ending = f".{language}.yaml"
    files = [file.name for folder in searched for file in folder.glob("*.yaml")]
    known = sorted({file.removesuffix(ending) for file in files if file.endswith(ending)})
    raise UnknownTemplateError(
        found=f"no template {name!r} in language {language!r}",
        expected=f"one of {', '.join(known) or '(none in this language)'}",
        next_step=f"write {searched[0] / f'{name}.{language}.yaml'}, or change `template:` in domain.yaml",
    )


def load_template(path: Path) -> Template:
    """Read and check one template file. Included blocks are searched beside the file, then among the built-in ones.

    Raises:
        TemplateError: lists all problems of the file, each with its line.
    """
    template, source = _read(path)
    if template is None or source.problems:
        listed = "".join(f"\n  {path.name}: {problem.with_line}" for problem in sorted(source.problems, key=_line))
        raise TemplateError(
            found=f"{len(source.problems)} problem{'s' if len(source.problems) > 1 else ''} in {path}:{listed}\n",
            expected="a template as described in docs/prompts.md",
            next_step=f"edit {path}",
        )
    return template


def check_template(path: Path) -> list[Problem]:
    """Every problem of one template file, by line, including a file name that does not match the template."""
    template, source = _read(path)
    if template is not None and (expected := f"{template.name}.{template.language}.yaml") != path.name:
        name_is_known = not any("name: " in p.message or "language: " in p.message for p in source.problems)
        if name_is_known:
            source.add_problem(
                ("name",), f"the file is named {path.name}, so nobody can load it by name; expected {expected}"
            )
    return sorted(source.problems, key=_line)


def check_folder(folder: Path) -> tuple[list[Path], list[Problem]]:
    """All template files of a folder, and all their problems; a `.yml` file is one, since only `.yaml` files are
    loaded.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml")) if folder.is_dir() else []
    problems: list[Problem] = []
    for path in files:
        if path.suffix == ".yml":
            problems.append(Problem(path, None, f"a template file ends in .yaml; rename it to {path.stem}.yaml"))
        problems += check_template(path)
    return files, problems


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    """A template file in a folder; `template` is None if the file has problems."""

    name: str
    language: str
    path: Path
    template: Template | None


def list_templates(folders: Sequence[Path] = ()) -> list[TemplateEntry]:
    """Every template that can be loaded by name, from the first folder that has it; sorted by name and language."""
    entries: dict[tuple[str, str], TemplateEntry] = {}
    for folder in [*folders, TEMPLATES]:
        for path in sorted(folder.glob("*.yaml")):
            name, _, language = path.name.removesuffix(".yaml").rpartition(".")
            if NAME.fullmatch(name) and (name, language) not in entries:
                template, source = _read(path)
                entries[name, language] = TemplateEntry(name, language, path, None if source.problems else template)
    return [entries[key] for key in sorted(entries)]


def _line(problem: Problem) -> int:
    return problem.line or 0


def _read(path: Path) -> tuple[Template | None, TemplateSource]:
    source = read_source(path)
    parsed = validate_source(source) if source.data is not None else None
    folders = [path.parent, *([TEMPLATES] if path.parent != TEMPLATES else [])]
    return build_template(parsed, source, folders) if parsed is not None else None, source

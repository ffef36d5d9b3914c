"""Template files: found, parsed and checked, with every problem of a file reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prompts.assemble import assemble
from prompts.errors import TemplateError, UnknownTemplateError
from prompts.form import NAME, read_form
from prompts.source import Problem, Source, read_source
from prompts.template import Template

TEMPLATES = Path(__file__).parent / "templates"


def template_folders(extra: Sequence[Path] = ()) -> list[Path]:
    """Where templates are looked for: the given folders first, then the ones that ship with the project."""
    return [*extra, TEMPLATES]


def find_template(name: str, language: str = "en", folders: Sequence[Path] = ()) -> Path:
    """The file of a template: `<name>.<language>.yaml` in the first folder that has it.

    Raises:
        UnknownTemplateError: no folder has it; the message lists the names there are.
    """
    places = template_folders(folders)
    if NAME.fullmatch(name):
        for folder in places:
            path = folder / f"{name}.{language}.yaml"
            if path.is_file():
                return path
    known = sorted({f.name.removesuffix(f".{language}.yaml") for p in places for f in p.glob(f"*.{language}.yaml")})
    raise UnknownTemplateError(
        found=f"no template {name!r} in language {language!r}",
        expected=f"one of {', '.join(known) or '(none in this language)'}",
        next_step=f"write {places[0] / f'{name}.{language}.yaml'}, or change `template:` in domain.yaml",
    )


def load_template(path: Path) -> Template:
    """Read and check one template file.

    Blocks that it includes are looked for in `blocks/` beside it, then among those that ship with the project.

    Raises:
        TemplateError: every problem of the file, each with its line.
    """
    template, source = _read(path)
    if template is None or source.problems:
        raise _refused(path, source.problems)
    return template


def check_template(path: Path) -> list[Problem]:
    """Every problem of one template file, also those that do not keep it from being read, in the order of its lines."""
    template, source = _read(path)
    if template is not None and (expected := f"{template.name}.{template.language}.yaml") != path.name:
        name_is_known = not any("name: " in p.message or "language: " in p.message for p in source.problems)
        if name_is_known:
            source.problem(
                ("name",), f"the file is called {path.name}, so it is not found by its name; expected {expected}"
            )
    return sorted(source.problems, key=lambda problem: problem.line or 0)


def check_folder(folder: Path) -> tuple[list[Path], list[Problem]]:
    """All template files of a folder, and every problem of every one.

    A file that looks like a template but for its ending is a problem too: nobody would ever find it.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml")) if folder.is_dir() else []
    problems: list[Problem] = []
    for path in files:
        if path.suffix == ".yml":
            problems.append(Problem(path, None, f"a template's file ends in .yaml; rename it to {path.stem}.yaml"))
        problems += check_template(path)
    return files, problems


@dataclass(frozen=True, slots=True)
class FoundTemplate:
    """A template file in a folder; `template` is None where it has problems."""

    name: str
    language: str
    path: Path
    template: Template | None


def list_templates(folders: Sequence[Path] = ()) -> list[FoundTemplate]:
    """Every template that can be found by name, each where it is found first; sorted by name and language."""
    found: dict[tuple[str, str], FoundTemplate] = {}
    for folder in template_folders(folders):
        for path in sorted(folder.glob("*.yaml")):
            name, _, language = path.name.removesuffix(".yaml").rpartition(".")
            if NAME.fullmatch(name) and (name, language) not in found:
                template, source = _read(path)
                found[name, language] = FoundTemplate(name, language, path, None if source.problems else template)
    return [found[key] for key in sorted(found)]


def _read(path: Path) -> tuple[Template | None, Source]:
    source = read_source(path)
    form = read_form(source) if source.data is not None else None
    folders = [path.parent, *([TEMPLATES] if path.parent != TEMPLATES else [])]
    return assemble(form, source, folders) if form is not None else None, source


def _refused(path: Path, problems: Sequence[Problem]) -> TemplateError:
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    listed = "".join(f"\n  {path.name}: {problem.placed}" for problem in ordered)
    return TemplateError(
        found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}:{listed}\n",
        expected="a template as described in docs/prompts.md",
        next_step=f"edit {path}",
    )

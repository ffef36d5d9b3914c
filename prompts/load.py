"""Template files: found, parsed and checked, with every problem of a file reported at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from prompts.errors import TemplateError, UnknownTemplateError
from prompts.template import PASSAGE_FIELDS, InputKind, MessagePattern, Piece, Slot, Template, parse_pieces

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class _MessageFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant", "history"]
    content: str | None = None


class _TemplateFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
    version: Annotated[int, Field(ge=1)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    description: Annotated[str, Field(min_length=1)]
    inputs: dict[str, InputKind]
    soft_slots: dict[str, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = {}
    passage: str = "{title}: {text}\n"
    no_passages: str = ""
    messages: Annotated[list[_MessageFile], Field(min_length=1)]


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

    Raises:
        TemplateError: every problem of the file, each with its line.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(path, [str(error)]) from error
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source)
    except yaml.YAMLError as error:
        raise _problem(path, [str(error).replace("\n", " ")]) from error
    if not isinstance(data, dict):
        raise _problem(path, ["line 1: the file is empty or no mapping"])
    try:
        file = _TemplateFile.model_validate(data)
    except ValidationError as error:
        problems = [f"line {_line(node, e['loc'])}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        # Braces are looked at as well, so that a person mends the file once.
        for number, message in enumerate(data["messages"] if isinstance(data.get("messages"), list) else []):
            try:
                parse_pieces(message["content"])
            except ValueError as brace:
                problems.append(f"line {_line(node, ('messages', number, 'content'))}: {brace}")
            except (KeyError, TypeError):
                continue  # no text at all, which is among the problems already, or a history entry
        raise _problem(path, problems) from error
    template, problems = _assemble(file, node)
    if problems:
        raise _problem(path, problems)
    return template


def _assemble(file: _TemplateFile, node: Any) -> tuple[Template, list[str]]:
    problems: list[str] = []
    known = {*file.inputs, *file.soft_slots}
    used: set[str] = set()

    def pieces(source: str, loc: tuple[str | int, ...], allowed: set[str]) -> tuple[Piece, ...]:
        try:
            parsed = parse_pieces(source)
        except ValueError as error:
            problems.append(f"line {_line(node, loc)}: {error}")
            return ()
        for piece in parsed:
            if isinstance(piece, Slot):
                used.add(piece.name)
                if piece.name not in allowed:
                    problems.append(
                        f"line {_line(node, loc)}: unknown slot {{{piece.name}}}; "
                        f"declared are {', '.join(sorted(allowed)) or '(none)'}"
                    )
        return parsed

    messages = []
    for number, message in enumerate(file.messages):
        loc: tuple[str | int, ...] = ("messages", number, "content")
        if (message.role == "history") != (message.content is None):
            problems.append(f"line {_line(node, loc[:2])}: a history entry has no content; every other message has one")
        if message.role == "history":
            used.add("history")
            if file.inputs.get("history") != "history":
                problems.append(f"line {_line(node, loc[:2])}: declare `history: history` under inputs")
        allowed = known - {name for name, kind in file.inputs.items() if kind == "history"}
        messages.append(MessagePattern(message.role, pieces(message.content or "", loc, allowed)))
    passage = pieces(file.passage, ("passage",), set(PASSAGE_FIELDS))
    for name in sorted(known - used):
        place = "soft_slots" if name in file.soft_slots else "inputs"
        problems.append(f"line {_line(node, (place, name))}: {name!r} is declared and used in no message")
    for name in sorted(set(file.inputs) & set(file.soft_slots)):
        problems.append(f"line {_line(node, ('soft_slots', name))}: {name!r} is both an input and a soft slot")
    slots = [p.name for m in messages for p in m.pieces if isinstance(p, Slot) and p.name in file.soft_slots]
    for name in sorted({s for s in slots if slots.count(s) > 1}):
        problems.append(f"line {_line(node, ('soft_slots', name))}: the soft slot {name!r} stands in two places")
    if messages[0].role != "system":
        # Many chat templates put a system message of their own where there is none.
        problems.append(f"line {_line(node, ('messages', 0))}: the first message must have the role system")
    template = Template(
        name=file.name,
        version=file.version,
        language=file.language,
        description=file.description,
        inputs=file.inputs,
        soft_slots=file.soft_slots,
        messages=tuple(messages),
        passage=passage,
        no_passages=file.no_passages,
    )
    return template, problems


def _line(node: Any, loc: Sequence[str | int]) -> int:
    """The line of a value in the YAML tree, or of its nearest ancestor that exists."""
    for key in loc:
        child = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for name, value in node.value if name.value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            child = node.value[key]
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1


def _problem(path: Path, problems: list[str]) -> TemplateError:
    listed = "".join(f"\n  {path.name}: {problem}" for problem in problems)
    return TemplateError(
        found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}:{listed}\n",
        expected="a template as described in the README under `Edit a template`",
        next_step=f"edit {path}",
    )

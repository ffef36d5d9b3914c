"""The schema of a template file: its keys and their values."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from prompts.source import TemplateSource
from prompts.template import InputKind

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
SLOT = r"^[A-Za-z_][A-Za-z0-9_]*$"

_Name = Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartSchema(_Schema):
    """A part of a message; with `if`, it is rendered only if that optional input is given."""

    condition: Annotated[str | None, Field(alias="if", pattern=SLOT)] = None
    text: str


def _as_parts(content: object) -> object:
    if isinstance(content, str):
        return [{"text": content}]
    if isinstance(content, list) and content:
        return [{"text": part} if isinstance(part, str) else part for part in content]
    if content is None:
        return None
    raise ValueError("expected a text, or a list of texts and of entries with `if` and `text`")


class MessageSchema(_Schema):
    role: Literal["system", "user", "assistant", "history", "examples"]
    content: Annotated[list[PartSchema] | None, BeforeValidator(_as_parts)] = None


class ExampleSchema(_Schema):
    question: _Words
    answer: _Words


class ExamplesSchema(_Schema):
    fixed: list[ExampleSchema] = []
    similar: Annotated[int, Field(ge=0, le=16)] = 0
    tokens: Annotated[int, Field(ge=1)] = 200
    text: str | None = None


class TemplateSchema(_Schema):
    name: _Name
    version: Annotated[int, Field(ge=1)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    description: Annotated[str, Field(min_length=1)]
    inputs: dict[str, InputKind]
    optional: list[str] = []
    include: dict[Annotated[str, Field(pattern=SLOT)], _Name] = {}
    soft_slots: dict[str, _Words] = {}
    examples: ExamplesSchema | None = None
    passage: str = "{title}: {text}\n"
    no_passages: str = ""
    messages: Annotated[list[MessageSchema], Field(min_length=1)]


# Replace wrong values, so that the rest of the file is checked as well.
_PLACEHOLDERS: dict[str, object] = {"name": "x", "version": 1, "language": "en", "description": "x"}


def validate_source(source: TemplateSource) -> TemplateSchema | None:
    """Validate the data of a file, and record every problem.

    The result has a placeholder for each wrong value; None if the file cannot be checked further.
    """
    assert source.data is not None
    try:
        return TemplateSchema.model_validate(source.data)
    except ValidationError as error:
        problems = error.errors()
    repaired = copy.deepcopy(source.data)
    usable = True
    for problem in problems:
        loc = problem["loc"]
        source.add_problem(loc, f"{'.'.join(map(str, loc))}: {problem['msg'].removeprefix('Value error, ')}")
        usable &= _repair(repaired, loc, problem["type"] == "extra_forbidden")
    try:
        return TemplateSchema.model_validate(repaired) if usable else None
    except ValidationError:
        return None


def _repair(data: Any, loc: tuple[str | int, ...], extra: bool) -> bool:
    """Replace one wrong value by a valid one; False if that would hide or cause other problems."""
    holder = data
    for key in loc[:-1]:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return False
    last = loc[-1]
    if extra:
        return isinstance(holder, dict) and holder.pop(last, holder) is not holder
    if len(loc) == 1 and last in _PLACEHOLDERS:
        holder[last] = _PLACEHOLDERS[str(last)]
        return True
    if len(loc) == 2 and loc[0] in ("inputs", "soft_slots"):
        holder[last] = "text"
        return True
    if loc[0] == "messages" and last == "role":
        holder[last] = "system" if loc[1] == 0 else "user" if holder.get("content") else "history"
        return True
    return False

"""The form of a template file: which keys there are, and what may stand under them."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from prompts.source import Source
from prompts.template import InputKind

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
SLOT = r"^[A-Za-z_][A-Za-z0-9_]*$"

_Name = Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartForm(_Form):
    """A text of a message, which stands there only where the optional input `if` is given."""

    given: Annotated[str | None, Field(alias="if", pattern=SLOT)] = None
    text: str


def _as_parts(content: object) -> object:
    """One text, or a list of texts and `{if, text}` entries, as a list of parts."""
    if isinstance(content, str):
        return [{"text": content}]
    if isinstance(content, list) and content:
        return [{"text": part} if isinstance(part, str) else part for part in content]
    if content is None:
        return None
    raise ValueError("expected a text, or a list of texts and of entries with `if` and `text`")


class MessageForm(_Form):
    """One entry of `messages`."""

    role: Literal["system", "user", "assistant", "history", "examples"]
    content: Annotated[list[PartForm] | None, BeforeValidator(_as_parts)] = None


class ExampleForm(_Form):
    """A worked example that the file itself holds."""

    question: _Words
    answer: _Words


class ExamplesForm(_Form):
    """What stands under `examples`."""

    fixed: list[ExampleForm] = []
    similar: Annotated[int, Field(ge=0, le=16)] = 0
    tokens: Annotated[int, Field(ge=1)] = 200
    text: str | None = None


class TemplateForm(_Form):
    """A template file."""

    name: _Name
    version: Annotated[int, Field(ge=1)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    description: Annotated[str, Field(min_length=1)]
    inputs: dict[str, InputKind]
    optional: list[str] = []
    include: dict[Annotated[str, Field(pattern=SLOT)], _Name] = {}
    soft_slots: dict[str, _Words] = {}
    examples: ExamplesForm | None = None
    passage: str = "{title}: {text}\n"
    no_passages: str = ""
    messages: Annotated[list[MessageForm], Field(min_length=1)]


# What takes the place of a value that is wrong, so that the rest of the file is looked at as well.
_STAND_INS: dict[str, object] = {"name": "x", "version": 1, "language": "en", "description": "x"}


def read_form(source: Source) -> TemplateForm | None:
    """The form that a file's data have; every problem is noted.

    Returns:
        The form, with something in place of each small mistake; None where too much is wrong to go on.
    """
    assert source.data is not None
    try:
        return TemplateForm.model_validate(source.data)
    except ValidationError as error:
        problems = error.errors()
    mended = copy.deepcopy(source.data)
    whole = True
    for problem in problems:
        loc = problem["loc"]
        source.problem(loc, f"{'.'.join(map(str, loc))}: {problem['msg'].removeprefix('Value error, ')}")
        whole &= _mend(mended, loc, problem["type"] == "extra_forbidden")
    try:
        return TemplateForm.model_validate(mended) if whole else None
    except ValidationError:
        return None


def _mend(data: Any, loc: tuple[str | int, ...], extra: bool) -> bool:
    """Put something right in place of one wrong value; False where that would hide or invent other problems."""
    holder = data
    for key in loc[:-1]:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return False
    last = loc[-1]
    if extra:
        return isinstance(holder, dict) and holder.pop(last, holder) is not holder
    if len(loc) == 1 and last in _STAND_INS:
        holder[last] = _STAND_INS[str(last)]
        return True
    if len(loc) == 2 and loc[0] in ("inputs", "soft_slots"):
        holder[last] = "text"
        return True
    if loc[0] == "messages" and last == "role":
        holder[last] = "system" if loc[1] == 0 else "user" if holder.get("content") else "history"
        return True
    return False

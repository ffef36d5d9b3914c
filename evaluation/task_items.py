"""Examples of the tasks that are no questions: a text and what it should become, one JSON object a line.

| task           | a line                          |
|----------------|---------------------------------|
| classification | `{"text": ..., "label": ...}`   |
| summarisation  | `{"text": ..., "summary": ...}` |
| translation    | `{"source": ..., "target": ...}`|

An `id` and a `group` may stand beside them. They become `Item`s, so that training and evaluation treat all tasks alike.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from evaluation.errors import ItemsError
from evaluation.items import Item

TextTask = Literal["classification", "summarisation", "translation"]
TEXT_TASKS: tuple[TextTask, ...] = get_args(TextTask)
# Of the dev set that is cut where the data has none.
DEV_SHARE = 0.15
DEV_MOST = 150
SEED = 0

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str | None = None
    group: str = ""


class _Labelled(_Row):
    text: _Text
    label: _Text


class _Summarised(_Row):
    text: _Text
    summary: _Text


class _Translated(_Row):
    source: _Text
    target: _Text


_ROWS: Mapping[TextTask, type[_Row]] = {
    "classification": _Labelled,
    "summarisation": _Summarised,
    "translation": _Translated,
}
FIELDS: Mapping[TextTask, tuple[str, str]] = {
    "classification": ("text", "label"),
    "summarisation": ("text", "summary"),
    "translation": ("source", "target"),
}


def read_task_items(path: Path, task: TextTask) -> list[Item]:
    """Read a file of a task's examples.

    Returns:
        Items whose `question` is the text and whose only answer is the label, summary or translation. Without an `id`
        an example is named after its line.

    Raises:
        ItemsError: no such file, a line that is no JSON or no example of the task, an empty text, or an id that comes
            twice.
    """
    shape = "{" + ", ".join(f'"{name}": ...' for name in FIELDS[task]) + "}"
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ItemsError(
            found=f"{path} cannot be read: {error}",
            expected=f"one JSON object a line, {shape}",
            next_step=f"write {path}",
        ) from error
    given, wanted = FIELDS[task]
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _ROWS[task].model_validate_json(line).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ItemsError(
                found=f"line {number} of {path}: {place + ': ' if place else ''}{first['msg']}",
                expected=f"one JSON object a line, {shape}, no text empty",
                next_step=f"correct line {number} of {path}",
            ) from error
        name = row["id"] or f"line-{number}"
        if name in seen:
            raise ItemsError(
                found=f"the id {name!r} in lines {seen[name]} and {number} of {path}",
                expected="an id of its own for each example, or none",
                next_step=f"rename one of the two in {path}",
            )
        seen[name] = number
        items.append(Item(id=name, question=row[given], answers=(row[wanted],), group=row["group"]))
    return items


def task_line(item: Item, task: TextTask) -> str:
    """An example as it stands in a file of its task, without the name of its line."""
    given, wanted = FIELDS[task]
    named = {} if item.id.startswith("line-") else {"id": item.id}
    grouped = {"group": item.group} if item.group else {}
    return json.dumps({**named, given: item.question, wanted: item.target, **grouped}, ensure_ascii=False)


def cut_stratified(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split labelled examples into train and dev, with a fixed seed and as many of each label in dev as its share says.

    Every label with two examples or more has one in dev, and keeps at least one in train. Both come out label by label,
    so that a part spread over them has all labels.
    """
    by_label: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.target].append(item)
    share = min(DEV_SHARE, DEV_MOST / max(1, len(items)))
    chance = random.Random(SEED)
    train: list[Item] = []
    dev: list[Item] = []
    for label in sorted(by_label):
        own = by_label[label]
        chance.shuffle(own)
        held = min(len(own) - 1, max(1, round(share * len(own))))
        train += own[held:]
        dev += own[:held]
    return train, dev

"""Examples of the text tasks: a text and its target, in a JSONL or CSV file with one example per row.

| task           | row                             |
|----------------|---------------------------------|
| classification | `{"text": ..., "label": ...}`   |
| summarisation  | `{"text": ..., "summary": ...}` |
| translation    | `{"source": ..., "target": ...}`|

`id` and `group` are optional. Examples become `Item`s, so that training and evaluation treat all tasks alike.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, create_model

from evaluation.items import Item, ItemFile, unique_items
from evaluation.rows import RowFormat, read_data_file

TextTask = Literal["classification", "summarisation", "translation"]
TEXT_TASKS: tuple[TextTask, ...] = get_args(TextTask)
# Share of train that becomes dev if the data has no dev set, and its maximum size.
DEV_SHARE = 0.15
DEV_MOST = 150
SEED = 0

_LINE_ID = re.compile(r"line-\d+")
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _TaskLine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    id: str | None = None
    group: str = ""


# The fields of a line that hold the text and its target.
FIELDS: Mapping[TextTask, tuple[str, str]] = {
    "classification": ("text", "label"),
    "summarisation": ("text", "summary"),
    "translation": ("source", "target"),
}


def _line_model(text: str, target: str) -> type[_TaskLine]:
    fields: dict[str, Any] = {text: _Text, target: _Text}
    return create_model("_Line", __base__=_TaskLine, **fields)


def read_task_items(path: Path, task: TextTask) -> list[Item]:
    """The examples of a JSONL or CSV file; see `read_task_file`."""
    return list(read_task_file(path, task).items)


def read_task_file(path: Path, task: TextTask) -> ItemFile:
    """Items whose `question` is the text and whose only answer is the label, summary or translation.

    An example without an `id` is named after its line number.
    """
    text, target = FIELDS[task]
    shape = f'{{"{text}": ..., "{target}": ...}}'
    expected = f"one JSON object per line, {shape}, or a CSV file with these columns, without empty texts"

    def to_item(number: int, line: _TaskLine) -> Item:
        answers = (getattr(line, target),)
        return Item(id=line.id or f"line-{number}", question=getattr(line, text), answers=answers, group=line.group)

    file = read_data_file(path, RowFormat(_line_model(text, target), expected), create=f"write {path}")
    return ItemFile(path, tuple(unique_items(((n, to_item(n, line)) for n, line in file.rows), path)), file.ignored)


def task_line(item: Item, task: TextTask) -> str:
    """An item as a line of its task's data file; an id made of a line number is left out."""
    text, target = FIELDS[task]
    named = {} if _LINE_ID.fullmatch(item.id) else {"id": item.id}
    grouped = {"group": item.group} if item.group else {}
    return json.dumps({**named, text: item.question, target: item.target, **grouped}, ensure_ascii=False)


def stratified_split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split labelled examples into train and dev with a fixed seed; each label has the same share in both.

    Every label with at least two examples has one or more in dev, and keeps at least one in train. Both lists are
    sorted by label, so that `spread` takes examples of all labels.
    """
    by_label: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.target].append(item)
    share = min(DEV_SHARE, DEV_MOST / max(1, len(items)))
    rng = random.Random(SEED)
    train: list[Item] = []
    dev: list[Item] = []
    for label in sorted(by_label):
        examples = by_label[label]
        rng.shuffle(examples)
        held_out = min(len(examples) - 1, max(1, round(share * len(examples))))
        train += examples[held_out:]
        dev += examples[:held_out]
    return train, dev

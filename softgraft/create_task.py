"""What a new domain of a task without questions starts with: its examples, and settings that suit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.items import Item
from evaluation.task_items import FIELDS, TextTask, read_task_items
from softgraft.domain_file import AnswerFileSettings, ClassificationSettings, TrainSettings
from softgraft.errors import UsageError

_ANSWER_TOKENS = {"classification": 16, "summarisation": 96, "translation": 96}


def task_splits(source: Path, task: TextTask) -> dict[str, list[Item]]:
    """The examples of a data folder, by split.

    Raises:
        UsageError: no train.jsonl.
        ItemsError: a file is malformed.
    """
    found = {s: read_task_items(p, task) for s in ("train", "dev", "test") if (p := source / f"{s}.jsonl").is_file()}
    if not found.get("train"):
        given, wanted = FIELDS[task]
        raise UsageError(
            found=f"no examples of the task {task} in {source / 'train.jsonl'}",
            expected=f'lines such as {{"{given}": ..., "{wanted}": ...}}',
            next_step=f"write them, or leave out --task {task}",
        )
    return found


def task_settings(task: TextTask) -> dict[str, Any]:
    """Settings of domain.yaml that suit a task."""
    settings: dict[str, Any] = {
        "task": task,
        "context": "none",
        "answer": AnswerFileSettings(max_tokens=_ANSWER_TOKENS[task]),
    }
    if task == "classification":
        settings["classification"] = ClassificationSettings()
        settings["train"] = TrainSettings(adapter_rank=8, adapter_learning_rate=2e-3, batch_size=16)
    return settings

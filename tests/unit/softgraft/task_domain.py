"""Small domains of the tasks that are no conversation, made by `softgraft new` on a tiny backbone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from prompts import find_template
from softgraft import Domain, open_domain
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import Task
from tests.support.hashing_encoder import HashingEncoder

# Short, since the tiny tokenizer needs a token for nearly every character.
WORDS = {"card_lost": "ab", "card_fee": "ac", "top_up": "b"}
TEXTS = {"card_lost": "my card is lost", "card_fee": "the card costs what", "top_up": "put money in"}
TRAIN = {
    "kind": "embedding", "length": 8, "adapter": "none", "epochs": 30, "min_steps": 1, "batch_size": 8,
    "learning_rate": 0.3, "warmup_steps": 5, "patience": 30,
}  # fmt: skip


def examples(task: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    """As many examples of a task; of classification as many of each label."""
    if task == "classification":
        numbers = range(first, first + count)
        return [{"text": f"{TEXTS[label]} {number}", "label": label} for label in WORDS for number in numbers]
    given, wanted = ("source", "target") if task == "translation" else ("text", "summary")
    return [{given: f"the fee is {number}", wanted: "12"} for number in range(first, first + count)]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data(folder: Path, task: str) -> Path:
    """A data folder with train and test; dev is cut from train."""
    write_rows(folder / "train.jsonl", examples(task, 4))
    write_rows(folder / "test.jsonl", examples(task, 2, first=1))
    return folder


def make_task_domain(folder: Path, task: Task, backbone: str, **settings: Any) -> Domain:
    """A domain whose model needs no weights of the encoder."""
    create_domain(str(folder), write_data(folder.with_name(f"{folder.name}-data"), task), backbone=backbone, task=task)
    edit_settings(folder, dtype="float32", train=TRAIN, answer={"max_tokens": 4}, **settings)
    if task == "classification":
        (folder / "labels.yaml").write_text(yaml.safe_dump(WORDS), encoding="utf-8")
    template = yaml.safe_load(find_template(task).read_text(encoding="utf-8"))
    template["soft_slots"]["domain"] = "Be brief."
    (folder / "templates").mkdir()
    (folder / "templates" / f"{task}.en.yaml").write_text(yaml.safe_dump(template), encoding="utf-8")
    return reopened(folder)


def edit_settings(folder: Path, **settings: Any) -> None:
    """Change settings of a domain.yaml."""
    path = folder / "domain.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text(encoding="utf-8")), **settings}), encoding="utf-8")


def reopened(folder: Path) -> Domain:
    """The domain as its files stand now."""
    domain = open_domain(folder)
    domain.encoder = HashingEncoder(dimension=256)
    return domain

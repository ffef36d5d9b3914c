"""A new domain from a folder of documents, or from a data folder."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from evaluation.items import Item, read_items
from evaluation.task_items import FIELDS, TEXT_TASKS, TextTask, cut_stratified, read_task_items, task_line
from retrieval.conversion.convert import SUFFIXES
from softgraft.errors import DomainError, UsageError
from softgraft.settings.domain_file import (
    AnswerFileSettings,
    ClassificationSettings,
    DomainFile,
    RetrievalSettings,
    TrainSettings,
    write_domain_file,
)
from softgraft.settings.label_file import labels_of, write_labels
from softgraft.settings.workplace import DOMAINS

DEV_SHARE = 0.15
DEV_MOST = 150
SEED = 0

_NOTE = """What this domain is made of. Edit freely; the README lists every setting.
After a change of `retrieval` run `softgraft ingest`; of `template`, `backbone` or `train`, `softgraft train`."""


Task = Literal["chat", "extractive-qa", "classification", "summarisation", "translation"]


def create_domain(
    name: str,
    source: Path,
    *,
    title: str | None = None,
    language: str = "en",
    backbone: str = "embedded",
    task: Task | None = None,
) -> dict[str, Any]:
    """Make `domains/<name>/` (or the path given as name).

    Args:
        name: name or path of the new folder; it must not exist.
        source: a folder of documents, or a data folder with `docs.jsonl` and perhaps `train.jsonl`, `dev.jsonl` and
            `test.jsonl`. A missing dev set is cut from train, by group or by label, with a fixed seed.
        title: what the domain is called in messages.
        language: of the templates.
        backbone: as in domain.yaml.
        task: what the domain does; None takes `extractive-qa` where the questions have short answers only, else `chat`.
            The others need examples (`evaluation.task_items`) and no documents.

    Returns:
        Folder, number of document files, number of questions a split, template, task, number of labels.

    Raises:
        UsageError: the source has no documents, or no examples of the task; or the name cannot be one.
        DomainError: the domain exists already.
        ItemsError: a question file is malformed.
    """
    folder = Path(name) if "/" in name or os.sep in name else DOMAINS / name
    text_task = task if task in TEXT_TASKS else None
    documents = _documents(source) if text_task is None else _task_documents(source)
    if folder.exists():
        raise DomainError(
            found=f"{folder} exists already",
            expected="a new name",
            next_step=f"choose another name, or work with it: softgraft status {name}",
        )
    # Everything is read before anything is written.
    splits = _questions(source) if text_task is None else task_splits(source, text_task)
    if splits.get("train") and "dev" not in splits:
        cut = cut_stratified if text_task == "classification" else cut_dev
        splits["train"], splits["dev"] = cut(splits["train"])
    if task is None:
        has_responses = any(item.response for items in splits.values() for item in items)
        task = "extractive-qa" if splits and not has_responses else "chat"
    try:
        file = DomainFile(
            name=folder.name,
            title=title or folder.name.replace("-", " ").replace("_", " ").capitalize(),
            language=language,
            backbone=backbone,
            refusal=_refusal(language),
            retrieval=RetrievalSettings(),
            **({"task": task} if text_task is None else task_settings(text_task)),
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['input']!r}" for e in error.errors())
        raise UsageError(
            found=f"a domain cannot have the {problems}",
            expected="a name of letters, digits, - and _, and a language of two letters",
            next_step="choose others: softgraft new NAME --from FOLDER --language en",
        ) from error
    scratch = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    labels = labels_of(splits["train"]) if text_task == "classification" else {}
    try:
        scratch.mkdir(parents=True)
        for path, inside in documents:
            target = scratch / "docs" / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if text_task == "classification":
            write_labels(scratch, labels)
        for split, items in splits.items():
            lines = (_line(item, text_task) + "\n" for item in items)
            (scratch / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        write_domain_file(scratch, file, _NOTE)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "domain": file.name,
        "folder": str(folder),
        "documents": len(documents),
        "questions": {s: len(splits[s]) for s in ("train", "dev", "test") if s in splits},
        "template": file.template,
        "task": file.task,
        "labels": len(labels),
    }


def _line(item: Item, task: TextTask | None) -> str:
    """An example as it stands in a file of its task."""
    return item.model_dump_json(exclude_defaults=True) if task is None else task_line(item, task)


def cut_dev(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split questions into train and dev, no group in both, with a fixed seed. Most questions stay in train."""
    sizes = Counter(item.group or item.doc_id or item.id for item in items)
    groups = sorted(sizes)
    random.Random(SEED).shuffle(groups)
    wanted = min(DEV_MOST, round(DEV_SHARE * len(items)))
    dev: set[str] = set()
    taken = 0
    for group in groups:
        if taken >= wanted:
            break
        if 2 * (taken + sizes[group]) <= len(items):
            dev.add(group)
            taken += sizes[group]
    chosen = [(item.group or item.doc_id or item.id) in dev for item in items]
    return (
        [item for item, held in zip(items, chosen, strict=True) if not held],
        [item for item, held in zip(items, chosen, strict=True) if held],
    )


def _task_documents(source: Path) -> list[tuple[Path, Path]]:
    """Documents beside the examples of a task, which needs none: those in docs/, or a docs.jsonl."""
    if (source / "docs.jsonl").is_file():
        return _documents(source)
    return _documents(source / "docs") if (source / "docs").is_dir() else []


def _documents(source: Path) -> list[tuple[Path, Path]]:
    """Document files and where they go below docs/."""
    if (source / "docs.jsonl").is_file():
        return [(source / "docs.jsonl", Path("docs.jsonl"))]
    questions = {source / f"{split}.jsonl" for split in ("train", "dev", "test")}
    found = [
        (path, path.relative_to(source))
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in SUFFIXES
        and path not in questions
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    if not found:
        raise UsageError(
            found=f"no documents in {source}" if source.is_dir() else f"no folder {source}",
            expected=f"files ending in {', '.join(sorted(SUFFIXES))}, or a docs.jsonl",
            next_step="give the folder that holds them: softgraft new NAME --from FOLDER",
        )
    return found


def _questions(source: Path) -> dict[str, list[Item]]:
    return {s: read_items(p) for s in ("train", "dev", "test") if (p := source / f"{s}.jsonl").is_file()}


def _refusal(language: str) -> str:
    return "抱歉，文档里没有这方面的信息。" if language == "zh" else "I do not have information about that."


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

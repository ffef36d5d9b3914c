"""Create a domain from a folder of documents, or from a data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluation.items import ItemFile, read_item_file
from evaluation.questions.dev_split import cut_dev
from evaluation.rows import SUFFIXES as ROW_SUFFIXES
from evaluation.rows import split_file
from evaluation.task_items import FIELDS, TEXT_TASKS, TextTask, read_task_file, stratified_split, task_line
from retrieval.conversion.convert import SUFFIXES
from retrieval.ingestion.docs_folder import by_suffix, walk_files
from softgraft.assembly.reading import file_texts, reading_notes
from softgraft.errors import DomainError, UsageError
from softgraft.settings.domain_file import DomainFile, Task, TrainSettings, template_languages, write_domain_file
from softgraft.settings.label_file import labels_of, write_labels
from softgraft.settings.location import DOMAINS
from softgraft.settings.sections import AnswerFileSettings, ClassificationSettings

_SPLITS = ("train", "dev", "test")
# Suffixes that are named where there are no documents.
_SUFFIXES_SHOWN = 5
_NOTE = """The settings of this domain. Edit freely; docs/settings.md describes every setting.
After a change of `retrieval`, run `softgraft ingest`; of `template`, `backbone` or `train`, run `softgraft train`."""
_CHINESE_REFUSAL = "抱歉，文档里没有这方面的信息。"
_ANSWER_TOKENS: Mapping[TextTask, int] = {"classification": 16, "summarisation": 96, "translation": 96}


def create_domain(
    name: str,
    source: Path,
    *,
    title: str | None = None,
    language: str = "en",
    backbone: str = "embedded",
    task: Task | None = None,
) -> dict[str, Any]:
    """Create `domains/<name>/`, or the folder at the path `name`.

    Args:
        name: name or path of the new folder, which must not exist.
        source: a folder of documents, or a data folder with `docs.jsonl` and optionally `train.jsonl`, `dev.jsonl` and
            `test.jsonl`, or the same as CSV. A missing dev set is split from train, by group or by label, with a fixed
            seed.
        title, language, backbone: as in domain.yaml.
        task: task of the domain. None is `extractive-qa` if no question has a `response`, else `chat`. The other tasks
            need examples (`evaluation.task_items`) and no documents.

    Returns:
        Folder, number of document files, number of questions per split, template, task, number of labels, the columns
        of each question file that nothing uses, notes on the language of the documents (`reading`), the names of files
        that were `left_out`, with the reason, and the number of files `skipped` for each unsupported suffix.

    Raises:
        UsageError: if the source has no documents, or no examples of the task, or the name or language is invalid.
        DomainError: if the domain already exists.
    """
    if not Path(name).name:
        raise UsageError(
            found=f"the name {name!r}",
            expected="a name of letters, digits, - and _",
            next_step="choose one: softgraft new NAME --from FOLDER",
        )
    folder = Path(name) if "/" in name or os.sep in name else DOMAINS / name
    text_task = task if task in TEXT_TASKS else None
    documents, left_out, skipped = _documents(source, required=text_task is None)
    if folder.exists():
        raise DomainError(
            found=f"{folder} already exists",
            expected="a new name",
            next_step=f"choose another name, or use the domain: softgraft status {name}",
        )
    files = _read_splits(source, text_task)
    splits = {split: list(file.items) for split, file in files.items()}
    if splits.get("train") and "dev" not in splits:
        train, dev = (stratified_split if text_task == "classification" else cut_dev)(splits["train"])
        # Of very few questions none is cut; a file without questions would keep a later run from cutting some.
        if dev:
            splits |= {"train": train, "dev": dev}
    if task is None:
        has_responses = any(item.response for items in splits.values() for item in items)
        task = "extractive-qa" if splits and not has_responses else "chat"
    file = _settings(folder.name, title, language, backbone, task, text_task)
    labels = labels_of(splits["train"]) if text_task == "classification" else {}
    # Renamed when it is complete, so that an interruption leaves no half domain.
    scratch = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        for path, target in documents:
            (scratch / "docs" / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, scratch / "docs" / target)
        if labels:
            write_labels(scratch, labels)
        for split, items in splits.items():
            lines = [
                task_line(item, text_task) if text_task else item.model_dump_json(exclude_defaults=True)
                for item in items
            ]
            (scratch / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        write_domain_file(scratch, file, _NOTE)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "domain": file.name,
        "folder": str(folder),
        "documents": len(documents),
        "questions": {split: len(splits[split]) for split in _SPLITS if split in splits},
        "template": file.template,
        "task": file.task,
        "labels": len(labels),
        "ignored_columns": {
            files[split].path.name: list(files[split].ignored) for split in files if files[split].ignored
        },
        "reading": reading_notes(file, file_texts(path for path, _ in documents)),
        "left_out": left_out,
        "skipped": skipped,
    }


def _settings(
    name: str, title: str | None, language: str, backbone: str, task: Task, text_task: TextTask | None
) -> DomainFile:
    if language not in (languages := template_languages()):
        raise UsageError(
            found=f"no templates in the language {language!r}",
            expected=f"one of {', '.join(languages)}",
            next_step="leave out --language, since `en` works for documents in other languages too; or write "
            f"templates/rag-chat.{language}.yaml into the new domain and change `language:` in its domain.yaml",
        )
    settings: dict[str, Any] = {"task": task}
    if text_task is not None:
        settings["context"] = "none"
        settings["answer"] = AnswerFileSettings(max_tokens=_ANSWER_TOKENS[text_task])
    if text_task == "classification":
        settings["classification"] = ClassificationSettings()
        settings["train"] = TrainSettings(adapter_rank=8, adapter_learning_rate=2e-3, batch_size=16)
    if language == "zh":
        settings["refusal"] = _CHINESE_REFUSAL
    title = title or name.replace("-", " ").replace("_", " ").capitalize()
    try:
        return DomainFile(name=name, title=title, language=language, backbone=backbone, **settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['input']!r}" for e in error.errors())
        raise UsageError(
            found=f"invalid {problems}",
            expected="a name of letters, digits, - and _",
            next_step="choose others: softgraft new NAME --from FOLDER",
        ) from error


def _documents(
    source: Path, *, required: bool
) -> tuple[list[tuple[Path, Path]], list[tuple[str, str]], dict[str, int]]:
    """Document files and their targets below docs/, names left out with the reason, and skipped files by suffix.

    Skipped are files with an unsupported suffix. Without `required`, only docs.jsonl and docs/ count.
    """
    if _is_own_file(source / "docs.jsonl"):
        return [(source / "docs.jsonl", Path("docs.jsonl"))], [], {}
    folder = source if required else source / "docs"
    question_files = {source / f"{split}{suffix}" for split in _SPLITS for suffix in ROW_SUFFIXES}
    walked = walk_files(folder)
    documents = [(path, path.relative_to(folder)) for path in walked.files if path not in question_files]
    skipped = by_suffix(walked.skipped)
    if not documents and (required or folder.is_dir()):
        reasons = "; ".join(reason for _, reason in walked.failed)
        others = [suffix or "no suffix" for suffix in skipped]
        some = f", only files with {', '.join(others[:_SUFFIXES_SHOWN])}" if others else ""
        raise UsageError(
            found=reasons or (f"no documents in {folder}{some}" if folder.is_dir() else f"no folder {folder}"),
            expected=f"files ending in {', '.join(sorted(SUFFIXES))}, or a docs.jsonl",
            next_step="give the folder that holds them: softgraft new NAME --from FOLDER",
        )
    return documents, walked.failed, skipped


def _is_own_file(path: Path) -> bool:
    """Whether a data file exists. Raises UsageError if it is a link that leaves its folder."""
    if not path.is_file():
        return False
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise UsageError(
            found=f"{path} links to a place outside its folder",
            expected="the file itself, since a link may lead to any file of this machine",
            next_step="copy what it links to in its place: cp -L",
        )
    return True


def _read_splits(source: Path, task: TextTask | None) -> dict[str, ItemFile]:
    """Questions, or examples of a task, by split."""
    files = {
        split: read_item_file(path) if task is None else read_task_file(path, task)
        for split in _SPLITS
        if _is_own_file(path := split_file(source, split))
    }
    if task is not None and not ("train" in files and files["train"].items):
        text, target = FIELDS[task]
        raise UsageError(
            found=f"no examples of the task {task} in {source / 'train.jsonl'}",
            expected=f'lines such as {{"{text}": ..., "{target}": ...}}',
            next_step=f"write them, or leave out --task {task}",
        )
    return files

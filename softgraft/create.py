"""A new domain from a folder of documents, or from a data folder."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluation import Item, read_items
from retrieval.convert import SUFFIXES
from softgraft.domain_file import DomainFile, RetrievalSettings, write_domain_file
from softgraft.errors import DomainError, UsageError
from softgraft.resolve import DOMAINS

DEV_SHARE = 0.15
DEV_MOST = 150
SEED = 0

_NOTE = """What this domain is made of. Edit freely; the README lists every setting.
After a change of `retrieval` run `softgraft ingest`; of `template`, `backbone` or `train`, `softgraft train`."""


def create_domain(
    name: str, source: Path, *, title: str | None = None, language: str = "en", backbone: str = "embedded"
) -> dict[str, Any]:
    """Make `domains/<name>/` (or the path given as name).

    Args:
        name: name or path of the new folder; it must not exist.
        source: a folder of documents, or a data folder with `docs.jsonl` and perhaps `train.jsonl`, `dev.jsonl` and
            `test.jsonl`. A missing dev set is cut from train, by group, with a fixed seed.
        title: what the domain is called in messages.
        language: of the templates.
        backbone: as in domain.yaml.

    Returns:
        Folder, number of document files, number of questions a split.

    Raises:
        UsageError: the source has no documents, or the name cannot be one.
        DomainError: the domain exists already.
        ItemsError: a question file is malformed.
    """
    folder = Path(name) if "/" in name or os.sep in name else DOMAINS / name
    documents = _documents(source)
    if folder.exists():
        raise DomainError(
            found=f"{folder} exists already",
            expected="a new name",
            next_step=f"choose another name, or work with it: softgraft status {name}",
        )
    # Everything is read before anything is written.
    splits = _questions(source)
    has_responses = any(item.response for items in splits.values() for item in items)
    extractive = bool(splits) and not has_responses
    try:
        file = DomainFile(
            name=folder.name,
            title=title or folder.name.replace("-", " ").replace("_", " ").capitalize(),
            language=language,
            backbone=backbone,
            template="extractive-qa" if extractive else "rag-chat",
            refusal=_refusal(language),
            retrieval=RetrievalSettings(),
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
    try:
        for path, inside in documents:
            target = scratch / "docs" / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for split, items in splits.items():
            lines = (item.model_dump_json(exclude_defaults=True) + "\n" for item in items)
            (scratch / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        write_domain_file(scratch, file, _NOTE)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "domain": file.name,
        "folder": str(folder),
        "documents": len(documents),
        "questions": {split: len(items) for split, items in splits.items()},
        "template": file.template,
    }


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
    splits = {s: read_items(p) for s in ("train", "dev", "test") if (p := source / f"{s}.jsonl").is_file()}
    if splits.get("train") and "dev" not in splits:
        splits["train"], splits["dev"] = cut_dev(splits["train"])
    return splits


def _refusal(language: str) -> str:
    return "抱歉，文档里没有这方面的信息。" if language == "zh" else "I do not have information about that."

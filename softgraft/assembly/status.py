"""What a domain has and what it lacks, read from its files; no model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation import Item, read_items
from evaluation.task_items import read_task_items
from retrieval import PassageStore
from retrieval.store.store import DATABASE_NAME
from soft_prompt.artifact.manifest import read_manifest
from softgraft.settings.domain_file import DomainFile


def domain_status(
    folder: Path, build: Path, file: DomainFile, typed: str, notices: Callable[[], list[str]]
) -> dict[str, Any]:
    """Plain data: documents, questions, index, soft prompt, last evaluation, and the next command to run."""
    questions = {
        s: len(_read(path, file)) for s in ("train", "dev", "test") if (path := folder / f"{s}.jsonl").is_file()
    }
    index = _index(build)
    manifest = read_manifest(build / "soft_prompt")
    report = build / "reports" / "eval-test.json"
    status = {
        "domain": file.name,
        "title": file.title,
        "folder": str(folder),
        "backbone": file.backbone,
        "task": file.task,
        "template": file.template,
        "attention": file.attention,
        "questions": questions,
        "index": index,
        "evidence_score": (build / "evidence.json").is_file(),
        "soft_prompt": None
        if manifest is None
        else {
            "kind": manifest.kind,
            "length": manifest.length,
            "adapter": manifest.adapter_form,
            "adapter_rank": manifest.adapter_rank,
            "layers": manifest.layers,
            "attention": manifest.attention,
            "backbone": manifest.backbone,
            "dev_token_f1": manifest.scores.dev_token_f1,
            "dev_token_f1_text_twin": manifest.scores.dev_token_f1_text_twin,
        },
        "unfinished_training": (build / "checkpoint" / "checkpoint.safetensors").is_file(),
        "notices": notices() if manifest is not None else [],
        "evaluation": _rows(report),
    }
    status["next"] = _next(
        typed,
        index is not None or not needs_index(file),
        manifest is not None,
        bool(questions.get("train")),
        report,
        file,
    )
    return status


def _read(path: Path, file: DomainFile) -> list[Item]:
    return read_items(path) if file.text_task is None else read_task_items(path, file.text_task)


def _index(build: Path) -> dict[str, int] | None:
    path = build / "index" / DATABASE_NAME
    if not path.is_file():
        return None
    with PassageStore.open(path) as store:
        documents, passages = store.counts()
    return {"documents": documents, "passages": passages}


def _rows(report: Path) -> list[dict[str, Any]] | None:
    if not report.is_file():
        return None
    try:
        rows = json.loads(report.read_text(encoding="utf-8"))["rows"]
        return [{"system": r["system"], **_main_score(r)} for r in rows]
    except (ValueError, KeyError, TypeError):
        # A report is only a record; a damaged one is written again by the next evaluation.
        return None


def needs_index(file: DomainFile) -> bool:
    """Whether the domain looks anything up in its documents."""
    return file.text_task is None or file.context == "documents"


def _main_score(row: dict[str, Any]) -> dict[str, float | None]:
    """The score that a row is known by: token F1, or the first of a task's own."""
    if "scores" in row:
        name, found = next(iter(row["scores"].items()))
        return {name: found["mean"]}
    return {"token_f1": (row["token_f1"] or {}).get("mean")}


def _next(name: str, ingested: bool, trained: bool, questions: bool, report: Path, file: DomainFile) -> str:
    if not ingested:
        return f"softgraft ingest {name}"
    if not trained and questions:
        return f"softgraft train {name}"
    if questions and not report.is_file():
        return f"softgraft eval {name}"
    return f"softgraft chat {name}" if file.text_task is None else f'softgraft ask {name} "..."'

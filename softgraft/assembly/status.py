"""What a domain has and what it lacks, read from its files without loading a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation import read_items
from evaluation.rows import split_file
from evaluation.task_items import read_task_items
from retrieval import PassageStore, load_scale
from retrieval.conversion.ocr.recognition import is_recognised
from retrieval.store.store import DATABASE_NAME
from soft_prompt.artifact.manifest import Manifest, read_manifest
from softgraft.assembly.answer_form import answer_form
from softgraft.assembly.reading import reading_notes, sampled_texts
from softgraft.settings.domain_file import EVIDENCE, TRAIN_LOG, DomainFile
from softgraft.sources.shelf import Source
from softgraft.sources.start import TEXT_TWIN
from softgraft.training.retrieval_fit import search_weights


def domain_status(
    folder: Path,
    build: Path,
    file: DomainFile,
    cli_name: str,
    notices: Callable[[], list[str]],
    start: Callable[[], Source | None],
) -> dict[str, Any]:
    """Plain data: documents, questions, index, soft prompt, last evaluation, notes, and the next command to run.

    `start` returns the source graft that the domain starts from.
    """
    paths = {split: split_file(folder, split) for split in ("train", "dev", "test")}
    questions = {
        split: len(read_items(path) if file.text_task is None else read_task_items(path, file.text_task))
        for split, path in paths.items()
        if path.is_file()
    }
    index = _index(build)
    manifest = read_manifest(build / "soft_prompt")
    unfinished = (build / "checkpoint" / "checkpoint.safetensors").is_file()
    report = build / "reports" / "eval-test.json"
    needs_index = file.text_task is None or file.context == "documents"
    if index is None and needs_index:
        next_command = f"softgraft ingest {cli_name}"
    elif manifest is None and questions.get("train"):
        next_command = f"softgraft train {cli_name}"
    elif questions.get("train") and not report.is_file():
        next_command = f"softgraft eval {cli_name}"
    else:
        next_command = f"softgraft chat {cli_name}" if file.text_task is None else f'softgraft ask {cli_name} "..."'
    return {
        "domain": file.name,
        "title": file.title,
        "folder": str(folder),
        "backbone": file.backbone,
        "task": file.task,
        "template": file.template,
        "attention": file.attention,
        "questions": questions,
        "index": index,
        "evidence_score": _evidence_scale(build),
        "soft_prompt": _soft_prompt(manifest, file.name) if manifest else None,
        "start": _start(start()) if file.text_task is None else None,
        "answer_form": answer_form(file, build) if file.text_task is None else None,
        "nothing_kept": manifest is None and not unfinished and (build / TRAIN_LOG).is_file(),
        "unfinished_training": unfinished,
        "notices": notices() if manifest else [],
        "reading": _reading(build, file),
        "evaluation": _main_scores(report),
        "next": next_command,
        "better": _better(cli_name) if index and file.text_task is None and not questions.get("train") else None,
    }


def _better(cli_name: str) -> str:
    return f"for better answers, write training questions: softgraft questions {cli_name} draft"


def _index(build: Path) -> dict[str, Any] | None:
    """The numbers of documents and passages, and the files with pages that text recognition (OCR) read."""
    path = build / "index" / DATABASE_NAME
    if not path.is_file():
        return None
    with PassageStore.open(path) as store:
        documents, passages = store.counts()
        recognised = sorted(one.source for one in store.stored_documents().values() if is_recognised(one.converter))
    return {"documents": documents, "passages": passages, "ocr": recognised}


def _reading(build: Path, file: DomainFile) -> list[str]:
    """What the models cannot read of the documents."""
    path = build / "index" / DATABASE_NAME
    if not (texts := sampled_texts(path)):
        return []
    with PassageStore.open(path) as store:
        encoder = store.binding.encoder_id
    return reading_notes(file, texts, encoder=encoder, dense=search_weights(file, build)[0] > 0)


def _evidence_scale(build: Path) -> dict[str, Any]:
    """Which evidence scale is in use, and the number of the domain's questions that it was fitted on."""
    scale = load_scale(build / EVIDENCE)
    return {"scale": "default", "questions": 0} if scale is None else {"scale": "own", "questions": scale.questions}


def _soft_prompt(manifest: Manifest, domain: str) -> dict[str, Any]:
    trained_on = [one.domain for one in manifest.trained_on]
    return {
        "trained_on": trained_on,
        # A soft prompt that was copied from elsewhere: its scores are those of its own domain.
        "of_another_domain": bool(trained_on) and domain not in trained_on,
        "start": manifest.start,
        "kind": manifest.kind,
        "length": manifest.length,
        "adapter": manifest.adapter_method,
        "adapter_rank": manifest.adapter_rank,
        "layers": manifest.layers,
        "attention": manifest.attention,
        "backbone": manifest.backbone,
        "dev_token_f1": manifest.scores.dev_token_f1,
        "dev_token_f1_text_twin": manifest.scores.dev_token_f1_text_twin,
    }


def _start(source: Source | None) -> dict[str, Any]:
    """The source graft that the domain starts from, with what it was trained on and its gain on unseen domains."""
    if source is None:
        return {"name": TEXT_TWIN, "trained_on": [], "licences": "", "gain": None, "unseen": 0}
    card = source.card
    return {
        "name": card.name,
        "trained_on": [one.name for one in card.domains],
        "licences": card.licences,
        "gain": None if card.gain is None else round(card.gain, 4),
        "unseen": len(card.unseen),
    }


def _main_scores(report: Path) -> list[dict[str, Any]] | None:
    """The main score of each system: token F1, or the first score of a task; None without a readable report."""
    if not report.is_file():
        return None
    scores = []
    try:
        for row in json.loads(report.read_text(encoding="utf-8"))["rows"]:
            name, estimate = next(iter(row["scores"].items())) if "scores" in row else ("token_f1", row["token_f1"])
            scores.append({"system": row["system"], name: (estimate or {}).get("mean")})
    except (ValueError, KeyError, TypeError):
        # The next evaluation writes a damaged report again.
        return None
    return scores

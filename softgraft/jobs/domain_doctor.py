"""What a domain looks like, and how to fix what is wrong. Loads no model."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from evaluation import read_items
from evaluation.rows import split_file
from evaluation.task_items import read_task_items
from retrieval import PassageStore
from retrieval.store.store import DATABASE_NAME
from soft_prompt.artifact.manifest import read_manifest
from soft_prompt.model.backbone import fast_dtype
from soft_prompt.model.device import require_device
from soft_prompt.model.weights import EMBEDDED, GGUF_SHA256, weights_digest
from softgraft.jobs.findings import Finding, examined, folder_bytes, gibibytes
from softgraft.settings import location
from softgraft.settings.domain_file import DomainFile, read_domain_file


def examine_domain(folder: Path) -> list[Finding]:
    """What was found in a domain's folder, beginning with its domain.yaml, without which nothing else is looked at."""
    settings = examined("domain.yaml", partial(_settings, folder))
    if settings.state == "broken":
        return [settings]
    file, build, name = read_domain_file(folder), folder / "build", location.cli_name(folder)
    findings = [settings]
    if not file.behind_api:
        findings += [
            examined("domain device", partial(_device, file)),
            examined("domain backbone", partial(_backbone, file)),
        ]
    looks = {
        "questions": partial(_questions, folder, file),
        "index": partial(_index, build, file, name),
        "soft prompt": partial(_soft_prompt, build, file, name),
    }
    findings += [examined(what, look) for what, look in looks.items()]
    size = gibibytes(folder_bytes(build)) if build.is_dir() else "nothing yet"
    free = gibibytes(shutil.disk_usage(folder).free)
    return [*findings, Finding("build", f"{build}: {size}; {free} free")]


def _settings(folder: Path) -> Finding:
    file = read_domain_file(folder)
    return Finding("domain.yaml", f"{folder / 'domain.yaml'}, task {file.task}, backbone {file.backbone}")


def _device(file: DomainFile) -> Finding:
    device = require_device(file.device)
    dtype = str(fast_dtype(device)).removeprefix("torch.") if file.dtype == "auto" else file.dtype
    return Finding("domain device", f"{device}, {dtype} (`dtype: {file.dtype}`)")


def _backbone(file: DomainFile) -> Finding:
    if file.backbone == EMBEDDED:
        return Finding("domain backbone", "embedded")
    folder = Path(file.backbone).expanduser()
    if folder.is_dir():
        return Finding("domain backbone", f"{folder}, sha256 {weights_digest(folder)[:16]}")
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(file.backbone, "config.json")
    except HFValidationError:
        fix = "check `backbone:` in domain.yaml"
        return Finding("domain backbone", f"no folder and no model id: {file.backbone}", "broken", fix)
    if not isinstance(cached, str):
        return Finding("domain backbone", f"{file.backbone}, not downloaded yet", "note", "the first use downloads it")
    return Finding("domain backbone", f"{file.backbone}, in {Path(cached).parent}")


def _questions(folder: Path, file: DomainFile) -> Finding:
    paths = [path for split in ("train", "dev", "test") if (path := split_file(folder, split)).is_file()]
    counts = {
        path.stem: len(read_items(path) if file.text_task is None else read_task_items(path, file.text_task))
        for path in paths
    }
    return Finding("questions", ", ".join(f"{count} {split}" for split, count in counts.items()) or "none")


def _index(build: Path, file: DomainFile, name: str) -> Finding:
    path = build / "index" / DATABASE_NAME
    if not path.is_file():
        needed = file.text_task is None or file.context == "documents"
        return Finding("index", "none", "note" if needed else "ok", f"softgraft ingest {name}" if needed else None)
    with PassageStore.open(path) as store:
        documents, passages = store.counts()
        encoder = store.binding.encoder_id
    return Finding("index", f"{documents} documents, {passages} passages, by the encoder {encoder[:60]}")


def _soft_prompt(build: Path, file: DomainFile, name: str) -> Finding:
    manifest = read_manifest(build / "soft_prompt")
    if manifest is None:
        return Finding("soft prompt", "none; the text twin is used")
    value = f"{manifest.kind}, {manifest.length} positions, trained on {manifest.backbone}"
    digest = GGUF_SHA256 if file.backbone == EMBEDDED else None
    if Path(file.backbone).expanduser().is_dir():
        digest = weights_digest(Path(file.backbone).expanduser())
    if not file.behind_api and digest not in (None, manifest.backbone_digest):
        value += f", and the backbone is now {file.backbone}"
        return Finding("soft prompt", value, "broken", f"softgraft train {name}, or set `backbone:` back")
    return Finding("soft prompt", value)

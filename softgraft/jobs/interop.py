"""Export of grafts to other programs, and import of PEFT adapters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from soft_prompt import (
    ArtifactError,
    Backbone,
    DevScores,
    TrainingError,
    save_soft_prompt,
)
from soft_prompt.artifact.manifest import make_manifest
from soft_prompt.interop.extended_vocabulary import HfGraft
from soft_prompt.interop.gguf_export import export_gguf
from soft_prompt.interop.hf_export import export_hf
from soft_prompt.interop.invocation import invocation_ids, invoked_at_slot, slot_ids
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.interop.peft_folder import IMPORT_ANOTHER, LORA, PeftFolder, read_peft_folder
from soft_prompt.interop.peft_import import import_peft
from soft_prompt.training.distributed import init_distributed
from softgraft.assembly.answers import load_at_strength, sample_prompts
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.training.grafting import mean_loss
from softgraft.training.task import OnScore

ExportFormat = Literal["peft", "hf", "gguf"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written. `method` is the format's name for it; `notes` say how answers elsewhere may differ."""

    domains: list[str]
    format: str
    method: str
    folder: str
    files: list[str]
    size: int
    notes: list[str]
    next: list[str]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an imported adapter scored on dev, and whether the domain uses it from now on.

    Losses are in nats per answer token. `notes` say how its place in the prompt differs from training.
    """

    domain: str
    kept: bool
    method: str
    kind: str
    length: int
    adapter_rank: int
    dev_questions: int
    dev_f1: float
    dev_f1_text_twin: float
    dev_loss: float
    dev_loss_text_twin: float
    notes: list[str]
    folder: str


# Name of the method, notes, and the next commands.
Written = tuple[str, list[str], list[str]]


def export_grafts(domains: Sequence[Domain], format: ExportFormat, folder: Path) -> ExportReport:
    """Write the grafts of domains in a format that other programs load.

    Raises:
        UsageError: if a domain has no graft, or if the format cannot hold that many domains.
        ArtifactError: if the format cannot give the same logits, or if the folder cannot be written.
    """
    method, notes, commands = _WRITERS[format](domains, folder)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
    return ExportReport(
        domains=[domain.file.name for domain in domains],
        format=format,
        method=method,
        folder=str(folder),
        files=[path.name for path in files],
        size=sum(path.stat().st_size for path in files),
        notes=notes,
        next=commands,
    )


def _write_peft(domains: Sequence[Domain], folder: Path) -> Written:
    if len(domains) != 1:
        raise UsageError(
            found=f"{len(domains)} domains for one PEFT adapter",
            expected="one domain, since a PEFT adapter holds one graft",
            next_step=f"softgraft export {domains[0].cli_name} --format peft --out {folder}",
        )
    backbone, grafts = _load_grafts(domains)
    [domain], [graft] = domains, grafts.values()
    soft_prompt, template, manifest = graft.soft_prompt, graft.template, graft.manifest
    slot = soft_prompt.slot
    notes = [] if manifest and template.content_hash == manifest.template_hash else domain.notices()
    notes += _strength_notes(domains)
    ids = None
    if soft_prompt.adapter is None:
        notes.append(
            f"PEFT puts the soft prompt at the start of the prompt; the template {template.name!r} has it in the slot "
            f"{slot!r}, where the dev scores were measured"
        )
    elif (within := slot_ids(backbone, soft_prompt)) is not None:
        first, second, with_history = sample_prompts(template)
        ids = invocation_ids(backbone, [first, second], slot, within)
        if not invoked_at_slot(backbone, with_history, slot, ids, within):
            notes.append(
                "in a conversation with earlier turns the invocation tokens occur again later, and PEFT activates the "
                "adapter there: pass `alora_offsets=[tokens from the slot to the end]` to the model for those"
            )
    method = export_peft(folder, soft_prompt, backbone, invocation_ids=ids, manifest=manifest)
    return method, notes, [f'peft.PeftModel.from_pretrained(model, "{folder}")']


def _write_hf(domains: Sequence[Domain], folder: Path) -> Written:
    backbone, grafts = _load_grafts(domains)
    export = export_hf(folder, backbone, grafts)
    notes = _strength_notes(domains)
    if not export.same_ids:
        notes.append(
            "the tokenizer splits some texts of a chat request differently from training: send token ids instead"
        )
    choice = "" if len(grafts) == 1 else f"; the chat template's variable `domain` selects {' or '.join(grafts)}"
    return f"checkpoint with {_count(export.tokens)} new tokens{choice}", notes, [f"vllm serve {folder}"]


def _write_gguf(domains: Sequence[Domain], file: Path) -> Written:
    backbone, grafts = _load_grafts(domains)
    tokens = export_gguf(file, backbone, grafts)
    notes = [
        *_strength_notes(domains),
        "llama.cpp splits the texts of a chat request by its own rules: send token ids for the same answers",
    ]
    return f"GGUF file with {_count(tokens)} new tokens", notes, [f"llama-server -m {file} --jinja"]


_WRITERS: dict[ExportFormat, Callable[[Sequence[Domain], Path], Written]] = {
    "peft": _write_peft,
    "hf": _write_hf,
    "gguf": _write_gguf,
}


def _strength_notes(domains: Sequence[Domain]) -> list[str]:
    return [
        f"{domain.file.name} is exported at a strength of {domain.file.answer.strength:g}, as it answers here"
        for domain in domains
        if domain.file.answer.strength != 1
    ]


def _count(tokens: Mapping[str, range]) -> int:
    return sum(map(len, tokens.values()))


def _load_grafts(domains: Sequence[Domain]) -> tuple[Backbone, dict[str, HfGraft]]:
    """The grafts of domains on the backbone of the first; loading refuses a graft of another backbone."""
    backbone = domains[0].store.backbone
    grafts: dict[str, HfGraft] = {}
    for domain in domains:
        if domain.file.name in grafts:
            raise UsageError(
                found=f"two domains with the name {domain.file.name!r}",
                expected="different names, since a request selects a domain by name",
                next_step="name each domain once, or change `name:` in one domain.yaml",
            )
        template, strength = domain.template.current(), domain.file.answer.strength
        soft_prompt, manifest = load_at_strength(
            domain.build / "soft_prompt", domains[0].store, domain.cli_name, template, strength
        )
        grafts[domain.file.name] = HfGraft(soft_prompt, template, manifest)
    return backbone, grafts


def import_graft(domain: Domain, folder: Path, *, keep: bool = False, on_score: OnScore | None = None) -> ImportReport:
    """Load a PEFT adapter into a domain's soft slot and measure it on dev. Keep it if it beats the text twin, or if
    `keep` is true.

    Raises:
        ArtifactError: if the adapter is damaged, of another backbone, or of an unsupported method, or if the model does
            not compute finite numbers with it. The previous soft prompt stays, also if `keep` is true.
        TrainingError: if there is no slot to fill, or no dev question to measure on.
    """
    store, template = domain.store, domain.template.current()
    slots = sorted(template.soft_slots)
    if len(slots) != 1:
        raise TrainingError(
            found=f"{len(slots)} soft slots in the template {template.name!r}",
            expected="one soft slot, for the adapter to fill",
            next_step="put one slot under `soft_slots:` in the template",
        )
    [slot], twin = slots, template.text_twin(slots[0])
    adapter = read_peft_folder(folder)
    soft_prompt = import_peft(folder, store.backbone, slot, twin)
    grafting = domain.grafting()
    dev = grafting.training_set((), domain.items("dev")).dev
    if not dev:
        raise TrainingError(
            found=f"no question to measure on in {domain.folder / 'dev.jsonl'}",
            expected="questions in dev.jsonl that the documents answer",
            next_step="write some to dev.jsonl",
        )
    loss, twin_loss = (
        mean_loss(domain.store, dev, slot, fill, domain.file.attention, domain.file.train.batch_size)
        for fill in (soft_prompt, twin)
    )
    if not math.isfinite(loss):
        raise ArtifactError(
            found=f"the adapter in {folder} makes the loss on dev {loss}",
            expected="an adapter with which the model computes finite numbers; the domain stays as it was",
            next_step=IMPORT_ANOTHER,
        )
    report, distributed = on_score or (lambda *_: None), init_distributed(store.backbone.device)
    imported = grafting.scores(dev, soft_prompt, "imported", report, distributed)
    of_twin = grafting.scores(dev, twin, "text-twin", report, distributed)
    score, f1, twin_score, twin_f1 = imported.score, imported.f1, of_twin.score, of_twin.f1
    kept = keep or score > twin_score
    target = domain.build / "soft_prompt"
    if kept:
        scores = DevScores(dev_loss=loss, dev_loss_text_twin=twin_loss, dev_token_f1=f1, dev_token_f1_text_twin=twin_f1)
        history = {"attention": domain.file.attention, "scores": scores, **_training_history(adapter)}
        manifest = make_manifest(soft_prompt, store.backbone, template, **history)
        save_soft_prompt(target, soft_prompt, manifest, template.text)
        domain.forget("chain", "work")
    return ImportReport(
        domain=domain.file.name,
        kept=kept,
        method=adapter.method,
        kind=soft_prompt.kind,
        length=soft_prompt.length,
        adapter_rank=soft_prompt.adapter.rank if soft_prompt.adapter else 0,
        dev_questions=len(dev),
        dev_f1=f1,
        dev_f1_text_twin=twin_f1,
        dev_loss=loss,
        dev_loss_text_twin=twin_loss,
        notes=_placement_notes(adapter, slot),
        folder=str(target),
    )


def _placement_notes(adapter: PeftFolder, slot: str) -> list[str]:
    if adapter.provenance is not None:
        return []
    if adapter.method != LORA:
        return [f"PEFT trained it at the start of the prompt; here it fills the slot {slot!r}"]
    if adapter.config.get("alora_invocation_tokens"):
        return [f"PEFT trained it to act from its invocation tokens on; here it acts from the slot {slot!r} on"]
    return [f"PEFT trained it to act on every token; here it acts from the slot {slot!r} on"]


def _training_history(adapter: PeftFolder) -> dict[str, Any]:
    """How an imported graft was trained, which is known only if it was exported from here."""
    if adapter.provenance is not None and adapter.provenance.manifest is not None:
        return adapter.provenance.manifest.model_dump(include={"objective", "seed", "data_hash", "train"})
    version = adapter.config.get("peft_version")
    train = {"peft_version": version if isinstance(version, str) else None}
    return {"objective": f"unknown, imported from PEFT ({adapter.method})", "seed": 0, "data_hash": "", "train": train}

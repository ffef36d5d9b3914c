"""A domain's graft taken elsewhere, and one from elsewhere taken in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prompts import Template
from soft_prompt import Backbone, Manifest, Scores, SlotFill, SoftPrompt, TrainingError, encode_prompt, save_soft_prompt
from soft_prompt.artifact.manifest import manifest_of
from soft_prompt.interop.gguf_export import export_gguf
from soft_prompt.interop.hf_export import HfGraft, export_hf
from soft_prompt.interop.invocation import invocation_ids, invoked_at_slot, slot_ids
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.interop.peft_folder import LORA, PeftFolder, read_peft_folder
from soft_prompt.interop.peft_import import import_peft
from soft_prompt.training.answer_loss import mean_answer_loss
from soft_prompt.training.devices import joined
from soft_prompt.training.example import Example
from softgraft.assembly.answers import answered_prompt
from softgraft.assembly.sample_prompts import sample_prompts
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.training.grafting import OnScore, Told

ExportFormat = Literal["peft", "hf", "gguf"]
Written = tuple[str, list[str], list[str]]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    `method` is what the format calls it; `notes` say where answers elsewhere may differ from those here; `size` is in
    bytes; `next` is what to type to use it.
    """

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
    """What an adapter came to on dev, and whether it is used from now on.

    F1 is token F1 on dev, losses are nats an answer token; `notes` say in what it stands otherwise here than where it
    was trained.
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


def export_grafts(domains: Sequence[Domain], way: ExportFormat, folder: Path) -> ExportReport:
    """Write the kept grafts of domains in a form that other programs load.

    Raises:
        UsageError: nothing was kept, or the format does not hold so many domains.
        ArtifactError: the format cannot give the same logits, or the folder cannot be written.
    """
    method, notes, tell = _WRITERS[way](domains, folder)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
    return ExportReport(
        domains=[domain.file.name for domain in domains],
        format=way,
        method=method,
        folder=str(folder),
        files=[path.name for path in files],
        size=sum(path.stat().st_size for path in files),
        notes=notes,
        next=tell,
    )


def _write_peft(domains: Sequence[Domain], folder: Path) -> Written:
    if len(domains) != 1:
        raise UsageError(
            found=f"{len(domains)} domains for one adapter of PEFT",
            expected="one domain, since an adapter of PEFT holds one graft",
            next_step=f"softgraft export {domains[0].typed} --format peft --out {folder}",
        )
    domain = domains[0]
    backbone, strength = domain.store.backbone, domain.file.answer.strength
    template = domain.template.current()
    soft_prompt, manifest = answered_prompt(domain.build, domain.store, domain.typed, template, strength)
    slot = soft_prompt.slot
    notes = [] if template.content_hash == manifest.template_hash else domain.notices()
    notes += _at_strength([domain])
    ids = None
    if soft_prompt.adapter is None:
        notes.append(
            f"PEFT puts the soft prompt before everything, where the template {template.name!r} has it in its slot "
            f"{slot!r}: the scores on dev were measured there"
        )
    elif (within := slot_ids(backbone, soft_prompt)) is not None:
        first, other, later = sample_prompts(template)
        ids = invocation_ids(backbone, [first, other], slot, within)
        if not invoked_at_slot(backbone, later, slot, ids, within):
            notes.append(
                "in a conversation with earlier turns the invocation tokens stand again later, and PEFT switches on "
                "there: give `alora_offsets=[tokens from the slot to the end]` to the model for those"
            )
    method = export_peft(folder, soft_prompt, backbone, invocation_ids=ids, manifest=manifest)
    return method, notes, [f'peft.PeftModel.from_pretrained(model, "{folder}")']


def _write_hf(domains: Sequence[Domain], folder: Path) -> Written:
    backbone, grafts = _together(domains)
    written = export_hf(folder, backbone, grafts)
    notes = _at_strength(domains)
    if not written.same_ids:
        notes.append(
            "the tokenizer cuts some texts of a chat request otherwise than they were trained with: send token ids"
        )
    called = "" if len(grafts) == 1 else f"; the chat template's variable `domain` chooses {' or '.join(grafts)}"
    return f"checkpoint with {_counted(written.tokens)}{called}", notes, [f"vllm serve {folder}"]


def _write_gguf(domains: Sequence[Domain], file: Path) -> Written:
    backbone, grafts = _together(domains)
    written = export_gguf(file, backbone, grafts)
    notes = [
        *_at_strength(domains),
        "llama.cpp cuts the texts of a chat request by rules of its own: token ids give the same answers",
    ]
    return f"GGUF file with {_counted(written.tokens)}", notes, [f"llama-server -m {file} --jinja"]


def _at_strength(domains: Sequence[Domain]) -> list[str]:
    return [
        f"{domain.file.name} is written at a strength of {domain.file.answer.strength:g}, as it answers here"
        for domain in domains
        if domain.file.answer.strength != 1
    ]


def _counted(tokens: Mapping[str, range]) -> str:
    return f"{sum(map(len, tokens.values()))} new tokens"


def _together(domains: Sequence[Domain]) -> tuple[Backbone, dict[str, HfGraft]]:
    """The grafts of domains that share a backbone; one that was trained on another is refused as it is read."""
    backbone = domains[0].store.backbone
    grafts: dict[str, HfGraft] = {}
    for domain in domains:
        if domain.file.name in grafts:
            raise UsageError(
                found=f"two domains with the name {domain.file.name!r}",
                expected="a name of its own for each, since a request chooses by it",
                next_step="name each domain once, or change `name:` in one domain.yaml",
            )
        template, strength = domain.template.current(), domain.file.answer.strength
        soft_prompt, manifest = answered_prompt(domain.build, domains[0].store, domain.typed, template, strength)
        grafts[domain.file.name] = HfGraft(soft_prompt, template, manifest)
    return backbone, grafts


# What each format is written with.
_WRITERS: dict[ExportFormat, Callable[[Sequence[Domain], Path], Written]] = {
    "peft": _write_peft,
    "hf": _write_hf,
    "gguf": _write_gguf,
}


def import_graft(domain: Domain, folder: Path, *, keep: bool = False, on_score: OnScore | None = None) -> ImportReport:
    """Read an adapter of PEFT into a domain's soft slot, measure it on dev, and keep it if it beats the text twin.

    Args:
        domain: whose template has one soft slot.
        folder: as PEFT, or `export_grafts`, has saved it.
        keep: even if it does not beat the text twin.
        on_score: progress.

    Raises:
        ArtifactError: damaged, of another backbone, or of a method that this project has not.
        TrainingError: no slot to fill, or no dev questions to measure on.
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
    found = read_peft_folder(folder)
    soft_prompt = import_peft(folder, store.backbone, slot, twin)
    grafting = domain.grafting()
    told = grafting.questions((), domain.items("dev")).dev_told
    if not told:
        raise TrainingError(
            found=f"no question to measure on in {domain.folder / 'dev.jsonl'}",
            expected="questions in dev.jsonl that the documents answer",
            next_step="write some to dev.jsonl",
        )
    tell, devices = on_score or (lambda *_: None), joined(store.backbone.device)
    score, f1 = grafting.scores(told, soft_prompt, "imported", tell, devices)
    twin_score, twin_f1 = grafting.scores(told, twin, "text-twin", tell, devices)
    loss, twin_loss = (_dev_loss(domain, told, slot, fill) for fill in (soft_prompt, twin))
    kept = keep or score > twin_score
    target = domain.build / "soft_prompt"
    if kept:
        scores = Scores(
            dev_loss=loss, dev_loss_text_twin=twin_loss, dev_token_f1=f1, dev_token_f1_text_twin=twin_f1
        )  # fmt: skip
        save_soft_prompt(target, soft_prompt, _manifest(domain, template, soft_prompt, found, scores), template.text)
        domain.forget("chain", "work")
    return ImportReport(
        domain=domain.file.name,
        kept=kept,
        method=found.config["peft_type"],
        kind=soft_prompt.kind,
        length=soft_prompt.length,
        adapter_rank=soft_prompt.adapter.rank if soft_prompt.adapter else 0,
        dev_questions=len(told),
        dev_f1=f1,
        dev_f1_text_twin=twin_f1,
        dev_loss=loss,
        dev_loss_text_twin=twin_loss,
        notes=_notes(found, slot),
        folder=str(target),
    )


def _notes(found: PeftFolder, slot: str) -> list[str]:
    if found.provenance is not None:
        return []
    if found.config["peft_type"] != LORA:
        return [f"PEFT trained it before everything; here it stands in the slot {slot!r}"]
    if found.config.get("alora_invocation_tokens"):
        return [f"PEFT trained it to act from its invocation tokens on; here it acts from the slot {slot!r} on"]
    return [f"PEFT trained it to act on every token; here it acts from the slot {slot!r} on"]


def _dev_loss(domain: Domain, told: Told, slot: str, fill: SlotFill) -> float:
    backbone = domain.store.backbone
    examples = [
        Example(
            encode_prompt(backbone, prompt, {slot: fill}, domain.file.attention),
            (*backbone.encode_text(item.target), backbone.end_id),
        )
        for prompt, item in told
    ]
    return mean_answer_loss(domain.store, examples, domain.file.train.batch_size)


def _manifest(
    domain: Domain, template: Template, soft_prompt: SoftPrompt, found: PeftFolder, scores: Scores
) -> Manifest:
    """How it was trained is taken over from the graft that was exported; PEFT itself does not say."""
    before = found.provenance.manifest if found.provenance else None
    version = found.config.get("peft_version")
    return manifest_of(
        soft_prompt,
        domain.store.backbone,
        template,
        attention=domain.file.attention,
        objective=before.objective if before else f"unknown, imported from PEFT ({found.config['peft_type']})",
        seed=before.seed if before else 0,
        data_hash=before.data_hash if before else "",
        train=before.train if before else {"peft_version": version if isinstance(version, str) else None},
        scores=scores,
    )

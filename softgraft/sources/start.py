"""What a domain starts from: a source graft, or the text twin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from prompts import Template
from retrieval.store.checked_file import read_checked, with_checksum
from soft_prompt import Manifest
from soft_prompt.artifact.saved_folder import current_folder
from soft_prompt.files import write_bytes
from softgraft.errors import DomainError
from softgraft.settings.domain_file import DomainFile, TrainSettings
from softgraft.sources.card import CARD
from softgraft.sources.shelf import SOFT_PROMPT, STARTER, Source, find_source, packaged_folders, read_source

TEXT_TWIN = "text-twin"
# In build/: what `start: auto` means for this domain.
START = "start.json"


class ChosenStart(BaseModel):
    """The start that was best on the dev questions of a domain.

    Attributes:
        source: path of the source's folder; empty for the text twin.
        vectors_sha256: of the source; another one makes the choice invalid.
        questions: number of dev questions that were answered.
        scores: mean deciding score on dev of each candidate, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    vectors_sha256: str
    questions: Annotated[int, Field(ge=0)]
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]]


def domain_start(file: DomainFile, build: Path, template: Template) -> Source | None:
    """The source graft that a domain starts from; None for the text twin. Reads files and loads no model.

    Raises:
        DomainError: if domain.yaml names a source that does not exist or does not fit.
        ArtifactError: if that source, or the one that was chosen, is damaged.
    """
    if file.behind_api or file.text_task is not None or file.start == TEXT_TWIN:
        return None
    if file.start not in ("auto", STARTER):
        return _fitting(find_source(file.start), file, template)
    if file.start == "auto" and (chosen := load_start(build / START)) is not None:
        return _chosen(chosen, file, template)
    starters = [
        source for source in map(read_source, packaged_folders()) if not misfits(source.manifest, file, template)
    ]
    if file.start == "auto":
        starters = [source for source in starters if not is_own_starter(source, file)]
    if starters:
        return starters[0]
    if file.start == STARTER:
        raise DomainError(
            found=f"no starter for the backbone {file.backbone!r} and the template {template.name!r}",
            expected="a backbone and a template that a starter was made for: softgraft sources",
            next_step="set `start: auto` in domain.yaml, or make a source: softgraft source NAME --from DOMAIN,DOMAIN",
        )
    return None


def misfits(manifest: Manifest, file: DomainFile, template: Template) -> list[str]:
    """Why a soft prompt cannot be used with this backbone, template and kind of attention; empty if it can."""
    problems = []
    if manifest.backbone != file.backbone:
        problems.append(f"the backbone {manifest.backbone!r}, not {file.backbone!r}")
    if manifest.template_name != template.name:
        problems.append(f"the template {manifest.template_name!r}, not {template.name!r}")
    elif manifest.slot not in template.soft_slots:
        problems.append(f"the slot {manifest.slot!r}, which the template {template.name!r} does not have")
    if manifest.attention != file.attention:
        problems.append(f"{manifest.attention} attention, not {file.attention}")
    return problems


def is_own_starter(source: Source, file: DomainFile) -> bool:
    """Whether it is a starter that has learned this domain's own questions, as of the example domains.

    `auto` passes it over: its gain on this domain says nothing about others.
    """
    return source.folder in packaged_folders() and file.name in {one.name for one in source.card.domains}


def unlike(manifest: Manifest, settings: TrainSettings) -> list[str]:
    """The training settings that cannot continue this soft prompt, as in domain.yaml; empty if all can."""
    adapter = manifest.adapter_method or "none"
    wanted: list[tuple[str, object, object]] = [
        ("kind", settings.kind, manifest.kind),
        ("adapter", settings.adapter, adapter),
        ("layers", settings.layers, manifest.layers),
    ]
    if settings.kind != "adapter":
        wanted.append(("length", settings.length or manifest.length, manifest.length))
    if settings.adapter == adapter == "lora":
        wanted.append(("adapter_rank", settings.adapter_rank, manifest.adapter_rank))
    return [f"{name}: {own} (source: {theirs})" for name, own, theirs in wanted if own != theirs]


def _fitting(source: Source, file: DomainFile, template: Template) -> Source:
    if problems := misfits(source.manifest, file, template):
        raise DomainError(
            found=f"`start: {file.start}`: the source {source.name} is for {' and '.join(problems)}",
            expected="a source for the domain's backbone and template: softgraft sources",
            next_step="set `start: auto` in domain.yaml",
        )
    return source


def _chosen(chosen: ChosenStart, file: DomainFile, template: Template) -> Source | None:
    """The chosen source; the text twin if the source is gone, was made again since, or no longer fits the domain.

    Raises:
        ArtifactError: if the source is damaged.
    """
    folder = Path(chosen.source)
    if not chosen.source or not ((folder / CARD).is_file() or current_folder(folder / SOFT_PROMPT).is_dir()):
        return None
    source = read_source(folder)
    is_same = source.manifest.vectors_sha256 == chosen.vectors_sha256
    return source if is_same and not misfits(source.manifest, file, template) else None


def save_start(chosen: ChosenStart, path: Path) -> None:
    """Write the choice with a checksum, atomically."""
    write_bytes(path, with_checksum(chosen.model_dump_json(indent=1).encode()))


def load_start(path: Path) -> ChosenStart | None:
    """The saved choice, or None.

    Raises:
        DomainError: if the file cannot be read or is damaged.
    """
    if not path.is_file():
        return None
    try:
        return ChosenStart.model_validate_json(read_checked(path))
    except (OSError, ValueError) as error:
        raise DomainError(
            found=f"{path} holds no start: {str(error).splitlines()[0]}",
            expected="what `softgraft train` wrote",
            next_step=f"delete {path}",
        ) from error

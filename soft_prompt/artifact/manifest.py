"""The manifest of a saved soft prompt: how it was trained, and what it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from prompts import Template
from soft_prompt.artifact.saved_folder import MANIFEST, current_folder
from soft_prompt.artifact.stored_tensors import Stored
from soft_prompt.errors import ArtifactError
from soft_prompt.foreign_files import SETTINGS_LIMIT, read_regular
from soft_prompt.graft.adapter import AdapterMethod
from soft_prompt.graft.prompt import SoftPrompt, SoftPromptKind
from soft_prompt.json_text import parse_json
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.row import Attention

# 2: `trained_on` and `start`. 3: `manifest_sha256`.
FORMAT_VERSION = 3
RETRAIN_COMMAND = "softgraft train DOMAIN"

Record = TypeVar("Record", bound=BaseModel)


class DevScores(BaseModel):
    """Scores on dev. Token F1 is between 0 and 1; losses are in nats per answer token."""

    model_config = ConfigDict(extra="forbid")
    dev_loss: FiniteFloat
    dev_loss_text_twin: FiniteFloat
    dev_token_f1: FiniteFloat
    dev_token_f1_text_twin: FiniteFloat


class TrainedOn(BaseModel):
    """A domain that a soft prompt was trained on.

    Attributes:
        licence: of its documents and questions, as its owner states it; empty if unknown.
        questions: number of train questions that reached the model.
        data_hash: of these questions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    domain: str
    licence: str = ""
    questions: int
    data_hash: str


class Manifest(BaseModel):
    """How a saved soft prompt was trained, and what it belongs to.

    Attributes:
        trained_on: its domains; empty if it is older than this field, or was imported.
        start: what training started from: the name of a source graft, or empty for the text twin.
        stored: how the tensors are stored; `int8` is rounded, and a quarter as large.
        manifest_sha256: of the other fields, so that damage is noticed; empty if the format is older.
    """

    model_config = ConfigDict(extra="forbid")
    format_version: int
    kind: SoftPromptKind
    slot: str
    length: int = Field(ge=0)
    hidden_size: int
    shape: list[int]
    adapter: AdapterMethod | None = None
    adapter_rank: int | None = Field(default=None, ge=1)
    layers: int | None = Field(default=None, ge=1)
    text_twin: str
    template_name: str
    template_version: int
    template_hash: str
    backbone: str
    backbone_digest: str
    tokenizer_hash: str
    attention: Attention
    objective: str
    seed: int
    data_hash: str
    train: dict[str, bool | float | int | str | None]
    scores: DevScores
    vectors_sha256: str
    trained_on: list[TrainedOn] = []
    start: str = ""
    stored: Stored = "float32"
    manifest_sha256: str = ""

    @model_validator(mode="after")
    def _require_own_digest(self) -> Self:
        if self.manifest_sha256 and self.manifest_sha256 != self.own_digest():
            raise ValueError("it does not have the digest that it names, so it is damaged")
        return self

    def own_digest(self) -> str:
        """SHA-256 of its fields, without `manifest_sha256`."""
        fields = self.model_dump(mode="json", exclude={"manifest_sha256"})
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def adapter_method(self) -> AdapterMethod | None:
        """The method of its adapter. Older manifests contain the rank alone, which means `lora`."""
        return self.adapter or (None if self.adapter_rank is None else "lora")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a saved soft prompt, or None if none was saved.

    Raises:
        ArtifactError: if it is damaged, or of a newer format.
    """
    folder = current_folder(folder)
    retrain = f"delete the folder {folder} and run: {RETRAIN_COMMAND}"
    if not folder.exists():
        return None
    return read_record(folder / MANIFEST, Manifest, FORMAT_VERSION, retrain)


def read_record(
    path: Path,
    record: type[Record],
    newest: int,
    next_step: str,
    read: Callable[[Path], bytes] = lambda path: read_regular(path, SETTINGS_LIMIT),
) -> Record:
    """Read a JSON file whose `format_version` is at most `newest`; `read` returns its content.

    Raises:
        ArtifactError: if it is damaged, or of a newer format.
    """
    try:
        raw = parse_json(read(path))
        if not isinstance(raw, dict) or "format_version" not in raw:
            raise ValueError("it is no JSON object with a `format_version`")
        version = raw["format_version"]
        if not isinstance(version, int) or version > newest:
            raise ArtifactError(
                found=f"{path} has the format {version!r}",
                expected=f"at most format {newest}",
                next_step=f"update Softgraft, or {next_step}",
            )
        return record.model_validate(raw)
    except (OSError, ValueError, RecursionError) as error:
        problem = problems_of(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise ArtifactError(
            found=f"{path} cannot be read: {problem}",
            expected=f"a file of this format that Softgraft wrote ({record.__name__})",
            next_step=next_step,
        ) from error


def problems_of(error: ValidationError) -> str:
    """What is wrong with the fields of a file, in one line: the first three problems, and the number of the others."""
    problems = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
    listed = "; ".join(f"{field}: {message}" if field else message for field, message in problems[:3])
    return listed + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")


def require_backbone(record: Any, backbone: Backbone, what: str, next_step: str) -> None:
    """Refuse a manifest, or another record of the backbone of a graft, that names another backbone or tokenizer."""
    for part, theirs, ours in (
        ("weights", record.backbone_digest, backbone.digest),
        ("tokenizer", record.tokenizer_hash, backbone.tokenizer_hash),
        ("hidden size", str(getattr(record, "hidden_size", backbone.hidden_size)), str(backbone.hidden_size)),
    ):
        if theirs != ours:
            raise ArtifactError(
                found=f"{what} was trained on {record.backbone!r} ({part} {theirs[:16]})",
                expected=f"one trained on {backbone.id!r} ({part} {ours[:16]})",
                next_step=next_step,
            )


def make_manifest(
    soft_prompt: SoftPrompt,
    backbone: Backbone,
    template: Template,
    *,
    adapter_layers: int | None = None,
    **training: Any,
) -> Manifest:
    """Describe a soft prompt. `save_soft_prompt` adds the digest of its vectors.

    `adapter_layers` is for the kind `adapter`: the number of upper layers with an adapter; None for all. `training` has
    the fields of `Manifest` that the others do not determine, `attention` to `scores`.
    """
    adapter = soft_prompt.adapter
    # If all layers were trained, a `kv` soft prompt has no lower layers, and `layers` is None.
    layers = soft_prompt.vectors.shape[0] if soft_prompt.lower is not None else None
    return Manifest(
        format_version=FORMAT_VERSION,
        kind=soft_prompt.kind,
        slot=soft_prompt.slot,
        length=soft_prompt.length,
        hidden_size=backbone.hidden_size,
        shape=list(soft_prompt.vectors.shape),
        adapter=adapter.method if adapter else None,
        adapter_rank=adapter.rank or None if adapter else None,
        layers=adapter_layers if soft_prompt.kind == "adapter" else layers,
        text_twin=soft_prompt.text_twin,
        template_name=template.name,
        template_version=template.version,
        template_hash=template.content_hash,
        backbone=backbone.id,
        backbone_digest=backbone.digest,
        tokenizer_hash=backbone.tokenizer_hash,
        vectors_sha256="",
        **training,
    )

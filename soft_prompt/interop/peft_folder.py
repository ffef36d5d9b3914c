"""Reading and writing the files of a PEFT adapter, without PEFT.

`adapter_config.json` and `adapter_model.safetensors` are PEFT's own files. `softgraft.json` describes the graft before
the export; PEFT ignores it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from soft_prompt.artifact.manifest import Manifest, read_record
from soft_prompt.errors import ArtifactError
from soft_prompt.files import new_folder, write_bytes
from soft_prompt.foreign_files import SETTINGS_LIMIT, ForeignFileError, read_regular, regular_size, tensor_entries
from soft_prompt.json_text import dump_json

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PROVENANCE = "softgraft.json"
# 2: `sha256`.
PROVENANCE_VERSION = 2

PROMPT_TUNING, PREFIX_TUNING, LORA = "PROMPT_TUNING", "PREFIX_TUNING", "LORA"
PROMPT_EMBEDDINGS = "prompt_embeddings"
READABLE = (torch.float32, torch.float16, torch.bfloat16)
# Their names in the header of a safetensors file.
_DTYPES = ("F32", "F16", "BF16")

IMPORT_ANOTHER = "softgraft import DOMAIN --from ANOTHER_FOLDER"


def lora_names(layer: str) -> tuple[str, str]:
    """PEFT's names of the `down` and `up` weights beside a layer."""
    return f"base_model.model.{layer}.lora_A.weight", f"base_model.model.{layer}.lora_B.weight"


class Provenance(BaseModel):
    """The graft before the export.

    Attributes:
        length: positions of the slot; for an adapter alone, tokens of its text twin.
        lower_layers: number of untrained lower layers of a `kv` soft prompt.
        placement: where PEFT puts it, in words.
        sha256: of the other fields and of the two other files; empty if the format is older.
    """

    model_config = ConfigDict(extra="forbid")
    format_version: int
    slot: str
    text_twin: str
    length: int = Field(ge=0)
    lower_layers: int
    backbone: str
    backbone_digest: str
    tokenizer_hash: str
    placement: str
    manifest: Manifest | None
    sha256: str = ""

    def own_digest(self, config: bytes, tensors: bytes) -> str:
        """SHA-256 of its fields, without `sha256`, and of the content of the two other files."""
        fields = self.model_dump(mode="json", exclude={"sha256"})
        parts = (json.dumps(fields, sort_keys=True).encode(), config, tensors)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass(frozen=True)
class PeftFolder:
    """The contents of an adapter's folder.

    Attributes:
        config: adapter_config.json. Only `peft_type` is checked.
        shapes: of its tensors, by name.
        provenance: None for an adapter that PEFT trained and saved.
    """

    folder: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    provenance: Provenance | None

    @property
    def method(self) -> str:
        """PEFT's name of the method, such as `LORA`."""
        return str(self.config["peft_type"])

    def load_tensors(self) -> dict[str, Tensor]:
        """Read the tensors, as fp32. Their shapes should be checked first: they may be larger than the memory.

        Raises:
            ArtifactError: if they cannot be read, have another dtype or are not finite.
        """
        path = self.folder / TENSORS
        try:
            # Never more than the shapes say, should the file have been changed since.
            entries = tensor_entries(path)
            if {name: entry.shape for name, entry in entries.items()} != dict(self.shapes):
                raise ForeignFileError("it was changed while it was read")
            tensors = load(read_regular(path, regular_size(path)))
        except (OSError, SafetensorError, ValueError, KeyError, OverflowError) as error:
            raise _refusal(path, f"cannot be read: {error}") from error
        for name, tensor in tensors.items():
            if tensor.dtype not in READABLE or not torch.isfinite(tensor).all():
                raise _refusal(path, f"holds {name!r} as {tensor.dtype}, perhaps not finite")
        return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}

    def require_unchanged(self) -> None:
        """Refuse an export of this project whose files were damaged. What PEFT saved has no digest.

        Raises:
            ArtifactError: if a file does not have the content that was written.
        """
        if self.provenance is None or not self.provenance.sha256:
            return
        path = self.folder / PROVENANCE
        config, weights = self.folder / CONFIG, self.folder / TENSORS
        try:
            contents = read_regular(config, SETTINGS_LIMIT), read_regular(weights, regular_size(weights))
        except (OSError, ForeignFileError) as error:
            raise _refusal(path, f"names files that cannot be read: {error}") from error
        if self.provenance.own_digest(*contents) != self.provenance.sha256:
            raise ArtifactError(
                found=f"the files in {self.folder} do not have the digest in {PROVENANCE}: one was damaged or edited",
                expected="the files as they were exported",
                next_step=f"export again; or delete {path} to import the adapter as one that PEFT trained",
            )


def write_peft_folder(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], provenance: Provenance
) -> None:
    """Write an adapter. The folder appears complete or not at all.

    Raises:
        ArtifactError: if the folder is not empty, or cannot be written.
    """
    cpu_tensors = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    with new_folder(folder) as scratch:
        settings = dump_json(config, indent=2, sort_keys=True).encode()
        weights = save(cpu_tensors, {"format": "pt"})
        provenance = provenance.model_copy(update={"sha256": provenance.own_digest(settings, weights)})
        write_bytes(scratch / CONFIG, settings)
        write_bytes(scratch / TENSORS, weights)
        write_bytes(scratch / PROVENANCE, provenance.model_dump_json(indent=1).encode())


def read_peft_folder(folder: Path) -> PeftFolder:
    """Read an adapter's settings, and the shapes of its tensors.

    Raises:
        ArtifactError: if there is none, its weights are pickled, or one of its files is damaged.
    """
    try:
        config = json.loads(read_regular(folder / CONFIG, SETTINGS_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise _refusal(folder / CONFIG, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise _refusal(folder / CONFIG, "names no `peft_type`")
    if not (folder / TENSORS).is_file() and (folder / PICKLED).is_file():
        raise ArtifactError(
            found=f"{folder} holds its weights in {PICKLED}, which is pickled and runs code when it is read",
            expected=f"{TENSORS}; pickled weights are never read",
            next_step="save the adapter again where it was trained: model.save_pretrained(FOLDER)",
        )
    path = folder / TENSORS
    try:
        entries = tensor_entries(path)
    except (OSError, ValueError) as error:
        raise _refusal(path, f"cannot be read: {error}") from error
    for name, entry in entries.items():
        if entry.dtype not in _DTYPES:
            raise _refusal(path, f"holds {name!r} as {entry.dtype}")
    path, provenance = folder / PROVENANCE, None
    if path.exists() or path.is_symlink():
        delete = f"delete {path} to import the adapter as one that PEFT trained"
        provenance = read_record(path, Provenance, PROVENANCE_VERSION, delete)
    return PeftFolder(folder, config, {name: entry.shape for name, entry in entries.items()}, provenance)


def _refusal(path: Path, found: str) -> ArtifactError:
    expected = "an adapter that PEFT saved, with finite weights in fp32, fp16 or bf16"
    return ArtifactError(found=f"{path} {found}", expected=expected, next_step=IMPORT_ANOTHER)

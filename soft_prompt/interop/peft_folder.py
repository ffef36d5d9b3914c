"""Reading and writing the files of a PEFT adapter, without PEFT.

`adapter_config.json` and `adapter_model.safetensors` are PEFT's own files. `softgraft.json` describes the graft before
the export; PEFT ignores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from soft_prompt.artifact.manifest import Manifest, read_record
from soft_prompt.errors import ArtifactError
from soft_prompt.files import new_folder, write_bytes

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PROVENANCE = "softgraft.json"
PROVENANCE_VERSION = 1

PROMPT_TUNING, PREFIX_TUNING, LORA = "PROMPT_TUNING", "PREFIX_TUNING", "LORA"
PROMPT_EMBEDDINGS = "prompt_embeddings"
READABLE = (torch.float32, torch.float16, torch.bfloat16)

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
    """

    model_config = ConfigDict(extra="forbid")
    format_version: int
    slot: str
    text_twin: str
    length: int
    lower_layers: int
    backbone: str
    backbone_digest: str
    tokenizer_hash: str
    placement: str
    manifest: Manifest | None


@dataclass(frozen=True)
class PeftFolder:
    """The contents of an adapter's folder.

    Attributes:
        config: adapter_config.json. Only `peft_type` is checked.
        tensors: finite, fp32.
        provenance: None for an adapter that PEFT trained and saved.
    """

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    provenance: Provenance | None

    @property
    def method(self) -> str:
        """PEFT's name of the method, such as `LORA`."""
        return str(self.config["peft_type"])


def write_peft_folder(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], provenance: Provenance
) -> None:
    """Write an adapter. The folder appears complete or not at all.

    Raises:
        ArtifactError: if the folder is not empty, or cannot be written.
    """
    cpu_tensors = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    with new_folder(folder) as scratch:
        write_bytes(scratch / CONFIG, json.dumps(config, indent=2, sort_keys=True).encode())
        write_bytes(scratch / TENSORS, save(cpu_tensors, {"format": "pt"}))
        write_bytes(scratch / PROVENANCE, provenance.model_dump_json(indent=1).encode())


def read_peft_folder(folder: Path) -> PeftFolder:
    """Read an adapter.

    Raises:
        ArtifactError: if there is none, its weights are pickled, or one of its files is damaged.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
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
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise _refusal(path, f"cannot be read: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in READABLE or not torch.isfinite(tensor).all():
            raise _refusal(path, f"holds {name!r} as {tensor.dtype}, perhaps not finite")
    path, provenance = folder / PROVENANCE, None
    if path.exists():
        delete = f"delete {path} to import the adapter as one that PEFT trained"
        provenance = read_record(path, Provenance, PROVENANCE_VERSION, delete)
    return PeftFolder(folder, config, {name: t.to(torch.float32) for name, t in tensors.items()}, provenance)


def _refusal(path: Path, found: str) -> ArtifactError:
    expected = "an adapter that PEFT saved, with finite weights in fp32, fp16 or bf16"
    return ArtifactError(found=f"{path} {found}", expected=expected, next_step=IMPORT_ANOTHER)

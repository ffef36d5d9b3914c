"""A soft prompt on disk: `soft_prompt.safetensors` and `manifest.json` in a folder of their own.

The manifest names the backbone that the vectors belong to; loading refuses anything else. The format is in
docs/artifact.md.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from soft_prompt.artifact.manifest import (
    MANIFEST,
    RETRAIN_COMMAND,
    Manifest,
    read_manifest,
    require_backbone,
    restore_old_folder,
)
from soft_prompt.artifact.stored_tensors import from_stored, to_stored
from soft_prompt.errors import ArtifactError
from soft_prompt.files import write_bytes
from soft_prompt.graft.adapter import adapter_shapes, scaling_shapes
from soft_prompt.graft.prompt import LOWER, SoftPrompt
from soft_prompt.graft.prompt import VECTORS as VECTORS_TENSOR
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import require_movable_positions

VECTORS = "soft_prompt.safetensors"
TEMPLATE = "template.yaml"


def save_soft_prompt(folder: Path, soft_prompt: SoftPrompt, manifest: Manifest, template: str = "") -> Manifest:
    """Write a soft prompt to a folder of its own, which keeps its previous contents until the new files are complete.

    `template` is the text of the template that it was trained with, saved for people to compare; none if empty.
    `manifest.stored` says how the tensors are written.

    Returns:
        The manifest as written, with the digest of the vectors.
    """
    data = save(to_stored(soft_prompt.tensors() | soft_prompt.frozen_tensors(), manifest.stored))
    manifest = manifest.model_copy(update={"vectors_sha256": hashlib.sha256(data).hexdigest()})
    restore_old_folder(folder)
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    write_bytes(new / VECTORS, data)
    write_bytes(new / MANIFEST, manifest.model_dump_json(indent=1).encode())
    if template:
        write_bytes(new / TEMPLATE, template.encode())
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return manifest


def load_soft_prompt(folder: Path, backbone: Backbone) -> tuple[SoftPrompt, Manifest] | None:
    """Read a saved soft prompt for a backbone, or None if none was saved.

    Raises:
        ArtifactError: if it is damaged, or was trained on another backbone or tokenizer.
        BackboneError: if it is of the kind `kv`, and keys and values of this backbone cannot be moved.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    retrain = f"train for this backbone: {RETRAIN_COMMAND}; or set `backbone: {manifest.backbone}` in domain.yaml"
    require_backbone(manifest, backbone, f"the soft prompt in {folder}", retrain)
    if manifest.kind == "kv":
        require_movable_positions(backbone)
    path = folder / VECTORS

    def damaged(found: str, expected: str = "the vectors that the manifest names") -> ArtifactError:
        next_step = f"delete {folder} and run: {RETRAIN_COMMAND}"
        return ArtifactError(found=f"{path} {found}", expected=expected, next_step=next_step)

    try:
        data = path.read_bytes()
    except OSError as error:
        raise damaged(f"cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != manifest.vectors_sha256:
        raise damaged("does not have the digest that its manifest names")
    try:
        tensors = from_stored(load(data), manifest.stored)
    except SafetensorError as error:
        raise damaged(f"is no soft prompt: {error}") from error
    shapes = _expected_shapes(backbone, manifest)
    for name in dict.fromkeys([*shapes, *tensors]):
        tensor, shape = tensors.get(name), shapes.get(name)
        found = None if tensor is None else tuple(tensor.shape)
        if tensor is None or found != shape or tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            held = "none" if tensor is None else f"{found} {tensor.dtype}, perhaps not finite"
            expected = f"finite fp32 {name} of the shape {shape}" if shape else f"no {name}"
            raise damaged(f"holds {name}: {held}", f"{expected}, by its manifest and the backbone")
    if list(shapes[VECTORS_TENSOR]) != manifest.shape:
        raise damaged(f"holds vectors of the shape {shapes[VECTORS_TENSOR]}", f"{manifest.shape}, by its manifest")
    vectors, lower = tensors[VECTORS_TENSOR], tensors.pop(LOWER, None)
    soft_prompt = SoftPrompt(manifest.slot, vectors, manifest.text_twin, manifest.kind, lower=lower)
    return soft_prompt.with_tensors(tensors), manifest


def _expected_shapes(backbone: Backbone, manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors; the vectors come first."""
    shapes: dict[str, tuple[int, ...]] = {VECTORS_TENSOR: (manifest.length, backbone.hidden_size)}
    if manifest.kind == "kv":
        layers, heads, head_dim = backbone.cache_layout
        shapes[VECTORS_TENSOR] = (manifest.layers or layers, 2, heads, manifest.length, head_dim)
        if manifest.layers:
            shapes[LOWER] = (layers - manifest.layers, 2, heads, manifest.length, head_dim)
    # The kind `adapter` always has one.
    if manifest.adapter_method == "lora" or (manifest.kind == "adapter" and not manifest.adapter_method):
        return shapes | adapter_shapes(backbone, manifest.adapter_rank or 0, manifest.layers)
    return shapes | scaling_shapes(backbone, manifest.layers) if manifest.adapter_method else shapes

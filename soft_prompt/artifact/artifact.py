"""A soft prompt on disk: `soft_prompt.safetensors` and `manifest.json` in a folder of their own.

The manifest names the backbone that the vectors belong to; loading refuses anything else. The format is in
docs/artifact.md.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from soft_prompt.artifact.manifest import RETRAIN_COMMAND, Manifest, read_manifest, require_backbone
from soft_prompt.artifact.saved_folder import (
    TEMPLATE,
    VECTORS,
    current_file,
    current_folder,
    read_current,
    write_version,
)
from soft_prompt.artifact.stored_tensors import from_stored, to_stored
from soft_prompt.errors import ArtifactError
from soft_prompt.foreign_files import MIB, ForeignFileError
from soft_prompt.graft.adapter import adapter_shapes, scaling_shapes
from soft_prompt.graft.prompt import LOWER, SoftPrompt
from soft_prompt.graft.prompt import VECTORS as VECTORS_TENSOR
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import require_movable_positions

# Above the header of any soft prompt.
_HEADER_BYTES = 4 * MIB
# Versions that a reader may see go by while it looks for the files of one.
_MAX_TRIES = 100


def save_soft_prompt(folder: Path, soft_prompt: SoftPrompt, manifest: Manifest, template: str = "") -> Manifest:
    """Write a soft prompt to a folder of its own, which keeps its previous contents until the new files are complete.

    `template` is the text of the template that it was trained with, saved for people to compare; none if empty.
    `manifest.stored` says how the tensors are written.

    Returns:
        The manifest as written, with the digests of the vectors and of itself.

    Raises:
        ArtifactError: if a tensor is not finite. The previous soft prompt stays.
    """
    tensors = to_stored(soft_prompt.tensors() | soft_prompt.frozen_tensors(), manifest.stored)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArtifactError(
                found=f"{name} with numbers that are infinite or undefined",
                expected="finite numbers; nothing was saved",
                next_step=f"train with a lower `learning_rate`, or import another adapter: {RETRAIN_COMMAND}",
            )
    data = save(tensors)
    digest = hashlib.sha256(data).hexdigest()
    manifest = manifest.model_copy(update={"vectors_sha256": digest, "manifest_sha256": ""})
    manifest = manifest.model_copy(update={"manifest_sha256": manifest.own_digest()})
    files = {VECTORS: data, **({TEMPLATE: template.encode()} if template else {})}

    def current() -> str:
        try:
            previous = read_manifest(folder)
        except ArtifactError:
            # It is replaced.
            previous = None
        return previous.vectors_sha256 if previous else ""

    write_version(folder, files, manifest.model_dump_json(indent=1).encode(), digest, current)
    return manifest


def load_soft_prompt(folder: Path, backbone: Backbone) -> tuple[SoftPrompt, Manifest] | None:
    """Read a saved soft prompt for a backbone, or None if none was saved. Another process may replace it meanwhile.

    Raises:
        ArtifactError: if it is damaged, or was trained on another backbone or tokenizer.
        BackboneError: if it is of the kind `kv`, and keys and values of this backbone cannot be moved.
    """
    manifest = read_manifest(folder)
    for _ in range(_MAX_TRIES):
        if manifest is None:
            return None
        try:
            return _load_version(current_folder(folder), manifest, backbone)
        except ArtifactError:
            newer = read_manifest(folder)
            if newer == manifest:
                raise
            # The files of that version are gone, since a newer one took their place.
            manifest = newer
    raise ArtifactError(
        found=f"{folder} was replaced {_MAX_TRIES} times while it was read",
        expected="a soft prompt that stays as it is for a moment",
        next_step="try again when no other process trains this domain",
    )


def trained_template(folder: Path) -> Path:
    """The file with the template that a saved soft prompt was trained with; it may not exist."""
    manifest = read_manifest(folder)
    return folder / TEMPLATE if manifest is None else current_file(folder, TEMPLATE, manifest.vectors_sha256)


def _load_version(folder: Path, manifest: Manifest, backbone: Backbone) -> tuple[SoftPrompt, Manifest]:
    retrain = f"train for this backbone: {RETRAIN_COMMAND}; or set `backbone: {manifest.backbone}` in domain.yaml"
    require_backbone(manifest, backbone, f"the soft prompt in {folder}", retrain)
    if manifest.kind == "kv":
        require_movable_positions(backbone)
    path = folder / VECTORS

    def damaged(found: str, expected: str = "the vectors that the manifest names") -> ArtifactError:
        next_step = f"delete {folder} and run: {RETRAIN_COMMAND}"
        return ArtifactError(found=f"{path} {found}", expected=expected, next_step=next_step)

    widest = max(backbone.hidden_size, backbone.context_length)
    if max(manifest.length, manifest.adapter_rank or 0, manifest.layers or 0) > widest:
        raise damaged(f"should have {manifest.length:,} positions and the rank {manifest.adapter_rank}")
    shapes = _expected_shapes(backbone, manifest)
    # At most four bytes per number, and the scales of int8.
    limit = 8 * sum(map(math.prod, shapes.values())) + _HEADER_BYTES
    try:
        data = read_current(folder, VECTORS, manifest.vectors_sha256, limit)
    except (OSError, ForeignFileError) as error:
        raise damaged(f"cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != manifest.vectors_sha256:
        raise damaged("does not have the digest that its manifest names")
    try:
        tensors = from_stored(load(data), manifest.stored)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise damaged(f"is no soft prompt: {error}") from error
    for name in dict.fromkeys([*shapes, *tensors]):
        tensor, shape = tensors.get(name), shapes.get(name)
        found = None if tensor is None else tuple(tensor.shape)
        if tensor is None or found != shape or tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            held = "none" if tensor is None else f"{found} {tensor.dtype}, perhaps not finite"
            expected = f"finite fp32 {name} of the shape {shape}" if shape else f"no {name}"
            raise damaged(f"holds {name}: {held}", f"{expected}, by its manifest and the backbone")
    if list(shapes[VECTORS_TENSOR]) != manifest.shape:
        raise damaged(f"holds vectors of the shape {shapes[VECTORS_TENSOR]}", f"{manifest.shape}, by its manifest")
    # `load` returns them in an order that is random, and the bits of a training depend on the order of its tensors.
    tensors = {name: tensors[name] for name in shapes}
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

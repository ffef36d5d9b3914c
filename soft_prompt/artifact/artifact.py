"""A soft prompt on disk: `soft_prompt.safetensors` and `manifest.json` in a folder of their own.

The manifest names the backbone that the vectors belong to; loading refuses anything else. The format is in
docs/artifact.md.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from soft_prompt.artifact.manifest import MANIFEST, RETRAIN_COMMAND, Manifest, read_manifest, restore_old_folder
from soft_prompt.errors import ArtifactError
from soft_prompt.files import write_bytes
from soft_prompt.graft.adapter import adapter_shapes
from soft_prompt.graft.prompt import LOWER, SoftPrompt
from soft_prompt.graft.prompt import VECTORS as VECTORS_TENSOR
from soft_prompt.graft.scaling import scaling_shapes
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import probe, require_movable_positions

VECTORS = "soft_prompt.safetensors"
TEMPLATE = "template.yaml"


def save_soft_prompt(folder: Path, soft_prompt: SoftPrompt, manifest: Manifest, template: str = "") -> Manifest:
    """Write a soft prompt. The folder keeps its previous contents until the new files are complete.

    Args:
        folder: for this soft prompt alone.
        soft_prompt: what to save.
        manifest: without the digest of the vectors.
        template: text of the template that it was trained with, saved for people to compare; none if empty.

    Returns:
        The manifest as written, with the digest of the vectors.
    """
    tensors = soft_prompt.tensors() | soft_prompt.frozen_tensors()
    data = save({name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()})
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
    _check_backbone(folder, manifest, backbone)
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
        tensors = load(data)
        lower = tensors.pop(LOWER, None)
        vectors = tensors[VECTORS_TENSOR]
    except (SafetensorError, KeyError) as error:
        raise damaged(f"is no soft prompt: {error}") from error
    shape, named_shape, backbone_shape = (
        tuple(vectors.shape),
        tuple(manifest.shape),
        _expected_shape(backbone, manifest),
    )
    if shape != named_shape or not _is_finite_fp32(vectors):
        raise damaged(
            f"holds vectors {shape} {vectors.dtype}, perhaps not finite",
            f"finite fp32 vectors of the shape {named_shape}",
        )
    if shape != (backbone_shape := _expected_shape(backbone, manifest)):
        raise damaged(
            f"holds vectors {shape}",
            f"{manifest.length} positions of the kind {manifest.kind!r}, of the shape {backbone_shape}",
        )
    soft_prompt = SoftPrompt(manifest.slot, vectors, manifest.text_twin, manifest.kind, lower=lower)
    if not _lower_fits(soft_prompt, manifest, backbone):
        raise damaged(
            f"holds {soft_prompt.lower_layers} layers below those that were trained, perhaps not finite",
            f"finite fp32 keys and values of all layers but the last {manifest.layers}"
            if manifest.layers
            else "none, since the manifest says that all layers were trained",
        )
    if not _adapter_fits(tensors, manifest, backbone):
        found = f"holds {len(tensors) - 1} tensors beside the vectors, perhaps not finite"
        raise damaged(found, _expected_adapter(manifest))
    return soft_prompt.with_tensors(tensors), manifest


def _is_finite_fp32(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())


def _expected_shape(backbone: Backbone, manifest: Manifest) -> tuple[int, ...]:
    """The shape of the manifest's kind and length on the backbone."""
    if manifest.kind != "kv":
        return (manifest.length, backbone.hidden_size)
    layout = probe(backbone)
    return (manifest.layers or len(layout.rotated_layers), 2, layout.kv_heads, manifest.length, layout.head_dim)


def _lower_fits(soft_prompt: SoftPrompt, manifest: Manifest, backbone: Backbone) -> bool:
    """Whether the layers below the trained ones are those that the manifest names."""
    lower = soft_prompt.lower
    # With the kind `adapter`, the manifest's `layers` are those of the adapter.
    if manifest.kind == "adapter":
        return lower is None
    if manifest.layers is None or lower is None:
        return manifest.layers is None and lower is None
    below = int(backbone.model.config.get_text_config().num_hidden_layers) - manifest.layers
    return (
        soft_prompt.kind == "kv" and lower.shape == (below, *soft_prompt.vectors.shape[1:]) and _is_finite_fp32(lower)
    )


def _adapter_fits(tensors: Mapping[str, Tensor], manifest: Manifest, backbone: Backbone) -> bool:
    """Whether the tensors beside the vectors are the adapter that the manifest names, or none."""
    shapes: Mapping[str, tuple[int, ...]] = {}
    if manifest.adapter_method == "ia3":
        shapes = scaling_shapes(backbone, manifest.layers)
    elif manifest.adapter_method == "lora":
        shapes = adapter_shapes(backbone, manifest.adapter_rank or 0, manifest.layers)
    if manifest.kind == "adapter" and not shapes:
        return False
    weights = {name: tensor for name, tensor in tensors.items() if name != VECTORS_TENSOR}
    same_shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()} == shapes
    return same_shapes and all(_is_finite_fp32(tensor) for tensor in weights.values())


def _expected_adapter(manifest: Manifest) -> str:
    if manifest.adapter == "ia3":
        return "finite fp32 scales of the keys, values and inner activations of every block that was trained"
    if manifest.adapter_rank:
        return f"finite fp32 weights of rank {manifest.adapter_rank} beside every linear layer that was trained"
    if manifest.kind == "adapter":
        return "an adapter that the manifest names, since its kind is 'adapter'"
    return "none, since the manifest names no adapter"


def _check_backbone(folder: Path, manifest: Manifest, backbone: Backbone) -> None:
    for what, theirs, ours in (
        ("weights", manifest.backbone_digest, backbone.digest),
        ("tokenizer", manifest.tokenizer_hash, backbone.tokenizer_hash),
        ("hidden size", str(manifest.hidden_size), str(backbone.hidden_size)),
    ):
        if theirs != ours:
            raise ArtifactError(
                found=f"the soft prompt in {folder} was trained on {manifest.backbone!r} ({what} {theirs[:16]})",
                expected=f"one trained on {backbone.id!r} ({what} {ours[:16]})",
                next_step=f"train for this backbone: {RETRAIN_COMMAND}; or set `backbone: {manifest.backbone}` in "
                "domain.yaml",
            )

"""A soft prompt on disk: `soft_prompt.safetensors` and `manifest.json` in a folder of their own.

The manifest says what the vectors belong to; anything that does not fit is refused. docs/artifact.md has the format.
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

from soft_prompt.artifact.manifest import _RETRAIN, MANIFEST, Manifest, _mend, read_manifest
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
    """Write a soft prompt; what stood in the folder before stays until the new one is whole.

    Args:
        folder: of this soft prompt alone.
        soft_prompt: what is saved.
        manifest: what it belongs to.
        template: text of the template that it was trained with, kept beside it for people to compare; none if empty.

    Returns:
        The manifest as written, with the digest of the vectors.
    """
    tensors = soft_prompt.tensors() | soft_prompt.frozen()
    data = save({name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()})
    manifest = manifest.model_copy(update={"vectors_sha256": hashlib.sha256(data).hexdigest()})
    _mend(folder)
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    write_bytes(fresh / VECTORS, data)
    write_bytes(fresh / MANIFEST, manifest.model_dump_json(indent=1).encode())
    if template:
        write_bytes(fresh / TEMPLATE, template.encode())
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return manifest


def load_soft_prompt(folder: Path, backbone: Backbone) -> tuple[SoftPrompt, Manifest] | None:
    """Read a saved soft prompt for a backbone, or None where none was ever saved.

    Raises:
        ArtifactError: damaged, or trained on another backbone or tokenizer.
        BackboneError: of the kind `kv`, and keys and values of this backbone cannot be moved.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    _check_backbone(folder, manifest, backbone)
    if manifest.kind == "kv":
        require_movable_positions(backbone)
    path = folder / VECTORS
    damaged = {"expected": "the vectors that the manifest names", "next_step": f"delete {folder} and run: {_RETRAIN}"}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(found=f"{path} cannot be read: {error}", **damaged) from error
    if hashlib.sha256(data).hexdigest() != manifest.vectors_sha256:
        raise ArtifactError(found=f"{path} does not have the digest that its manifest names", **damaged)
    try:
        tensors = load(data)
        lower = tensors.pop(LOWER, None)
        vectors = tensors[VECTORS_TENSOR]
    except (SafetensorError, KeyError) as error:
        raise ArtifactError(found=f"{path} is no soft prompt: {error}", **damaged) from error
    expected = tuple(manifest.shape)
    if tuple(vectors.shape) != expected or vectors.dtype != torch.float32 or not torch.isfinite(vectors).all():
        raise ArtifactError(
            found=f"{path} holds vectors {tuple(vectors.shape)} {vectors.dtype}, perhaps not finite",
            expected=f"finite fp32 vectors of the shape {expected}",
            next_step=damaged["next_step"],
        )
    found = SoftPrompt(manifest.slot, vectors, manifest.text_twin, manifest.kind, lower=lower)
    fitting = _shape_on(backbone, manifest)
    if tuple(vectors.shape) != fitting:
        raise ArtifactError(
            found=f"{path} holds vectors {tuple(vectors.shape)}",
            expected=f"{manifest.length} positions of the kind {manifest.kind!r}, of the shape {fitting}",
            next_step=damaged["next_step"],
        )
    if not _lower_fits(found, manifest, backbone):
        raise ArtifactError(
            found=f"{path} holds {found.lower_layers} layers below those that were trained, perhaps not finite",
            expected=f"finite fp32 keys and values of all layers but the last {manifest.layers}"
            if manifest.layers
            else "none, since the manifest says that all layers were trained",
            next_step=damaged["next_step"],
        )
    if not _adapter_fits(tensors, manifest, backbone):
        raise ArtifactError(
            found=f"{path} holds {len(tensors) - 1} tensors beside the vectors, perhaps not finite",
            expected=_expected_adapter(manifest),
            next_step=damaged["next_step"],
        )
    return found.with_tensors(tensors), manifest


def _shape_on(backbone: Backbone, manifest: Manifest) -> tuple[int, ...]:
    """The shape of vectors of that kind and length on the backbone."""
    if manifest.kind != "kv":
        return (manifest.length, backbone.hidden_size)
    found = probe(backbone)
    return (manifest.layers or len(found.turned), 2, found.kv_heads, manifest.length, found.head_dim)


def _lower_fits(found: SoftPrompt, manifest: Manifest, backbone: Backbone) -> bool:
    """Whether the layers that were not trained are those that the manifest names."""
    if manifest.kind == "adapter":
        # Its layers are those that the adapter stands beside.
        return found.lower is None
    if manifest.layers is None or found.lower is None:
        return manifest.layers is None and found.lower is None
    below = int(backbone.model.config.get_text_config().num_hidden_layers) - manifest.layers
    return (
        found.kind == "kv"
        and found.lower.shape == (below, *found.vectors.shape[1:])
        and found.lower.dtype == torch.float32
        and bool(torch.isfinite(found.lower).all())
    )


def _adapter_fits(tensors: Mapping[str, Tensor], manifest: Manifest, backbone: Backbone) -> bool:
    """Whether the tensors beside the vectors are the adapter that the manifest names, or none."""
    shapes: Mapping[str, tuple[int, ...]] = {}
    if manifest.adapter_form == "ia3":
        shapes = scaling_shapes(backbone, manifest.layers)
    elif manifest.adapter_form == "lora":
        shapes = adapter_shapes(backbone, manifest.adapter_rank or 0, manifest.layers)
    if manifest.kind == "adapter" and not shapes:
        return False
    weights = {name: tensor for name, tensor in tensors.items() if name != VECTORS_TENSOR}
    return {name: tuple(t.shape) for name, t in weights.items()} == shapes and all(
        t.dtype == torch.float32 and bool(torch.isfinite(t).all()) for t in weights.values()
    )


def _expected_adapter(manifest: Manifest) -> str:
    if manifest.adapter == "ia3":
        return "finite fp32 scales of the keys, values and inner activations of every block that was trained"
    if manifest.adapter_rank:
        return f"finite fp32 weights of rank {manifest.adapter_rank} beside every linear layer that was trained"
    if manifest.kind == "adapter":
        return "an adapter that the manifest names, since its kind is 'adapter'"
    return "none, since the manifest names no adapter"


def _check_backbone(folder: Path, manifest: Manifest, backbone: Backbone) -> None:
    for what, found, expected in (
        ("weights", manifest.backbone_digest, backbone.digest),
        ("tokenizer", manifest.tokenizer_hash, backbone.tokenizer_hash),
        ("hidden size", str(manifest.hidden_size), str(backbone.hidden_size)),
    ):
        if found != expected:
            raise ArtifactError(
                found=f"the soft prompt in {folder} was trained on {manifest.backbone!r} ({what} {found[:16]})",
                expected=f"one trained on {backbone.id!r} ({what} {expected[:16]})",
                next_step=f"train for this backbone: {_RETRAIN}; or set `backbone: {manifest.backbone}` in domain.yaml",
            )

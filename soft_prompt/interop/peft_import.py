"""A soft prompt or an adapter that PEFT trained, as a graft."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from soft_prompt.errors import ArtifactError
from soft_prompt.graft.adapter import Adapter, linear_layers
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.graft.text_twin import from_text_twin
from soft_prompt.interop.peft_folder import (
    CONFIG,
    DOWN,
    IMPORT_ANOTHER,
    LAYER_PREFIX,
    LORA,
    PREFIX_TUNING,
    PROMPT_EMBEDDINGS,
    PROMPT_TUNING,
    TENSORS,
    UP,
    PeftFolder,
    read_peft_folder,
)
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import probe, require_movable_positions
from soft_prompt.positions.rotary import unrotate

# Settings of LoRA with which a layer does something other than add (alpha / r) * up(down(x)), or with which more than
# linear layers of the blocks were changed. Each has to be absent, false or empty.
_ELSEWHERE = (
    "alpha_pattern", "arrow_config", "fan_in_fan_out", "kasa_config", "layer_replication", "lora_bias",
    "megatron_config", "modules_to_save", "monteclora_config", "rank_pattern", "target_parameters",
    "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora",
)  # fmt: skip
# Ways to start that leave the backbone's weights as they are. PiSSA and its kin change them, on every load.
_HARMLESS_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")

Settings = TypeVar("Settings", bound=BaseModel)


class _VirtualTokens(BaseModel):
    num_virtual_tokens: int = Field(ge=1)
    num_transformer_submodules: int | None = None
    num_layers: int | None = None
    num_attention_heads: int | None = None
    token_dim: int | None = None


class _Lora(BaseModel):
    r: int = Field(ge=1)
    lora_alpha: float = Field(allow_inf_nan=False)
    use_rslora: bool = False
    bias: str = "none"


def import_peft(folder: Path, backbone: Backbone, slot: str | None = None, text_twin: str | None = None) -> SoftPrompt:
    """Read an adapter that PEFT or `export_peft` saved.

    Prompt tuning becomes the kind `embedding`, prefix tuning the kind `kv` with the positions taken off its keys, and
    LoRA an adapter alone, its scale put into `up`. LoRA acts from the slot on here, as an activated LoRA
    does; a plain one was trained to act on every token.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        backbone: which it was trained on.
        slot: the soft slot that it fills; None takes that of a graft that was exported.
        text_twin: the text that stands for it, and for LoRA the words in the slot, from which on it acts; "" leaves
            the slot empty. None takes that of a graft that was exported.

    Returns:
        A soft prompt in fp32.

    Raises:
        ArtifactError: damaged, of another backbone, or of a method that this project has not.
        BackboneError: an encoder-decoder; or prefix tuning, and keys of this backbone cannot be moved.
    """
    backbone.require_decoder_only("an import from PEFT")
    found = read_peft_folder(folder)
    _check_backbone(found, backbone)
    if found.provenance is not None:
        slot = found.provenance.slot if slot is None else slot
        text_twin = found.provenance.text_twin if text_twin is None else text_twin
    if slot is None or text_twin is None:
        raise ArtifactError(
            found=f"{folder} was trained by PEFT, which knows of no slot and no text twin",
            expected="a soft slot and a text that stands for it",
            next_step="name both: import_peft(folder, backbone, slot, text_twin); the command takes the template's",
        )
    method = found.config["peft_type"]
    if method == PROMPT_TUNING:
        return SoftPrompt(slot, _embeddings(found, backbone.hidden_size), text_twin)
    if method == PREFIX_TUNING:
        below = found.provenance.lower_layers if found.provenance else 0
        vectors = _keys_and_values(found, backbone)
        if not 0 <= below < len(vectors):
            raise _refusal(found, f"says that {below} of {len(vectors)} layers were never trained", "fewer than all")
        return SoftPrompt(slot, vectors, text_twin, "kv").with_trained_layers(len(vectors) - below)
    if method == LORA:
        return replace(_words(found, backbone, slot, text_twin), kind="adapter", adapter=_adapter(found, backbone))
    raise _refusal(
        found, f"is of the method {method!r}", f"{PROMPT_TUNING}, {PREFIX_TUNING}, or {LORA} on linear layers"
    )


def _words(found: PeftFolder, backbone: Backbone, slot: str, text_twin: str) -> SoftPrompt:
    """The slot of an adapter alone: the words of its text twin, as many as there were, or nothing."""
    length = found.provenance.length if found.provenance else None
    if not text_twin or length == 0:
        return SoftPrompt(slot, torch.zeros(0, backbone.hidden_size), text_twin)
    return from_text_twin(backbone, slot, text_twin, length)


def _check_backbone(found: PeftFolder, backbone: Backbone) -> None:
    own = found.provenance
    if own is None:
        # What PEFT itself saves names no digest; the shapes of its tensors have to do.
        return
    for what, theirs, ours in (
        ("weights", own.backbone_digest, backbone.digest),
        ("tokenizer", own.tokenizer_hash, backbone.tokenizer_hash),
    ):
        if theirs != ours:
            raise ArtifactError(
                found=f"the graft in {found.folder} was trained on {own.backbone!r} ({what} {theirs[:16]})",
                expected=f"one trained on {backbone.id!r} ({what} {ours[:16]})",
                next_step=f"set `backbone: {own.backbone}` in domain.yaml, or: {IMPORT_ANOTHER}",
            )


def _embeddings(found: PeftFolder, width: int) -> Tensor:
    """The one tensor of a prompt-learning method, `[virtual tokens, width]`."""
    config = _settings(found, _VirtualTokens)
    if config.num_transformer_submodules not in (None, 1):
        raise _refusal(found, "is made for an encoder-decoder", "one made for a causal language model")
    expected = (config.num_virtual_tokens, width)
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    if shapes != {PROMPT_EMBEDDINGS: expected}:
        raise _refusal(
            found, f"holds {_shown(shapes)}", f"{PROMPT_EMBEDDINGS} {expected} alone on this backbone", TENSORS
        )
    return found.tensors[PROMPT_EMBEDDINGS]


def _keys_and_values(found: PeftFolder, backbone: Backbone) -> Tensor:
    """`[layers, 2, kv_heads, length, head_dim]`, keys without position.

    A prefix that was trained through a projection is saved by PEFT as what came out of it, so it is read alike.
    """
    require_movable_positions(backbone)
    layout = probe(backbone)
    layers = len(layout.rotated_layers)
    config = _settings(found, _VirtualTokens)
    # The same count of numbers may be other layers of another width.
    theirs = (config.num_layers, config.num_attention_heads, config.token_dim)
    ours = (layers, layout.kv_heads, layout.kv_heads * layout.head_dim)
    if theirs != ours:
        raise _refusal(
            found,
            f"says num_layers, num_attention_heads and token_dim are {theirs}",
            f"{ours}, the layers, heads of keys and their joint width of {backbone.id!r}",
        )
    flat = _embeddings(found, layers * 2 * layout.kv_heads * layout.head_dim)
    placed = flat.reshape(len(flat), layers, 2, layout.kv_heads, layout.head_dim).permute(1, 2, 3, 0, 4)
    placed = placed.to(backbone.device)
    keys = unrotate(backbone, placed[:, 0], 0)
    return torch.stack((keys, placed[:, 1]), dim=1).cpu().contiguous()


def _adapter(found: PeftFolder, backbone: Backbone) -> Adapter:
    """Beside every linear layer of the blocks; where PEFT had none, its weights are zeros, which add nothing."""
    config = _settings(found, _Lora)
    raw = found.config
    odd = {name: raw[name] for name in _ELSEWHERE if raw.get(name)}
    odd |= {"bias": config.bias} if config.bias != "none" else {}
    start = raw.get("init_lora_weights")
    odd |= {} if start in _HARMLESS_STARTS else {"init_lora_weights": start}
    if odd:
        raise _refusal(found, f"sets {_shown(odd)}", "plain LoRA of one rank on linear layers, without these settings")
    beside = linear_layers(backbone)
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    shapes = {
        f"{LAYER_PREFIX}{name}{part}": shape
        for name, layer in beside.items()
        for part, shape in ((DOWN, (config.r, layer.in_features)), (UP, (layer.out_features, config.r)))
    }
    foreign = {
        name: tuple(t.shape) for name, t in found.tensors.items() if shapes.get(name) != tuple(t.shape)
    } or _halves(found.tensors)
    if foreign or not found.tensors:
        raise _refusal(
            found,
            f"holds {_shown(foreign) or 'nothing'}",
            f"pairs of {DOWN[1:]} and {UP[1:]} of rank {config.r} beside linear layers of {backbone.id!r}",
            TENSORS,
        )
    weights = {name: found.tensors[name] if name in found.tensors else torch.zeros(shapes[name]) for name in shapes}
    return Adapter(
        down={name: weights[f"{LAYER_PREFIX}{name}{DOWN}"] for name in beside},
        up={name: weights[f"{LAYER_PREFIX}{name}{UP}"] * scale for name in beside},
    )


def _halves(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Tensors whose other half is missing."""
    other = {name: name.replace(DOWN, UP) if name.endswith(DOWN) else name.replace(UP, DOWN) for name in tensors}
    return {name: tuple(tensors[name].shape) for name, pair in other.items() if pair not in tensors}


def _settings(found: PeftFolder, kind: type[Settings]) -> Settings:
    try:
        return kind.model_validate(dict(found.config))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise _refusal(found, f"says {problems}", "the settings that PEFT writes for this method") from error


def _shown(entries: Mapping[str, Any]) -> str:
    """The first few of them."""
    listed = [f"{name}: {value}" for name, value in sorted(entries.items())]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _refusal(found: PeftFolder, what: str, expected: str, file: str = CONFIG) -> ArtifactError:
    return ArtifactError(found=f"{found.folder / file} {what}", expected=expected, next_step=IMPORT_ANOTHER)

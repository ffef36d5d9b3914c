"""Import of a soft prompt or an adapter that PEFT trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from soft_prompt.artifact.manifest import problems_of, require_backbone
from soft_prompt.errors import ArtifactError
from soft_prompt.graft.adapter import Adapter, linear_layers
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.graft.text_twin import from_text_twin
from soft_prompt.interop import peft_folder
from soft_prompt.interop.peft_folder import IMPORT_ANOTHER, PeftFolder, lora_names, read_peft_folder
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.probe import require_movable_positions
from soft_prompt.positions.rotary import unrotate

# LoRA settings with which a layer does not just add (alpha / r) * up(down(x)) to its output, or which change more than
# the linear layers of the blocks. Each must be absent, false or empty.
_UNSUPPORTED_SETTINGS = (
    "alpha_pattern", "arrow_config", "fan_in_fan_out", "kasa_config", "layer_replication", "lora_bias",
    "megatron_config", "modules_to_save", "monteclora_config", "rank_pattern", "target_parameters",
    "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora",
)  # fmt: skip
# Initialisations that do not change the backbone's weights. PiSSA and similar ones change them at every load.
_SUPPORTED_INITIALISATIONS = (None, True, False, "gaussian", "eva", "orthogonal")

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

    Prompt tuning becomes the kind `embedding`, prefix tuning the kind `kv` with keys rotated back, and LoRA an adapter
    alone with its scale multiplied into `up`. The adapter acts from the slot on, as an activated LoRA does, although a
    plain one was trained to act on every token.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        backbone: that it was trained on.
        slot: the soft slot to fill; None takes that of the exported graft.
        text_twin: its text twin. For LoRA also the words in the slot; "" leaves the slot empty. None takes that of the
            exported graft.

    Returns:
        A soft prompt in fp32.

    Raises:
        ArtifactError: if it is damaged, of another backbone, or of an unsupported method.
        BackboneError: if the backbone is an encoder-decoder; for prefix tuning, if the backbone's keys cannot be moved.
    """
    backbone.require_decoder_only("an import from PEFT")
    peft = read_peft_folder(folder)
    # PEFT saves no digest; the shapes of the tensors must suffice.
    if peft.provenance is not None:
        choose = f"set `backbone: {peft.provenance.backbone}` in domain.yaml, or: {IMPORT_ANOTHER}"
        require_backbone(peft.provenance, backbone, f"the graft in {folder}", choose)
        slot = peft.provenance.slot if slot is None else slot
        text_twin = peft.provenance.text_twin if text_twin is None else text_twin
    if slot is None or text_twin is None:
        raise ArtifactError(
            found=f"{folder} was trained by PEFT, without a slot and a text twin",
            expected="a soft slot and its text twin",
            next_step="name both: import_peft(folder, backbone, slot, text_twin); the command takes the template's",
        )
    if peft.provenance is not None and peft.provenance.length > backbone.context_length:
        length = peft.provenance.length
        raise _refusal(peft, f"says a length of {length:,}", _within_context(backbone), peft_folder.PROVENANCE)
    soft_prompt = _require_finite(peft, _imported(peft, backbone, slot, text_twin))
    peft.require_unchanged()
    return soft_prompt


def _within_context(backbone: Backbone) -> str:
    return f"at most {backbone.context_length:,} positions, the context of {backbone.id!r}"


def _require_finite(peft: PeftFolder, soft_prompt: SoftPrompt) -> SoftPrompt:
    """Refuse tensors that a large scale or a rotation made infinite."""
    for name, tensor in {**soft_prompt.frozen_tensors(), **soft_prompt.tensors()}.items():
        if not torch.isfinite(tensor).all():
            expected = "finite weights and a scale that keeps them finite"
            raise _refusal(peft, f"makes {name} infinite or undefined", expected)
    return soft_prompt


def _imported(peft: PeftFolder, backbone: Backbone, slot: str, text_twin: str) -> SoftPrompt:
    method = peft.method
    if method == peft_folder.PROMPT_TUNING:
        return SoftPrompt(slot, _embeddings(peft, backbone, backbone.hidden_size), text_twin)
    if method == peft_folder.PREFIX_TUNING:
        below = peft.provenance.lower_layers if peft.provenance else 0
        vectors = _keys_and_values(peft, backbone)
        if not 0 <= below < len(vectors):
            raise _refusal(peft, f"says that {below} of {len(vectors)} layers were never trained", "fewer than all")
        return SoftPrompt(slot, vectors, text_twin, "kv").with_trained_layers(len(vectors) - below)
    if method == peft_folder.LORA:
        # The slot has its text twin at the exported length, or nothing.
        length = peft.provenance.length if peft.provenance else None
        filled = SoftPrompt(slot, torch.zeros(0, backbone.hidden_size), text_twin)
        if text_twin and length != 0:
            filled = from_text_twin(backbone, slot, text_twin, length)
        return replace(filled, kind="adapter", adapter=_adapter(peft, backbone))
    expected = f"{peft_folder.PROMPT_TUNING}, {peft_folder.PREFIX_TUNING}, or {peft_folder.LORA} on linear layers"
    raise _refusal(peft, f"is of the method {method!r}", expected)


def _embeddings(peft: PeftFolder, backbone: Backbone, width: int) -> Tensor:
    """The only tensor of prompt or prefix tuning, `[virtual tokens, width]`."""
    config = _settings(peft, _VirtualTokens)
    if config.num_transformer_submodules not in (None, 1):
        raise _refusal(peft, "is made for an encoder-decoder", "one made for a causal language model")
    expected = (config.num_virtual_tokens, width)
    if config.num_virtual_tokens > backbone.context_length:
        raise _refusal(peft, f"says {config.num_virtual_tokens:,} virtual tokens", _within_context(backbone))
    shapes = dict(peft.shapes)
    if shapes != {peft_folder.PROMPT_EMBEDDINGS: expected}:
        named = f"{peft_folder.PROMPT_EMBEDDINGS} {expected} alone on this backbone"
        raise _refusal(peft, f"holds {_first_entries(shapes)}", named, peft_folder.TENSORS)
    return peft.load_tensors()[peft_folder.PROMPT_EMBEDDINGS]


def _keys_and_values(peft: PeftFolder, backbone: Backbone) -> Tensor:
    """`[layers, 2, kv_heads, length, head_dim]`, keys without position.

    If a prefix was trained through a projection, PEFT saves its output, so both have the same form.
    """
    require_movable_positions(backbone)
    layers, heads, head_dim = backbone.cache_layout
    config = _settings(peft, _VirtualTokens)
    # A tensor of the same size may have other layers of another width.
    theirs = (config.num_layers, config.num_attention_heads, config.token_dim)
    ours = (layers, heads, heads * head_dim)
    if theirs != ours:
        expected = f"{ours}, the layers, key-value heads and their total width of {backbone.id!r}"
        raise _refusal(peft, f"says num_layers, num_attention_heads and token_dim are {theirs}", expected)
    flat = _embeddings(peft, backbone, layers * 2 * heads * head_dim)
    placed = flat.reshape(len(flat), layers, 2, heads, head_dim).permute(1, 2, 3, 0, 4)
    placed = placed.to(backbone.device)
    keys = unrotate(backbone, placed[:, 0], 0)
    return torch.stack((keys, placed[:, 1]), dim=1).cpu().contiguous()


def _adapter(peft: PeftFolder, backbone: Backbone) -> Adapter:
    """An adapter beside every linear layer of the blocks; zeros where PEFT has none, which add nothing."""
    config = _settings(peft, _Lora)
    raw = peft.config
    unsupported = {name: raw[name] for name in _UNSUPPORTED_SETTINGS if raw.get(name)}
    unsupported |= {"bias": config.bias} if config.bias != "none" else {}
    initialisation = raw.get("init_lora_weights")
    unsupported |= {} if initialisation in _SUPPORTED_INITIALISATIONS else {"init_lora_weights": initialisation}
    if unsupported:
        expected = "plain LoRA of one rank on linear layers, without these settings"
        raise _refusal(peft, f"sets {_first_entries(unsupported)}", expected)
    layers = linear_layers(backbone)
    if not layers:
        raise _refusal(peft, f"is LoRA, and {backbone.id!r} has no linear layers", "a backbone with linear layers")
    widest = max(min(layer.in_features, layer.out_features) for layer in layers.values())
    if config.r > widest:
        raise _refusal(peft, f"says a rank of {config.r:,}", f"at most {widest:,}, the width of the widest layer")
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    pairs = {name: lora_names(name) for name in layers}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (down, up) in pairs.items():
        shapes |= {down: (config.r, layers[name].in_features), up: (layers[name].out_features, config.r)}
    found = dict(peft.shapes)
    unpaired = {name for pair in pairs.values() for name in pair if not found.keys() >= set(pair)}
    unexpected = {name: shape for name, shape in found.items() if shapes.get(name) != shape or name in unpaired}
    if unexpected or not found:
        expected = (
            f"pairs of lora_A.weight and lora_B.weight of rank {config.r} beside linear layers of {backbone.id!r}"
        )
        raise _refusal(peft, f"holds {_first_entries(unexpected) or 'nothing'}", expected, peft_folder.TENSORS)
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()} | peft.load_tensors()
    return Adapter(
        down={name: weights[down] for name, (down, _) in pairs.items()},
        up={name: weights[up] * scale for name, (_, up) in pairs.items()},
    )


def _settings(peft: PeftFolder, model: type[Settings]) -> Settings:
    try:
        return model.model_validate(dict(peft.config))
    except ValidationError as error:
        raise _refusal(
            peft, f"has wrong settings: {problems_of(error)}", "the settings that PEFT writes for this method"
        ) from error


def _first_entries(entries: Mapping[str, Any]) -> str:
    """The first entries, as text."""
    listed = [f"{name}: {value}" for name, value in sorted(entries.items())]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _refusal(peft: PeftFolder, what: str, expected: str, file: str = peft_folder.CONFIG) -> ArtifactError:
    return ArtifactError(found=f"{peft.folder / file} {what}", expected=expected, next_step=IMPORT_ANOTHER)

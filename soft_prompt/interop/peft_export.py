"""Export of a graft to a PEFT adapter with the same logits.

Soft prompts become prompt tuning or prefix tuning, which PEFT puts at the start of the prompt. An adapter alone becomes
an activated LoRA (aLoRA, Greenewald et al. 2025, arXiv:2504.12397), which acts from its invocation tokens on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soft_prompt.artifact.manifest import Manifest
from soft_prompt.errors import ArtifactError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.interop import peft_folder
from soft_prompt.interop.invocation import slot_ids
from soft_prompt.interop.peft_folder import Provenance, lora_names, write_peft_folder
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.weights import EMBEDDED
from soft_prompt.positions.rotary import rotate

_AT_START = "before every token of the prompt, the slot itself left empty"
_INVOKED = (
    "from the last occurrence of `alora_invocation_tokens` on: the tokens of the slot, which holds its text twin "
    "(nothing if the length is 0), and of the text after it"
)


def export_peft(
    folder: Path,
    soft_prompt: SoftPrompt,
    backbone: Backbone,
    *,
    invocation_ids: Sequence[int] | None = None,
    manifest: Manifest | None = None,
) -> str:
    """Write a graft for `peft.PeftModel.from_pretrained(model, folder)`.

    PEFT gives the logits of this project with the slot at the start of the prompt (for an adapter: at the invocation
    tokens), ordinary causal attention and no padding.

    Args:
        folder: must be empty or not exist.
        soft_prompt: vectors without an adapter, or an adapter alone, with its text twin or nothing in the slot.
        backbone: that it was trained on.
        invocation_ids: for an adapter alone, the token ids in the slot and right after it
            (`soft_prompt.interop.invocation`). None takes those in the slot.
        manifest: as saved with the graft, so that an import loses nothing.

    Returns:
        PEFT's name of the method: `PROMPT_TUNING`, `PREFIX_TUNING` or `LORA`.

    Raises:
        ArtifactError: if PEFT has no method that gives the same logits, or if the folder cannot be written.
        BackboneError: if the backbone is an encoder-decoder; if the soft prompt is of the kind `kv` and the backbone's
            keys cannot be moved.
    """
    backbone.require_decoder_only("an export to PEFT")
    adapter = soft_prompt.adapter
    within = slot_ids(backbone, soft_prompt) if adapter is not None else None
    if adapter is not None and within is None:
        raise ArtifactError(
            found=f"vectors of the kind {soft_prompt.kind!r} and an adapter of the method {adapter.method!r}",
            expected="one of the two, since no PEFT method combines both",
            next_step="train the vectors alone: softgraft train DOMAIN --adapter none",
        )
    if adapter is None and invocation_ids is not None:
        raise ArtifactError(
            found="invocation tokens for a soft prompt without an adapter",
            expected="invocation tokens for an adapter alone, since they activate nothing else",
            next_step="leave `invocation_ids` out",
        )
    if manifest is not None and manifest.attention != "exact":
        raise ArtifactError(
            found=f"a soft prompt that was trained in {manifest.attention!r} attention",
            expected="one trained in `exact` attention, the only one that PEFT supports",
            next_step="set `attention: exact` in domain.yaml, and train again: softgraft train DOMAIN",
        )
    if adapter is not None:
        method, settings, tensors = _lora(adapter, backbone, invocation_ids or within or ())
    elif soft_prompt.kind == "kv":
        method, settings, tensors = _prefix_tuning(soft_prompt, backbone)
    else:
        method, settings, tensors = _prompt_tuning(soft_prompt, backbone)
    config = {
        "peft_type": method,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        # PEFT cannot load the embedded backbone by a name.
        "base_model_name_or_path": None if backbone.id == EMBEDDED else backbone.id,
        **settings,
    }
    provenance = Provenance(
        format_version=peft_folder.PROVENANCE_VERSION,
        slot=soft_prompt.slot,
        text_twin=soft_prompt.text_twin,
        length=soft_prompt.length,
        lower_layers=soft_prompt.lower_layers,
        backbone=backbone.id,
        backbone_digest=backbone.digest,
        tokenizer_hash=backbone.tokenizer_hash,
        placement=_AT_START if adapter is None else _INVOKED,
        manifest=manifest,
    )
    write_peft_folder(folder, config, tensors, provenance)
    return method


Exported = tuple[str, dict[str, Any], dict[str, Tensor]]


def _prompt_tuning(soft_prompt: SoftPrompt, backbone: Backbone) -> Exported:
    config = backbone.model.config.get_text_config()
    settings = {
        "prompt_tuning_init": "RANDOM",
        "num_virtual_tokens": soft_prompt.length,
        "token_dim": backbone.hidden_size,
        "num_layers": int(config.num_hidden_layers),
        "num_attention_heads": int(config.num_attention_heads),
        "num_transformer_submodules": 1,
    }
    return peft_folder.PROMPT_TUNING, settings, {peft_folder.PROMPT_EMBEDDINGS: soft_prompt.vectors}


def _prefix_tuning(soft_prompt: SoftPrompt, backbone: Backbone) -> Exported:
    """Keys are rotated to the positions 0, 1, ...; PEFT uses them unchanged, and the prompt starts after them."""
    vectors = soft_prompt.vectors.detach().to(backbone.device)
    if soft_prompt.lower is not None:
        vectors = torch.cat((soft_prompt.lower.to(backbone.device), vectors))
    keys = rotate(backbone, vectors[:, 0], 0)
    placed = torch.stack((keys, vectors[:, 1]), dim=1)
    layers, _, kv_heads, length, head_dim = placed.shape
    settings = {
        "prefix_projection": False,
        "num_virtual_tokens": length,
        "token_dim": kv_heads * head_dim,
        "num_layers": layers,
        "num_attention_heads": kv_heads,
        "num_transformer_submodules": 1,
        "encoder_hidden_size": kv_heads * head_dim,
    }
    # One row per position: for each layer the keys of all heads, then the values.
    rows = placed.permute(3, 0, 1, 2, 4).reshape(length, -1)
    return peft_folder.PREFIX_TUNING, settings, {peft_folder.PROMPT_EMBEDDINGS: rows}


def _lora(adapter: Adapter, backbone: Backbone, invocation_ids: Sequence[int]) -> Exported:
    if adapter.method != "lora" or adapter.scale_in or adapter.scale_out:
        raise ArtifactError(
            found="an adapter that scales what goes into or comes out of layers, as (IA)³ does",
            expected="low-rank weights alone, the only kind that PEFT activates at a token",
            next_step="train low-rank weights: softgraft train DOMAIN --kind adapter --adapter lora",
        )
    ranks = {int(down.shape[0]) for down in adapter.down.values()}
    if len(ranks) != 1 or not invocation_ids:
        raise ArtifactError(
            found=f"weights of the ranks {sorted(ranks)} and {len(invocation_ids)} invocation tokens",
            expected="weights of one rank, and at least one invocation token",
            next_step="compute the tokens with soft_prompt.interop.invocation.invocation_ids",
        )
    _require_token_dimension(backbone, adapter)
    settings = {
        "r": adapter.rank,
        # PEFT scales by alpha / r.
        "lora_alpha": adapter.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "target_modules": _target_modules(backbone, adapter.down),
        "alora_invocation_tokens": [int(i) for i in invocation_ids],
    }
    tensors: dict[str, Tensor] = {}
    for name in adapter.down:
        down, up = lora_names(name)
        tensors |= {down: adapter.down[name], up: adapter.up[name]}
    return peft_folder.LORA, settings, tensors


def _require_token_dimension(backbone: Backbone, adapter: Adapter) -> None:
    """Refuse layers whose input has no token dimension, which PEFT needs to activate an adapter; OPT flattens it."""
    flattened: list[str] = []

    def watch(name: str) -> Any:
        return lambda _, inputs: flattened.append(name) if inputs[0].dim() != 3 else None

    hooks = [backbone.model.get_submodule(name).register_forward_pre_hook(watch(name)) for name in adapter.down]
    try:
        with torch.no_grad():
            backbone.model(input_ids=torch.tensor([[0, 0]], device=backbone.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    if flattened:
        raise ArtifactError(
            found=f"an adapter beside {flattened[0]}, whose input has no token dimension on {backbone.id!r}",
            expected="layers with an input of `[batch, tokens, hidden]`, which PEFT needs to activate an adapter",
            next_step="train vectors alone for this backbone: softgraft train DOMAIN --kind embedding --adapter none",
        )


def _target_modules(backbone: Backbone, layers: Iterable[str]) -> list[str]:
    """PEFT's `target_modules`: the last parts of the names if they match these layers exactly, else the full names."""
    wanted = set(layers)
    short = {name.rsplit(".", 1)[-1] for name in wanted}
    matched = {name for name, _ in backbone.model.named_modules() if name.rsplit(".", 1)[-1] in short}
    return sorted(short if matched == wanted else wanted)

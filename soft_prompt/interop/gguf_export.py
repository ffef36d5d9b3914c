"""A graft as one GGUF file for llama.cpp, with the same new tokens as a Transformers checkpoint has.

For backbones of the Llama architecture whose tokenizer cuts text as SmolLM2's does, which are those that were tried.
llama.cpp cuts text by rules of its own, so a chat request there has no boundaries between segments (see `graft_chat`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.files import new_file
from soft_prompt.interop.grown_vocabulary import GrownVocabulary
from soft_prompt.interop.hf_export import HfGraft, grown_by, provenance, written_chat
from soft_prompt.model.backbone import Backbone

PROVENANCE = "softgraft.provenance"
# llama.cpp's name for a tokenizer that cuts single digits, then words as GPT-2 does.
PRE_TOKENIZER = "smollm"
_BLOCK = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


@dataclass(frozen=True)
class GgufExport:
    """What was written.

    Attributes:
        file: the GGUF file.
        tokens: domain to the token ids of its soft positions, in order.
        bytes: its size.
    """

    file: Path
    tokens: Mapping[str, range]
    bytes: int


def export_gguf(file: Path, backbone: Backbone, grafts: Mapping[str, HfGraft]) -> GgufExport:
    """Write a GGUF file that answers with grafts. Weights keep the backbone's dtype; norms are fp32.

    Args:
        file: where to; refused if it is there.
        backbone: which the soft prompts were trained on.
        grafts: as `export_hf` takes them.

    Raises:
        ArtifactError: the file is there or cannot be written, or as `export_hf`.
        BackboneError: another architecture or tokenizer, or as `export_hf`.
    """
    _require_llama(backbone)
    grown, tokens = grown_by(backbone, grafts)
    with new_file(file) as fresh:
        about = provenance(backbone, grown, grafts, tokens)
        _write(fresh, grown, written_chat(backbone, grown, grafts, ""), about)
        size = fresh.stat().st_size
    return GgufExport(file, tokens, size)


def _require_llama(backbone: Backbone) -> None:
    """Refuse what was never tried in llama.cpp."""
    config = backbone.model.config
    rope = getattr(config, "rope_parameters", None) or {}
    plain = (
        config.model_type == "llama"
        and rope.get("rope_type") == "default"
        and not config.attention_bias
        and not config.mlp_bias
        and config.hidden_act == "silu"
    )
    if not plain or not _cuts_as_smollm(backbone.tokenizer):
        raise BackboneError(
            found=f"the backbone {backbone.id!r} ({config.model_type})"
            + ("" if plain else " is no plain Llama")
            + (", and its tokenizer cuts text as SmolLM2's does not" if plain else ""),
            expected="a plain Llama with the tokenizer of SmolLM2, which is what was tried in llama.cpp",
            next_step="softgraft export DOMAIN --format hf, then convert it as docs/export.md describes",
        )


def _cuts_as_smollm(tokenizer: Any) -> bool:
    """Whether llama.cpp's rules of that name cut text as this tokenizer does."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = (whole["pre_tokenizer"] or {}).get("pretokenizers", [])
    return (
        whole["model"]["type"] == "BPE"
        and whole["normalizer"] is None
        and [step["type"] for step in steps] == ["Digits", "ByteLevel"]
        and steps[0]["individual_digits"]
        and steps[1]["use_regex"]
        and not steps[1]["add_prefix_space"]
    )


def _write(file: Path, grown: GrownVocabulary, chat: str, about: Mapping[str, Any]) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
    from gguf.quants import quantize

    config = grown.config
    dtype = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[grown.state["lm_head.weight"].dtype]
    writer = GGUFWriter(file, "llama")
    try:
        writer.add_name("Softgraft " + " ".join(about["domains"]))
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_file_type({"F32": LlamaFileType.ALL_F32, "F16": LlamaFileType.MOSTLY_F16,
                              "BF16": LlamaFileType.MOSTLY_BF16}[dtype])  # fmt: skip
        writer.add_string(PROVENANCE, json.dumps(about, ensure_ascii=False))
        _add_tokenizer(writer, grown, chat)
        for name, array in _arrays(grown):
            kind = GGMLQuantizationType[dtype if array.ndim > 1 else "F32"]
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_tokenizer(writer: Any, grown: GrownVocabulary, chat: str) -> None:
    from gguf import TokenType

    tokenizer = grown.tokenizer
    names = {number: text for text, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    kinds = [
        TokenType.NORMAL
        if number not in added
        else (TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED)
        for number in range(len(names))
    ]
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([names[number] for number in range(len(names))])
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_chat_template(chat)


def _arrays(grown: GrownVocabulary) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every weight under llama.cpp's name, fp32."""
    config = grown.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in grown.state.items():
        layer = name.removesuffix(".weight")
        if layer in _WHOLE:
            yield f"{_WHOLE[layer]}.weight", _array(tensor)
            continue
        number, _, rest = layer.removeprefix("model.layers.").partition(".")
        own = _BLOCK[rest]
        whole = _interleaved(tensor, heads[own]) if own in heads else tensor
        yield f"blk.{number}.{own}.weight", _array(whole)


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows `[heads * head_dim, hidden]` as llama.cpp has them, which rotates neighbours in a head, not its halves."""
    head_dim = weight.shape[0] // heads
    return weight.view(heads, 2, head_dim // 2, -1).transpose(1, 2).reshape(weight.shape)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return found

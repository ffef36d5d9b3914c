"""Export of grafts to one GGUF file for llama.cpp, with the same new tokens as in a Transformers checkpoint.

Supports backbones of the Llama architecture with the tokenizer of SmolLM2; others have not been tested in llama.cpp.
llama.cpp pre-tokenizes by its own rules, so a chat request there has no boundaries between segments (see
`chat_template`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.files import new_file
from soft_prompt.interop.chat_template import chat_template
from soft_prompt.interop.extended_vocabulary import ExtendedVocabulary, HfGraft, extend_vocabulary
from soft_prompt.interop.hf_export import export_record
from soft_prompt.json_text import dump_json
from soft_prompt.model.backbone import Backbone

PROVENANCE = "softgraft.provenance"
# llama.cpp's name for a pre-tokenizer that splits off single digits, then words as GPT-2 does.
PRE_TOKENIZER = "smollm"


def export_gguf(file: Path, backbone: Backbone, grafts: Mapping[str, HfGraft]) -> Mapping[str, range]:
    """Write grafts and their backbone to a GGUF file. Weights keep the backbone's dtype; norms are fp32.

    Args:
        file: must not exist.
        backbone: that the soft prompts were trained on.
        grafts: as in `export_hf`.

    Returns:
        By domain, the token ids of its soft prompt.

    Raises:
        ArtifactError: if the file exists or cannot be written; or as `export_hf`.
        BackboneError: if the architecture or tokenizer is not supported; or as `export_hf`.
    """
    _require_llama(backbone)
    vocabulary = extend_vocabulary(backbone, grafts)
    with new_file(file) as scratch:
        _write(scratch, vocabulary)
    return vocabulary.tokens


def _require_llama(backbone: Backbone) -> None:
    """Refuse a backbone that was not tested in llama.cpp."""
    config = backbone.model.config
    rope = getattr(config, "rope_parameters", None) or {}
    plain = (
        config.model_type == "llama"
        and rope.get("rope_type") == "default"
        and not config.attention_bias
        and not config.mlp_bias
        and config.hidden_act == "silu"
    )
    if not plain or not _pre_tokenizes_as_smollm(backbone.tokenizer):
        raise BackboneError(
            found=f"the backbone {backbone.id!r} ({config.model_type})"
            + (", whose tokenizer does not split text as SmolLM2's does" if plain else ", which is no plain Llama"),
            expected="a plain Llama with the tokenizer of SmolLM2, which was tested in llama.cpp",
            next_step="softgraft export DOMAIN --format hf, then convert it as docs/export.md describes",
        )


def _pre_tokenizes_as_smollm(tokenizer: Any) -> bool:
    """Whether this tokenizer splits text as `PRE_TOKENIZER` in llama.cpp does."""
    config = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = (config["pre_tokenizer"] or {}).get("pretokenizers", [])
    return (
        config["model"]["type"] == "BPE"
        and config["normalizer"] is None
        and [step["type"] for step in steps] == ["Digits", "ByteLevel"]
        and steps[0]["individual_digits"]
        and steps[1]["use_regex"]
        and not steps[1]["add_prefix_space"]
    )


def _write(file: Path, vocabulary: ExtendedVocabulary) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
    from gguf.quants import quantize

    config = vocabulary.config
    dtypes = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    dtype = dtypes[vocabulary.state["lm_head.weight"].dtype]
    writer = GGUFWriter(file, "llama")
    try:
        writer.add_name("Softgraft " + " ".join(vocabulary.grafts))
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
        writer.add_file_type(LlamaFileType["ALL_F32" if dtype == "F32" else f"MOSTLY_{dtype}"])
        writer.add_string(PROVENANCE, dump_json(export_record(vocabulary), ensure_ascii=False))
        _add_tokenizer(writer, vocabulary)
        for name, array in _arrays(vocabulary):
            kind = GGMLQuantizationType[dtype if array.ndim > 1 else "F32"]
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_tokenizer(writer: Any, vocabulary: ExtendedVocabulary) -> None:
    from gguf import TokenType

    tokenizer = vocabulary.tokenizer
    names = {number: text for text, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    kinds = [TokenType.NORMAL] * len(names)
    for number, token in added.items():
        kinds[number] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([names[number] for number in range(len(names))])
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    for kind in ("bos", "eos", "unk", "pad"):
        number = getattr(tokenizer, f"{kind}_token_id")
        if number is not None:
            getattr(writer, f"add_{kind}_token_id")(number)
    writer.add_chat_template(chat_template(vocabulary, ""))


def _arrays(vocabulary: ExtendedVocabulary) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """All weights by their names in llama.cpp, in fp32."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = vocabulary.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in vocabulary.state.items():
        layer = name.split(".")[-2]
        weight = _interleaved(tensor, heads[layer]) if layer in heads else tensor
        yield names.get_name(name, (".weight",)), weight.detach().to("cpu", torch.float32).contiguous().numpy()


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows `[heads * head_dim, hidden]` in llama.cpp's order, which rotates neighbouring rows instead of halves."""
    head_dim = weight.shape[0] // heads
    return weight.view(heads, 2, head_dim // 2, -1).transpose(1, 2).reshape(weight.shape)

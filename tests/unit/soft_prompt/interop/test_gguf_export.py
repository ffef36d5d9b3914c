"""A graft as a GGUF file, read with the gguf package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize

from prompts import find_template, load_template
from soft_prompt import ArtifactError, Backbone, BackboneError, SoftPrompt, from_text_twin
from soft_prompt.interop.extended_vocabulary import HfGraft
from soft_prompt.interop.gguf_export import PROVENANCE, export_gguf
from soft_prompt.model.weights import split_digits

RAG = load_template(find_template("rag-chat"))
HEADS, KEY_HEADS, HEAD = 4, 2, 8


@pytest.fixture
def backbone(make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    """A random Llama with the tokenizer rules of SmolLM2."""
    made = make_tiny_backbone()
    split_digits(made.tokenizer)
    return made


@pytest.fixture
def soft(backbone: Backbone) -> SoftPrompt:
    start = from_text_twin(backbone, "domain", "Answer the question.", 5)
    return replace(start, vectors=start.vectors + 0.3)


def in_halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key weight, rotated back from neighbours to halves of a head."""
    by_head = weight.view(heads, HEAD, -1)
    return torch.cat((by_head[:, 0::2], by_head[:, 1::2]), dim=1).reshape(weight.shape)


def read(reader: GGUFReader) -> Iterator[tuple[str, torch.Tensor]]:
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        array = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        yield tensor.name, torch.from_numpy(np.array(array, dtype=np.float32))


def contents(reader: GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_weight_is_in_the_file(backbone: Backbone, soft: SoftPrompt, tmp_path: Path, dtype: torch.dtype) -> None:
    backbone.model.to(dtype)
    export_gguf(tmp_path / "bank.gguf", backbone, {"bank": HfGraft(soft, RAG)})
    written = dict(read(GGUFReader(tmp_path / "bank.gguf")))
    own = {name: tensor.float() for name, tensor in backbone.model.state_dict().items()}
    assert len(written) == len(own) == 3 + 3 * 9
    assert torch.equal(
        written["token_embd.weight"], torch.cat((own["model.embed_tokens.weight"], soft.vectors.to(dtype)))
    )
    assert torch.equal(written["output.weight"][:300], own["lm_head.weight"])
    assert torch.equal(written["output.weight"][300:], own["lm_head.weight"][[2] * 5])
    assert torch.equal(written["output_norm.weight"], own["model.norm.weight"])
    for number in range(3):
        ours, theirs = f"model.layers.{number}.", f"blk.{number}."
        for name, other in (
            ("attn_v", "self_attn.v_proj"),
            ("attn_output", "self_attn.o_proj"),
            ("ffn_gate", "mlp.gate_proj"),
            ("ffn_up", "mlp.up_proj"),
            ("ffn_down", "mlp.down_proj"),
            ("attn_norm", "input_layernorm"),
            ("ffn_norm", "post_attention_layernorm"),
        ):
            assert torch.equal(written[f"{theirs}{name}.weight"], own[f"{ours}{other}.weight"]), name
        for name, heads in (("q", HEADS), ("k", KEY_HEADS)):
            rotated = in_halves(written[f"{theirs}attn_{name}.weight"], heads)
            assert torch.equal(rotated, own[f"{ours}self_attn.{name}_proj.weight"]), name


def test_tokens_and_settings_are_in_the_file(backbone: Backbone, soft: SoftPrompt, tmp_path: Path) -> None:
    grafts = {"bank": HfGraft(soft, RAG), "clinic": HfGraft(replace(soft, vectors=soft.vectors[:2]), RAG)}
    token_ids = export_gguf(tmp_path / "bank.gguf", backbone, grafts)
    reader = GGUFReader(tmp_path / "bank.gguf")
    tokens, kinds = contents(reader, "tokenizer.ggml.tokens"), contents(reader, "tokenizer.ggml.token_type")
    vocabulary = backbone.tokenizer.get_vocab()
    assert dict(token_ids) == {"bank": range(300, 305), "clinic": range(305, 307)}
    assert tokens[:300] == sorted(vocabulary, key=vocabulary.__getitem__)
    assert kinds == [TokenType.CONTROL] * 3 + [TokenType.NORMAL] * 297 + [TokenType.CONTROL] * 7
    assert len(set(tokens)) == contents(reader, "llama.vocab_size") == 307
    merges = json.loads(backbone.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    assert contents(reader, "tokenizer.ggml.merges") == [" ".join(merge) for merge in merges]
    assert contents(reader, "tokenizer.ggml.pre") == "smollm"
    assert contents(reader, "tokenizer.ggml.add_bos_token") is False
    assert contents(reader, "tokenizer.ggml.eos_token_id") == 1
    config = backbone.model.config
    for name, value in {
        "block_count": 3,
        "context_length": 512,
        "embedding_length": 32,
        "feed_forward_length": 64,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KEY_HEADS,
        "rope.dimension_count": HEAD,
        "rope.freq_base": config.rope_parameters["rope_theta"],
        "attention.layer_norm_rms_epsilon": pytest.approx(config.rms_norm_eps),
    }.items():
        assert contents(reader, f"llama.{name}") == value, name
    # No boundary is between segments, since llama.cpp would read it as text.
    chat = contents(reader, "tokenizer.chat_template")
    assert "".join(tokens[300:305]) in chat
    assert 'these passages.\\n\\n" ~ (asked' in chat
    assert json.loads(contents(reader, PROVENANCE))["domains"]["clinic"]["first_token"] == 305


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("qwen2", {}),
        ("llama", {"attention_bias": True}),
        ("llama", {"mlp_bias": True}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
    ],
)
def test_an_untested_architecture_is_refused(
    make_tiny_backbone: Callable[..., Backbone], tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    backbone = make_tiny_backbone(family, **settings)
    split_digits(backbone.tokenizer)
    soft = from_text_twin(backbone, "domain", "Be brief.")
    with pytest.raises(BackboneError, match="no plain Llama") as caught:
        export_gguf(tmp_path / "bank.gguf", backbone, {"bank": HfGraft(soft, RAG)})
    assert "--format hf" in caught.value.next_step
    assert not list(tmp_path.iterdir())


def test_an_untested_tokenizer_is_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    soft = from_text_twin(tiny_backbone, "domain", "Be brief.")
    with pytest.raises(BackboneError, match="tokenizer does not split text"):
        export_gguf(tmp_path / "bank.gguf", tiny_backbone, {"bank": HfGraft(soft, RAG)})


def test_nothing_is_overwritten_and_a_failed_write_leaves_nothing(
    backbone: Backbone, soft: SoftPrompt, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ArtifactError, match="exists and is not an empty folder"):
        export_gguf(tmp_path / "mine", backbone, {"bank": HfGraft(soft, RAG)})
    with pytest.raises(ArtifactError, match="cannot be written"):
        export_gguf(tmp_path / "mine" / "bank.gguf", backbone, {"bank": HfGraft(soft, RAG)})
    (tmp_path / "there").mkdir()
    with pytest.raises(ArtifactError):
        export_gguf(tmp_path / "there", backbone, {"bank": HfGraft(soft, RAG)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "there"]

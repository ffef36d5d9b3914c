"""Folders of tiny sentence-transformers models with random weights and the prompts of a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

WINDOW = 32
_WORDS = "a b c query passage search document text represent this sentence for searching : _ 1 2"


def write_sentence_encoder(folder: Path, prompts: Mapping[str, str | None] | None, default: str | None = None) -> Path:
    """A model folder whose configuration has these prompts. The weights are the same each time."""
    source = folder.with_name(f"{folder.name}-bert")
    source.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS.split()]
    (source / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(source / "vocab.txt"), vocab_file=str(source / "vocab.txt")).save_pretrained(source)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes)).save_pretrained(source)
    modules = [Transformer(str(source), max_seq_length=WINDOW), Pooling(16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text("utf-8"))
    config.pop("prompts", None)
    config.pop("default_prompt_name", None)
    if prompts is not None:
        config |= {"prompts": dict(prompts), "default_prompt_name": default}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder

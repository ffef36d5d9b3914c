"""Backbones with random weights in the shape of well-known models: speed and memory depend on the shape alone."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from soft_prompt import Backbone
from soft_prompt.model.weights import prepared_folder

# Sizes of Llama 3.2 1B and Llama 3.1 8B. The vocabulary keeps its size, since logits over it are a large part of a
# step; the embedded tokenizer's ids are the first 49,152 of it.
SHAPES: dict[str, dict[str, int | bool]] = {
    "llama-1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "llama-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
VOCABULARY, CONTEXT = 128_256, 131_072


def random_backbone(shape: str, *, dtype: torch.dtype, device: str, seed: int) -> Backbone:
    """A Llama of that shape with random weights and the embedded backbone's tokenizer.

    Args:
        shape: a key of `SHAPES`.
        dtype: dtype of the weights.
        device: where the weights are made and stay.
        seed: of the weights.
    """
    tokenizer = AutoTokenizer.from_pretrained(prepared_folder())
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        **SHAPES[shape],
    )
    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return Backbone(id=f"{shape} with random weights", digest=f"random, seed {seed}", model=model, tokenizer=tokenizer)

"""Tiny random backbones: real Transformers models and a real tokenizer, made in milliseconds and without a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

# PyTorch and Transformers take seconds to import, so only the tests that ask for a backbone pay for them.
if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from soft_prompt import Backbone

CONTEXT = 512
# ChatML. It writes no system message of its own, so what a test renders is all that the model reads.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "You are a helpful assistant who answers questions from these passages.",
    "The fee for a transfer abroad is 12 pounds. The branch opens at nine and closes at five.",
    "Answer the question in one short sentence. What is the fee for the card? When does the branch open?",
]

# Families with rotary positions, by their Transformers model type. The windows are shorter than the tests' prompts, so
# that padding or a cut cache in the wrong place shows.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": {"head_dim": 8},
    # Rotates half of each head, and every query head has a key head of its own.
    "phi": {"num_key_value_heads": 4, "partial_rotary_factor": 0.5},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 8, "head_dim": 8},
    "gemma2": {"sliding_window": 8, "head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 8, "head_dim": 8, "query_pre_attn_scalar": 8},
    "phi3": {"sliding_window": 8},
}
# Families with a learned vector a position.
LEARNED: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 32},
}
# Encoder-decoders, whose decoder starts with the padding token.
ENCODERS: dict[str, dict[str, Any]] = {
    "t5": {
        "d_ff": 64,
        "d_kv": 8,
        "num_layers": 3,
        "num_decoder_layers": 2,
        "decoder_start_token_id": 2,
        "initializer_factor": 2.0,
    },
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "initializer_range": 0.5,
        "decoder_start_token_id": 2,
    },
}
ALL = {**FAMILIES, **LEARNED, **ENCODERS}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with few merges: most words and every non-Latin character take several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|pad|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
    )
    fast.chat_template = CHATML
    return fast


def end_inputs(tokenizer: PreTrainedTokenizerFast) -> None:
    """Let every input end with the end token, as T5's do."""
    from tokenizers.processors import TemplateProcessing

    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])


def make_backbone(family: str = "llama", *, seed: int = 0, **overrides: Any) -> Backbone:
    """A random backbone of a family of models, in fp32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from soft_prompt import Backbone

    tokenizer = make_tokenizer()
    if family in ENCODERS:
        end_inputs(tokenizer)
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        # The usual 0.02 makes attention so flat that a wrong mask or position would hardly change a logit.
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **{**settings, **ALL.get(family, {}), **overrides})
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = auto.from_config(config, dtype=torch.float32)
    if family == "t5":
        # It starts without the scale that trained ones have, and a loss is 40 nats a token.
        with torch.no_grad():
            model.lm_head.weight.mul_(0.15)
    return Backbone(id="tiny", digest="0" * 64, model=model, tokenizer=tokenizer)


@pytest.fixture(scope="session")
def tiny_backbone() -> Backbone:
    """A random Llama, shared by all tests: nothing may write to it."""
    return make_backbone()


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family_backbone(request: pytest.FixtureRequest) -> Backbone:
    """A random backbone of each family with rotary positions in turn."""
    return make_backbone(request.param)


@pytest.fixture(scope="session", params=sorted(LEARNED))
def learned_backbone(request: pytest.FixtureRequest) -> Backbone:
    """A random backbone of each family with learned positions in turn."""
    return make_backbone(request.param)


@pytest.fixture(scope="session")
def encoder_backbone() -> Backbone:
    """A random T5."""
    return make_backbone("t5")


@pytest.fixture(scope="session")
def make_tiny_backbone() -> Callable[..., Backbone]:
    """Makes further backbones: `make_tiny_backbone("mistral", seed=1, sliding_window=4)`."""
    return make_backbone

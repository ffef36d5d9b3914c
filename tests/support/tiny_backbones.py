"""Tiny random backbones: real Transformers models and a real tokenizer, built in milliseconds without any file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# PyTorch and Transformers take seconds to import, so only the tests that use a backbone pay for them.
if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from soft_prompt import Backbone

CONTEXT = 512
# ChatML. It adds no default system message, so the model reads exactly what a test renders.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "You are a helpful assistant who answers questions from these passages.",
    "The fee for a transfer abroad is 12 pounds. The branch opens at nine and closes at five.",
    "Answer the question in one short sentence. What is the fee for the card? When does the branch open?",
]

# Families with rotary positions, by Transformers model type. The sliding windows are shorter than the tests' prompts,
# so that wrong padding or a wrongly cropped cache changes the logits.
ROTARY_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": {"head_dim": 8},
    # Rotates half of each head; every query head has its own key head.
    "phi": {"num_key_value_heads": 4, "partial_rotary_factor": 0.5},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 8, "head_dim": 8},
    "gemma2": {"sliding_window": 8, "head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 8, "head_dim": 8, "query_pre_attn_scalar": 8},
    "phi3": {"sliding_window": 8},
}
# Full attention; sliding windows with normalised queries and keys; partial rotation without grouped queries.
REPRESENTATIVE_FAMILIES = ("llama", "gemma3_text", "phi")
# Families with learned position embeddings.
LEARNED_POSITION_FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 32},
}
# Encoder-decoders. Their decoder starts with the padding token.
ENCODER_DECODER_FAMILIES: dict[str, dict[str, Any]] = {
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
FAMILY_SETTINGS = {**ROTARY_FAMILIES, **LEARNED_POSITION_FAMILIES, **ENCODER_DECODER_FAMILIES}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with few merges.

    Most words and every non-Latin character take several tokens.
    """
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


def append_end_token(tokenizer: PreTrainedTokenizerFast) -> None:
    """Make every encoded input end with the end token, as in T5."""
    from tokenizers.processors import TemplateProcessing

    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])


def make_backbone(family: str = "llama", *, seed: int = 0, **overrides: Any) -> Backbone:
    """Return a random fp32 backbone of a model family; `overrides` are settings of its Transformers config."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from soft_prompt import Backbone

    tokenizer = make_tokenizer()
    if family in ENCODER_DECODER_FAMILIES:
        append_end_token(tokenizer)
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
        # The usual 0.02 makes attention so uniform that a wrong mask or position hardly changes a logit.
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **{**settings, **FAMILY_SETTINGS.get(family, {}), **overrides})
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = auto.from_config(config, dtype=torch.float32)
    if family == "t5":
        # An untrained head lacks the scale of a trained one: the loss would be 40 nats per token.
        with torch.no_grad():
            model.lm_head.weight.mul_(0.15)
    return Backbone(id="tiny", digest="0" * 64, model=model, tokenizer=tokenizer)

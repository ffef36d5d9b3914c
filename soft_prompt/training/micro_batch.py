"""How many examples fit into memory at once."""

from __future__ import annotations

from collections.abc import Sequence

from soft_prompt.model.backbone import Backbone
from soft_prompt.training.example import TrainingExample

# Share of the free memory that is used. Fragmentation, the optimiser and other programs need the rest.
MEMORY_SHARE = 0.5
# Tensors that a block keeps for the backward pass, as multiples of `tokens * hidden` and `tokens * intermediate`:
# inputs of norms and linear layers, queries and keys before and after rotation, residuals, and the gated MLP.
_HIDDEN_TENSORS = 16
_INTERMEDIATE_TENSORS = 5
# Copies of a row's prefix: stacked for the batch, joined with the soft prompt, joined with the new keys.
_PREFIX_COPIES = 3
# Logits in the backbone's dtype, in fp32, their softmax and their gradient; each counted as fp32.
_LOGIT_COPIES = 4
_FP32_BYTES = 4


def largest_micro_batch(backbone: Backbone, examples: Sequence[TrainingExample], batch_size: int, free: int) -> int:
    """The largest micro-batch, at most `batch_size`, whose forward and backward pass should fit into `free` bytes.

    Rows are padded, so the largest example counts for all. The frozen model is in memory already.
    """
    largest = max(example_bytes(backbone, example) for example in examples)
    return max(1, min(batch_size, int(free * MEMORY_SHARE) // largest))


def example_bytes(backbone: Backbone, example: TrainingExample) -> int:
    """Estimate the memory that one example needs in training, in bytes."""
    config = backbone.model.config.get_text_config()
    hidden, layers, heads = backbone.hidden_size, int(config.num_hidden_layers), int(config.num_attention_heads)
    intermediate = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    head_dim = int(getattr(config, "head_dim", None) or hidden // heads)
    row = example.full
    new, cached = row.run_length, row.length - row.run_length
    block = new * (_HIDDEN_TENSORS * hidden + _INTERMEDIATE_TENSORS * intermediate)
    # Scores and their softmax, if attention is not fused.
    attention = 2 * heads * new * (new + cached)
    prefix = _PREFIX_COPIES * 2 * kv_heads * head_dim * cached
    logits = _LOGIT_COPIES * _FP32_BYTES * len(example.answer) * int(config.vocab_size)
    return layers * (block + attention + prefix) * backbone.dtype.itemsize + logits

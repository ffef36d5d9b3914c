"""How many examples fit into memory at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from soft_prompt.model.backbone import Backbone
from soft_prompt.training.example import Example

# Of what is free, the rest being left to fragments, the optimiser and whatever else runs.
SHARE = 0.5
# Tensors that one block keeps for the backward pass, as multiples of `tokens * hidden` and `tokens * intermediate`:
# inputs of norms and matrices, both rotated and unrotated queries and keys, residuals, and the gated layer's parts.
_OF_HIDDEN = 16
_OF_INTERMEDIATE = 5
# Copies of a row's prefix at once: stacked for the batch, joined with the soft prompt, joined with the new keys.
_OF_PREFIX = 3
# Copies of logits in fp32: themselves, cast, their softmax and their gradient.
_OF_LOGITS = 4
_FP32 = 4


def fitting_micro_batch(backbone: Backbone, examples: Sequence[Example], batch_size: int, free_bytes: int) -> int:
    """The largest number of examples, of at most `batch_size`, whose forward and backward pass should fit.

    Args:
        backbone: the frozen model, which is in memory already.
        examples: of the run; rows are padded to the longest, so the largest counts for all.
        batch_size: no more than this.
        free_bytes: of the device's memory.
    """
    row = max(row_bytes(backbone, example) for example in examples)
    return max(1, min(batch_size, int(free_bytes * SHARE) // row))


def row_bytes(backbone: Backbone, example: Example) -> int:
    """About how much memory one example takes while it is trained on, in bytes."""
    config = backbone.model.config.get_text_config()
    hidden, layers, heads = backbone.hidden_size, int(config.num_hidden_layers), int(config.num_attention_heads)
    intermediate = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    head_dim = int(getattr(config, "head_dim", None) or hidden // heads)
    row = example.full
    new, cached = row.run_length, row.length - row.run_length
    block = new * (_OF_HIDDEN * hidden + _OF_INTERMEDIATE * intermediate)
    # Scores and their softmax, where attention is not fused.
    attention = 2 * heads * new * (new + cached)
    prefix = _OF_PREFIX * 2 * kv_heads * head_dim * cached
    logits = _OF_LOGITS * _FP32 * len(example.answer) * int(config.vocab_size)
    return layers * (block + attention + prefix) * backbone.dtype.itemsize + logits


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device: on CUDA what the driver says and what PyTorch holds in reserve, else in RAM."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + int(torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) * 1024, _container_bytes())
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _container_bytes() -> int:
    """What a container's own limit leaves, which /proc/meminfo does not know."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):
        # No such group, or "max": no limit.
        return 1 << 62

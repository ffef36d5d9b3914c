"""Cached hidden states of the frozen lower layers, computed once for all examples of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.prefix_store import GIB, PrefixStore
from soft_prompt.training.answer_loss import answer_logits, with_lower_states
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.layer_split import can_split

# Constants rather than functions of the free memory, so that a resumed run computes the same bits.
EXAMPLES_AT_ONCE = 8
# About 900,000 positions of a backbone with a hidden size of 576, in fp32.
MAX_BYTES = 2 * GIB
# Maximum relative difference of the logits with and without the cache. Rounding alone gives far less.
TOLERANCE = 0.01


def cache_lower_layers(
    store: PrefixStore, examples: Sequence[TrainingExample], layers: int, on_progress: Callable[[int], None]
) -> list[TrainingExample]:
    """Add the hidden states of the first `layers` layers to each example.

    Returns the examples unchanged if there are no such layers, if the cache would exceed `MAX_BYTES` or the device's
    memory, or if the backbone cannot be split: the first batch is checked for equal logits.

    Args:
        store: of the backbone.
        examples: of a run. Their soft prompts change nothing in these layers.
        layers: number of frozen lower layers.
        on_progress: called with the number of examples that are done.
    """
    if not layers or not can_split(store.backbone) or _cache_bytes(store.backbone, examples) > MAX_BYTES:
        return list(examples)
    try:
        return _cached(store, examples, layers, on_progress)
    except torch.OutOfMemoryError:
        # Training may still fit: it lowers the micro-batch.
        return list(examples)


def _cached(
    store: PrefixStore, examples: Sequence[TrainingExample], layers: int, on_progress: Callable[[int], None]
) -> list[TrainingExample]:
    order = sorted(range(len(examples)), key=lambda i: examples[i].full.run_length)
    result = list(examples)
    for first in range(0, len(order), EXAMPLES_AT_ONCE):
        indices = order[first : first + EXAMPLES_AT_ONCE]
        plain = [examples[i] for i in indices]
        cached = with_lower_states(store, plain, layers)
        if not first and not _same_logits(store, plain, cached):
            return list(examples)
        for i, example in zip(indices, cached, strict=True):
            result[i] = example
        on_progress(first + len(indices))
    return result


def _cache_bytes(backbone: Backbone, examples: Sequence[TrainingExample]) -> int:
    return sum(example.full.run_length for example in examples) * backbone.hidden_size * backbone.dtype.itemsize


def _same_logits(store: PrefixStore, plain: Sequence[TrainingExample], cached: Sequence[TrainingExample]) -> bool:
    with torch.no_grad():
        expected, actual = (answer_logits(store, examples) for examples in (plain, cached))
    return bool((actual - expected).norm() <= TOLERANCE * expected.norm())

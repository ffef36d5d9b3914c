"""What the layers that are not trained put out, computed once for all examples of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.prefix_store import GIB, PrefixStore
from soft_prompt.training.answer_loss import answer_logits, with_below
from soft_prompt.training.example import Example
from soft_prompt.training.upper_layers import divisible

# Examples that run at once. The same in every run over the same examples, so that one that goes on has the same bits.
TOGETHER = 8
# The limit is a fixed one for the same reason. It is about 900,000 positions of a backbone 576 wide, in fp32.
MOST_BYTES = 2 * GIB
# How far the two ways may be apart, as a share of the logits: what is only rounded is far nearer.
TOLERANCE = 0.01


def keep_below(
    store: PrefixStore, examples: Sequence[Example], layers: int, on_done: Callable[[int], None]
) -> list[Example]:
    """The examples, each with what the first `layers` layers put out for it.

    As they are where there are no such layers, where that would take more than `MOST_BYTES` or than the device has,
    or where the backbone cannot be run in two parts: whether it gives the same logits so is tried on the first few.

    Args:
        store: of the backbone.
        examples: of a run; the soft prompts in them act in no layer below.
        layers: how many layers are not trained.
        on_done: called with how many examples are ready.
    """
    if not layers or not divisible(store.backbone) or _bytes(store.backbone, examples) > MOST_BYTES:
        return list(examples)
    try:
        return _kept(store, examples, layers, on_done)
    except torch.OutOfMemoryError:
        # Training itself may still fit: it runs fewer at once where it has to.
        return list(examples)


def _kept(
    store: PrefixStore, examples: Sequence[Example], layers: int, on_done: Callable[[int], None]
) -> list[Example]:
    order = sorted(range(len(examples)), key=lambda i: examples[i].full.run_length)
    kept = list(examples)
    for first in range(0, len(order), TOGETHER):
        chosen = order[first : first + TOGETHER]
        found = with_below(store, [examples[i] for i in chosen], layers)
        if not first and not _same_logits(store, [examples[i] for i in chosen], found):
            return list(examples)
        for i, example in zip(chosen, found, strict=True):
            kept[i] = example
        on_done(first + len(chosen))
    return kept


def _bytes(backbone: Backbone, examples: Sequence[Example]) -> int:
    return sum(example.full.run_length for example in examples) * backbone.hidden_size * backbone.dtype.itemsize


def _same_logits(store: PrefixStore, plain: Sequence[Example], kept: Sequence[Example]) -> bool:
    with torch.no_grad():
        expected, found = (answer_logits(store, examples) for examples in (plain, kept))
    return bool((found - expected).norm() <= TOLERANCE * expected.norm())

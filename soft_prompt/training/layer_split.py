"""Running a backbone's lower and upper layers separately.

If a soft prompt trains only the last layers (`train.layers`), the hidden states below them never change. They are
computed once per example, and each step starts above them. Freezing lower layers is an old method; for the fine-tuning
of language models see Lee et al. 2019 (arXiv:1911.03090).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.optimized import optimized, weight_sharing_copy

_active = threading.local()
_lock = threading.Lock()
_halves_of: WeakKeyDictionary[Any, dict[int, tuple[Any, Any]]] = WeakKeyDictionary()


def frozen_lower_layers(soft_prompt: SoftPrompt) -> int:
    """The number of lower layers that a soft prompt does not change; 0 for `embedding`, which enters at the first."""
    if soft_prompt.kind == "embedding":
        return 0
    below_adapter = soft_prompt.adapter.blocks.start if soft_prompt.adapter else None
    below_vectors = soft_prompt.lower_layers if soft_prompt.kind == "kv" else below_adapter
    return max(0, min(count for count in (below_vectors, below_adapter) if count is not None))


def can_split(backbone: Backbone) -> bool:
    """Whether the blocks can run in two parts: a decoder-only model on one device, with its blocks in one list."""
    devices = set(getattr(backbone.model, "hf_device_map", {"": 0}).values())
    return not backbone.encoder_decoder and len(devices) == 1 and bool(_blocks(backbone.model))


def split_backbone(backbone: Backbone, layers: int) -> tuple[Backbone, Backbone]:
    """The backbone with its first `layers` blocks alone, and without them. Both share its weights.

    `capture_hidden_states` collects the output of the lower part, and `inject_hidden_states` gives it to the upper one.
    """
    model = optimized(backbone, "own").model
    with _lock:
        halves = _halves_of.setdefault(backbone.model, {})
        if layers not in halves:
            as_tuple = _blocks_return_tuples(backbone, model)
            lower, upper = weight_sharing_copy(model), weight_sharing_copy(model)
            _bypass(_blocks(lower)[layers:], as_tuple, 0, _capture)
            _bypass(_blocks(upper)[:layers], as_tuple, layers - 1, _inject)
            halves[layers] = lower, upper
    lower, upper = halves[layers]
    return replace(backbone, model=lower), replace(backbone, model=upper)


@contextmanager
def capture_hidden_states() -> Iterator[list[Tensor]]:
    """In this context, a lower part in this thread appends its hidden states, `[batch, tokens, hidden]`, to a list."""
    _active.captured = []
    try:
        yield _active.captured
    finally:
        _active.captured = None


@contextmanager
def inject_hidden_states(states: Sequence[Tensor], tokens: int) -> Iterator[None]:
    """In this context, an upper part in this thread starts from these hidden states.

    They are `[tokens, hidden]`, one per example; shorter ones are padded on the left.
    """
    _active.states = torch.stack([torch.nn.functional.pad(own, (0, 0, tokens - len(own), 0)) for own in states])
    try:
        yield
    finally:
        _active.states = None


def _blocks(model: Any) -> list[torch.nn.Module]:
    count = int(model.config.get_text_config().num_hidden_layers)
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    return list(lists[0]) if lists else []


def _blocks_return_tuples(backbone: Backbone, model: Any) -> bool:
    """Whether a block returns a tuple that starts with its hidden states, or these alone; tried with one token."""
    results: list[bool] = []
    hook = _blocks(model)[0].register_forward_hook(lambda _, __, output: results.append(isinstance(output, tuple)))
    try:
        with torch.no_grad():
            model(input_ids=torch.tensor([[backbone.end_id]], device=backbone.device))
    finally:
        hook.remove()
    return results[0]


def _bypass(blocks: Sequence[torch.nn.Module], as_tuple: bool, at: int, transform: Callable[[Tensor], Tensor]) -> None:
    """Make blocks pass their hidden states on unchanged, and the one at index `at` apply `transform` to them."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states,) if as_tuple else hidden_states

    for block in blocks:
        block.forward = forward
    blocks[at].forward = lambda hidden_states, *_, **__: forward(transform(hidden_states))


def _capture(states: Tensor) -> Tensor:
    _active.captured.append(states)
    return states


def _inject(_: Tensor) -> Tensor:
    states: Tensor = _active.states
    return states

"""Training the last layers alone without running those below at every step.

Where a soft prompt trains only its last layers (`train.layers`), what the layers below put out for an example never
changes. It is computed once and kept, `[new, hidden]` an example, and each step begins above it. Freezing the lower
layers and keeping what they put out is old; for the fine-tuning of a language model see Lee et al. 2019
(arXiv:1911.03090).
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
from soft_prompt.model.decoder import decoder, sharing_copy

_active = threading.local()
_making = threading.Lock()
_parts: WeakKeyDictionary[Any, dict[int, tuple[Any, Any]]] = WeakKeyDictionary()


def untrained_layers(soft_prompt: SoftPrompt) -> int:
    """How many of the backbone's first layers it does not change; 0 for `embedding`, which runs through all."""
    if soft_prompt.kind == "embedding":
        return 0
    adapted = soft_prompt.adapter.blocks.start if soft_prompt.adapter else None
    own = soft_prompt.lower_layers if soft_prompt.kind == "kv" else adapted
    return max(0, min(count for count in (own, adapted) if count is not None))


def divisible(backbone: Backbone) -> bool:
    """Whether its blocks can be run in two parts: it reads in one direction, they stand in a list, on one device."""
    devices = set(getattr(backbone.model, "hf_device_map", {"": 0}).values())
    return not backbone.encoder_decoder and len(devices) == 1 and bool(_blocks(backbone.model))


def lower_part(backbone: Backbone, layers: int) -> Backbone:
    """The backbone that runs its first `layers` blocks alone; what they put out is told to `noted`."""
    return replace(backbone, model=_halves(backbone, layers)[0])


def upper_part(backbone: Backbone, layers: int) -> Backbone:
    """The backbone without its first `layers` blocks, in whose place `entered` gives what they put out."""
    return replace(backbone, model=_halves(backbone, layers)[1])


@contextmanager
def noted(into: list[Tensor]) -> Iterator[None]:
    """Within this context a lower part in this thread appends what its last block puts out, `[batch, new, hidden]`."""
    _active.into = into
    try:
        yield
    finally:
        _active.into = None


@contextmanager
def entered(states: Sequence[Tensor], new: int) -> Iterator[None]:
    """Within this context an upper part in this thread begins with these states.

    Args:
        states: one an example, `[tokens, hidden]`; shorter ones are padded at the left.
        new: positions of the longest.
    """
    padded = [torch.nn.functional.pad(own, (0, 0, new - own.shape[0], 0)) for own in states]
    _active.states = torch.stack(padded)
    try:
        yield
    finally:
        _active.states = None


def _halves(backbone: Backbone, layers: int) -> tuple[Any, Any]:
    whole = decoder(backbone, "own").model
    with _making:
        made = _parts.setdefault(backbone.model, {})
        if layers not in made:
            wrapped = _gives_tuple(backbone, whole)
            made[layers] = _lower_half(whole, layers, wrapped), _upper_half(whole, layers, wrapped)
    return made[layers]


def _blocks(model: Any) -> list[torch.nn.Module]:
    count = int(model.config.get_text_config().num_hidden_layers)
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    return list(lists[0]) if lists else []


def _gives_tuple(backbone: Backbone, model: Any) -> bool:
    """Whether blocks give a tuple, whose first part is what they put out, or that alone; seen on one token."""
    seen: list[bool] = []
    hook = _blocks(model)[0].register_forward_hook(lambda _, __, output: seen.append(isinstance(output, tuple)))
    try:
        with torch.no_grad():
            model(input_ids=torch.tensor([[backbone.end_id]], device=backbone.device))
    finally:
        hook.remove()
    return seen[0]


def _given(wrapped: bool, of: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """A block's forward that puts out what `of` makes of what comes in."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        states = of(hidden_states)
        return (states,) if wrapped else states

    return forward


def _note(states: Tensor) -> Tensor:
    into: list[Tensor] = _active.into
    into.append(states)
    return states


def _enter(_: Tensor) -> Tensor:
    states: Tensor = _active.states
    return states


def _lower_half(whole: Any, layers: int, wrapped: bool) -> Any:
    model = sharing_copy(whole)
    for number, block in enumerate(_blocks(model)[layers:]):
        block.forward = _given(wrapped, lambda states: states) if number else _given(wrapped, _note)
    return model


def _upper_half(whole: Any, layers: int, wrapped: bool) -> Any:
    model = sharing_copy(whole)
    below = _blocks(model)[:layers]
    for block in below:
        block.forward = _given(wrapped, _enter if block is below[-1] else lambda states: states)
    return model

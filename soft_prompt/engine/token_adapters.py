"""The adapters of an engine step, whose tokens belong to rows with different adapters.

The low-rank weights of all adapters stand side by side, as one adapter of a higher rank. One product gives every token
its inner values under every adapter, and a mask keeps those of its own. So there is no loop over rows or adapters. For
few tokens a compiled kernel reads only what belongs to each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soft_prompt.graft.adapter import PARTS, Adapter, adapted_layers
from soft_prompt.graft.adapter_hooks import BatchAdapters, LayerAdapter
from soft_prompt.model.backbone import Backbone

# An adapter of rank 8 for a model of 135M parameters takes 5 MiB.
_KEPT_BYTES = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class JoinedLayer:
    """The weights of several adapters for one linear layer, in the backbone's dtype.

    Attributes:
        down, up: `[ranks, inputs]` and `[ranks, outputs]`, with the ranks of all adapters; None if none is low-rank.
        first: number of each adapter's first rank, and of all, as an int64 array.
        scale_in, scale_out: `[adapters + 1, inputs or outputs]`, with zeros for adapters without scales, and at the
            end for tokens without an adapter; None if no adapter scales.
    """

    down: Tensor | None
    up: Tensor | None
    first: Any
    scale_in: Tensor | None
    scale_out: Tensor | None

    @cached_property
    def most_ranks(self) -> int:
        """The highest rank of an adapter."""
        return int(np.diff(self.first).max(initial=0))

    @property
    def nbytes(self) -> int:
        """Size of the weights."""
        return sum(x.nbytes for x in (self.down, self.up, self.scale_in, self.scale_out) if x is not None)


@dataclass(frozen=True, eq=False)
class StepAdapters:
    """The adapters of a step.

    Attributes:
        layers: by name of the linear layer.
        owners: the number of each token's adapter, and the number of adapters for tokens without one, `[tokens]`.
    """

    layers: dict[str, JoinedLayer]
    owners: Tensor

    @cached_property
    def owner_array(self) -> Any:
        """`owners` as an int64 array."""
        return np.ascontiguousarray(self.owners.cpu().numpy())

    @cached_property
    def scales_shared_inputs(self) -> bool:
        """Whether an adapter scales the input of a layer that shares it with others in one product."""
        alone = ("down_proj", "o_proj")
        return any(layer.scale_in is not None and not name.endswith(alone) for name, layer in self.layers.items())

    @cached_property
    def _masks(self) -> dict[tuple[int, ...], Tensor]:
        return {}

    def mask(self, layer: JoinedLayer) -> Tensor:
        """Which ranks belong to each token, `[tokens, ranks]`, 1 or 0 in the backbone's dtype."""
        assert layer.down is not None
        key = tuple(layer.first.tolist())
        if key not in self._masks:
            ranks = torch.arange(len(key) - 1).repeat_interleave(torch.from_numpy(np.diff(layer.first)))
            own = ranks.to(self.owners.device) == self.owners[:, None]
            self._masks[key] = own.to(layer.down.dtype)
        return self._masks[key]

    def for_hooks(self) -> BatchAdapters:
        """For the hooks of a model that runs Transformers' own layers."""
        return {name: self._for_hook(layer) for name, layer in self.layers.items()}

    def _for_hook(self, layer: JoinedLayer) -> LayerAdapter:
        low_rank = layer.down is not None and layer.up is not None
        scales = [None if s is None else s.index_select(0, self.owners) for s in (layer.scale_in, layer.scale_out)]
        up = layer.up.mT if low_rank and layer.up is not None else None
        return LayerAdapter(layer.down, up, scales[0], scales[1], self.mask(layer) if low_rank else None)


class TokenAdapters:
    """Makes the adapters of each step. Joined weights are kept while the adapters are among those of earlier steps."""

    def __init__(self) -> None:
        self._adapters: tuple[Adapter, ...] = ()
        self._versions: dict[int, int] = {}
        self._layers: dict[str, JoinedLayer] = {}

    def of_step(self, backbone: Backbone, rows: Sequence[tuple[Adapter | None, int]]) -> StepAdapters | None:
        """The adapters of tokens that stand one after the other: each row's adapter and number of tokens.

        Returns:
            None if no row has an adapter.
        """
        adapters = {id(adapter): adapter for adapter, _ in rows if adapter is not None}
        if not adapters:
            return None
        versions = {number: _version(adapter) for number, adapter in adapters.items()}
        known = self._versions
        if not known.items() >= versions.items() or len(known) > 2 * len(adapters) + 2:
            self._adapters, self._versions = tuple(adapters.values()), versions
            self._layers = _joined_layers(backbone, self._adapters)
        numbers = {id(adapter): number for number, adapter in enumerate(self._adapters)}
        owners = [numbers.get(id(a), len(numbers)) for a, count in rows for _ in range(count)]
        return StepAdapters(self._layers, torch.tensor(owners, device=backbone.device))

    def rest(self) -> None:
        """Forget weights that take much memory. The next request of a domain finds small ones ready."""
        if sum(layer.nbytes for layer in self._layers.values()) > _KEPT_BYTES:
            self._adapters, self._versions, self._layers = (), {}, {}


def _version(adapter: Adapter) -> int:
    """Changes when any of the weights is changed in place, as training does. Inference tensors do not count changes."""
    tensors = [tensor for part in PARTS for tensor in getattr(adapter, part).values()]
    return sum(0 if tensor.is_inference() else tensor._version for tensor in tensors)


def _joined_layers(backbone: Backbone, adapters: Sequence[Adapter]) -> dict[str, JoinedLayer]:
    # Read once: to find them, Transformers walks through the model.
    device, dtype = backbone.device, backbone.dtype

    def placed(weights: Tensor) -> Tensor:
        return weights.detach().to(device=device, dtype=dtype)

    def scales(part: str, name: str) -> Tensor | None:
        own = [getattr(adapter, part).get(name) for adapter in adapters]
        like = next((scale for scale in own if scale is not None), None)
        if like is None:
            return None
        zeros = torch.zeros_like(like)
        return placed(torch.stack([zeros if scale is None else scale.to(like.device) for scale in (*own, None)]))

    layers = {}
    for name in adapted_layers(adapters):
        downs = [adapter.down.get(name) for adapter in adapters]
        ups = [adapter.up[name] for adapter in adapters if name in adapter.up]
        present = [placed(down) for down in downs if down is not None]
        layers[name] = JoinedLayer(
            down=torch.cat(present).contiguous() if present else None,
            up=torch.cat([placed(up).mT for up in ups]).contiguous() if ups else None,
            first=np.cumsum([0, *(0 if down is None else down.shape[0] for down in downs)], dtype=np.int64),
            scale_in=scales("scale_in", name),
            scale_out=scales("scale_out", name),
        )
    return layers

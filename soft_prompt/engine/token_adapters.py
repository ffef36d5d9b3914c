"""The adapters of an engine step, whose tokens belong to rows with different adapters.

The low-rank weights of all adapters stand side by side, as one adapter of a higher rank. One product gives every token
its inner values under every adapter, and a mask keeps those of its own. So there is no loop over rows or adapters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from soft_prompt.graft.adapter import Adapter, adapted_layers
from soft_prompt.graft.adapter_hooks import BatchAdapters, LayerAdapter, batch_adapters
from soft_prompt.model.backbone import Backbone


class TokenAdapters:
    """Makes the adapters of each step. The weights side by side are kept while the same adapters run."""

    def __init__(self) -> None:
        self._adapters: tuple[Adapter, ...] = ()
        self._layers: dict[str, tuple[Tensor | None, ...]] = {}
        self._ranks: dict[str, tuple[int, ...]] = {}

    def of_step(self, backbone: Backbone, rows: Sequence[tuple[Adapter | None, int]]) -> BatchAdapters | None:
        """The adapters of tokens that stand one after the other: each row's adapter and number of tokens."""
        different = {id(adapter): adapter for adapter, _ in rows}
        if len(different) == 1:
            return batch_adapters(backbone, [rows[0][0]])
        adapters = tuple(adapter for adapter in different.values() if adapter is not None)
        in_training = any(t.requires_grad for adapter in adapters for t in adapter.tensors().values())
        if adapters != self._adapters or in_training:
            self._prepare(backbone, adapters)
        numbers = {id(adapter): number for number, adapter in enumerate(adapters)}
        # Tokens without an adapter get the number behind the last one.
        owners = torch.tensor([numbers.get(id(a), len(adapters)) for a, count in rows for _ in range(count)])
        owners = owners.to(backbone.device)
        masks: dict[tuple[int, ...], Tensor] = {}
        layers = {}
        for name, (down, up, scale_in, scale_out) in self._layers.items():
            ranks = self._ranks[name]
            if down is not None and ranks not in masks:
                columns = torch.arange(len(ranks)).repeat_interleave(torch.tensor(ranks)).to(owners.device)
                masks[ranks] = (columns == owners[:, None]).to(backbone.dtype)
            scale_in, scale_out = (None if s is None else s.index_select(0, owners) for s in (scale_in, scale_out))
            layers[name] = LayerAdapter(down, up, scale_in, scale_out, None if down is None else masks[ranks])
        return layers

    def _prepare(self, backbone: Backbone, adapters: tuple[Adapter, ...]) -> None:
        def placed(weights: Tensor) -> Tensor:
            return weights.detach().to(device=backbone.device, dtype=backbone.dtype)

        def scales(part: str, name: str) -> Tensor | None:
            """`[adapters + 1, width]`, with zeros for adapters without scales and for tokens without an adapter."""
            own = [getattr(adapter, part).get(name) for adapter in adapters]
            like = next((scale for scale in own if scale is not None), None)
            if like is None:
                return None
            zeros = torch.zeros_like(like)
            return placed(torch.stack([zeros if scale is None else scale.to(like.device) for scale in (*own, None)]))

        self._adapters, self._layers, self._ranks = adapters, {}, {}
        for name in adapted_layers(adapters):
            downs = [adapter.down.get(name) for adapter in adapters]
            ups = [adapter.up[name] for adapter in adapters if name in adapter.up]
            present = [placed(down) for down in downs if down is not None]
            self._ranks[name] = tuple(0 if down is None else int(down.shape[0]) for down in downs)
            self._layers[name] = (
                torch.cat(present) if present else None,
                torch.cat([placed(up) for up in ups], dim=1) if ups else None,
                scales("scale_in", name),
                scales("scale_out", name),
            )

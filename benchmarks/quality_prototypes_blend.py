"""Block attention in which the first tokens of each passage run again and see all before them.

In block attention a passage has only seen the head, and the tokens at its beginning, which found nothing before them,
differ most from what they would be in place. CacheBlend (Yao et al. 2024, arXiv:2405.16444) runs those tokens again
whose keys and values differ most; here it is always the first eight, so nothing has to be compared.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from quality_prototypes_rows import RowPrototype
from soft_prompt import Attention, PrefixStore, Row
from soft_prompt.cache import filled_cache, stacked
from soft_prompt.prefix_store import GIB

FIRST = 8


class BlendingStore(PrefixStore):
    """A prefix store that computes the first tokens of every passage but the first anew, behind all before them."""

    def write(self, row: Row, into: Tensor, taken: int) -> None:
        super().write(row, into, taken)
        bounds = list(pairwise((*row.cuts, len(row.prefix))))
        # The first passage has seen all that stands before it.
        starts = [(s, e) for n, (s, e) in enumerate(bounds, 1) if n > 1 and row.is_passage(n) and e <= taken]
        if row.attention == "block" and starts:
            chosen = [at for start, end in starts for at in range(start, min(end, start + FIRST))]
            into[..., chosen, :] = self._again(row, into, torch.tensor(chosen))

    def _again(self, row: Row, before: Tensor, chosen: Tensor) -> Tensor:
        """Keys and values of the tokens at those positions, `[layers, 2, kv_heads, chosen, head_dim]`."""
        taken = before.shape[-2]
        cached = torch.arange(taken)
        old = (cached[None] < chosen[:, None]) & ~torch.isin(cached, chosen)[None]
        new = chosen[None] <= chosen[:, None]
        cache = filled_cache([(layer[0][None], layer[1][None]) for layer in before])
        with torch.no_grad():
            self.backbone.model.base_model(
                input_ids=torch.tensor([[row.prefix[at] for at in chosen.tolist()]]),
                position_ids=chosen[None],
                attention_mask=torch.cat((old, new), dim=1)[None, None],
                past_key_values=cache,
                use_cache=True,
            )
        return stacked(cache)[..., taken:, :]


class Blended(RowPrototype):
    """A `kv` soft prompt behind passages that are put together so, in training and in answering."""

    attention: Attention = "block"

    def store(self, folder: Path | None = None) -> PrefixStore:
        return BlendingStore(self.where.backbone, memory_bytes=6 * GIB, folder=folder)

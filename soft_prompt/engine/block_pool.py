"""Memory for the keys and values that requests compute themselves, in blocks of a fixed number of positions.

A request takes a block when the last one is full, and gives all back when it ends. So memory is not set aside for the
longest possible reply, and does not become fragmented (as in PagedAttention, Kwon et al. 2023, arXiv:2309.06180).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

BLOCK = 32
_FIRST_BLOCKS = 64


class BlockPool:
    """Blocks of `BLOCK` positions. The pool grows as needed, and its owner decides how many blocks may be in use.

    Attributes:
        keys, values: one tensor per layer, `[blocks, BLOCK, kv_heads, head_dim]`. Growing replaces them.
    """

    def __init__(self, layout: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> None:
        self.layers, self._kv_heads, self._head_dim = layout
        self._dtype, self._device = dtype, device
        self._free: list[int] = []
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.blocks = 0

    @property
    def block_bytes(self) -> int:
        """Size of one block in all layers."""
        return 2 * self.layers * BLOCK * self._kv_heads * self._head_dim * self._dtype.itemsize

    @property
    def used_blocks(self) -> int:
        """Number of blocks that are taken."""
        return self.blocks - len(self._free)

    def take(self) -> int:
        """A free block's number."""
        if not self._free:
            self._grow()
        return self._free.pop()

    def give_back(self, blocks: Iterable[int]) -> None:
        """Make blocks free. Nothing may read them any more."""
        self._free.extend(blocks)

    def clear(self) -> None:
        """Give the memory back to the system. No block may be taken."""
        self._free, self.keys, self.values, self.blocks = [], [], [], 0

    def positions(self, layer: int, blocks: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the positions in some blocks, each `[rows, kv_heads, positions, head_dim]`, as copies.

        Args:
            layer: number of the layer.
            blocks: `[rows * blocks per row]`, int64.
            rows: number of rows.
        """
        shape = (rows, -1, self._kv_heads, self._head_dim)
        keys = self.keys[layer].index_select(0, blocks).view(shape)
        values = self.values[layer].index_select(0, blocks).view(shape)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def write(self, layer: int, blocks: Tensor, offsets: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write keys and values of tokens, each `[tokens, kv_heads, head_dim]`; `blocks` and `offsets`: `[tokens]`."""
        self.keys[layer].index_put_((blocks, offsets), keys)
        self.values[layer].index_put_((blocks, offsets), values)

    def _grow(self) -> None:
        more = max(_FIRST_BLOCKS, self.blocks // 2)
        shape = (more, BLOCK, self._kv_heads, self._head_dim)
        for tensors in (self.keys, self.values):
            for layer in range(self.layers):
                # Positions that were never written are read too, behind a mask, so they must be finite.
                added = torch.zeros(shape, dtype=self._dtype, device=self._device)
                if layer < len(tensors):
                    # One layer after the other, so that only one exists twice.
                    tensors[layer] = torch.cat((tensors[layer], added))
                else:
                    tensors.append(added)
        self._free.extend(reversed(range(self.blocks, self.blocks + more)))
        self.blocks += more

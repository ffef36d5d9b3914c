"""Keys and values of what stands before the soft slot: computed once without gradient, then reused by every epoch,
question, system and domain.

A prefix is cut into segments, the head and the passages. Each is an entry of its own, computed behind what it sees:

- `exact` attention: everything before it. The cached part of a prefix is the longest run of segments that it shares
  with an earlier one.
- `block` attention: the head alone. A passage is computed once, kept at the position where it stands right behind the
  head, and its keys are rotated by the difference to wherever it stands in a prompt (as in Block-Attention, Ma et al.
  2024, arXiv:2409.15355), so that any set of passages is put together without running them.

Entries live in memory up to a budget. What does not fit moves to a folder of memory-mapped files, and beyond that
folder's budget the least recently used entry is dropped and computed again when it is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.model.prefill import prefill
from soft_prompt.positions.rotary import shift
from soft_prompt.rows.conversation_cache import Beginning, ConversationCache
from soft_prompt.rows.disk_store import DiskStore
from soft_prompt.rows.row import Row

GIB = 1024**3
Segments = tuple[tuple[int, ...], ...]


class PrefixStore:
    """A bounded store of keys and values for one backbone.

    Entries are computed one at a time, without padding, behind the same segments always, so an entry's bits do not
    depend on what else is asked for: a run that is resumed sees the same numbers as one that never stopped.

    Args:
        backbone: the frozen model.
        memory_bytes: how much to keep in memory.
        disk_bytes: how much to keep on disk.
        folder: where entries stay from one process to the next, each written as it is computed; in it, entries of
            other backbones and dtypes lie apart. None makes a temporary folder when memory is full, which `close`
            removes.
        conversation_bytes: how much to keep in memory of the last conversations, each with its replies, for the turns
            that follow (`conversation_cache`); 0 keeps none.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        memory_bytes: int = GIB,
        disk_bytes: int = 16 * GIB,
        folder: Path | None = None,
        conversation_bytes: int = 0,
    ) -> None:
        self.backbone = backbone
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.folder = folder
        self.conversations = ConversationCache(conversation_bytes)
        self.computed_tokens = 0
        self._memory: OrderedDict[str, Tensor] = OrderedDict()
        self._memory_used = 0
        self._disk: DiskStore | None = None
        self._lock = threading.RLock()

    def get(self, ids: Sequence[int], before: Segments = ()) -> Tensor:
        """Keys and values of a segment, `[layers, 2, kv_heads, tokens, head_dim]`, in the backbone's dtype.

        The tensor is shared: do not write to it.

        Args:
            ids: token ids of the segment.
            before: the segments before it, all of which it sees, as each sees those before it.
        """
        key = _key((*before, tuple(ids)))
        with self._lock:
            found = self._find(key)
            if found is None:
                earlier = [self.get(part, before[:number]) for number, part in enumerate(before) if part]
                found = self._compute(ids, torch.cat(earlier, dim=-2) if earlier else None)
                self._keep(key, found)
            return found

    def write(self, row: Row, into: Tensor, taken: int) -> None:
        """Put the first positions of a row's prefix into a tensor, each passage where it stands.

        Args:
            row: the encoded prompt.
            into: `[layers, 2, kv_heads, taken, head_dim]`.
            taken: how many positions; only the segments that they reach are looked up or computed.
        """
        for at, entry, base in self._pieces(row, taken):
            wanted = min(entry.shape[-2], taken - at)
            keys_and_values = entry[..., :wanted, :]
            target = into[..., at : at + wanted, :]
            target[:, 1] = keys_and_values[:, 1]
            # The base position itself needs no rotation and loses no bit.
            keys = keys_and_values[:, 0]
            target[:, 0] = keys if at == base else shift(self.backbone, keys, at - base)

    def beginning(self, row: Row) -> Beginning | None:
        """What an earlier conversation knows of a row, where that is more than its prefix from this store."""
        if not self.conversations.limit_bytes:
            return None
        front = row.kv_prompt.length if row.kv_prompt else 0
        served = len(row.prefix) + front
        if not row.cuts and not front and not self._holds(row.prefix):
            # A conversation whose prefix is no more than itself is not worth an entry for every turn.
            served = 0
        return self.conversations.longest(row, served)

    def _holds(self, ids: Sequence[int]) -> bool:
        key = _key((tuple(ids),))
        with self._lock:
            return self._find(key) is not None

    def warm(self, row: Row) -> None:
        """Compute every segment of a row's prefix that is not there yet."""
        for _ in self._pieces(row, len(row.prefix)):
            continue

    @property
    def disk_used(self) -> int:
        """Bytes that the entries take on disk."""
        disk = self._on_disk() if self.folder is not None else self._disk
        return 0 if disk is None else disk.total_bytes

    def _compute(self, ids: Sequence[int], before: Tensor | None = None) -> Tensor:
        self.computed_tokens += len(ids)
        return prefill(self.backbone, ids, before)

    def close(self) -> None:
        """Forget what is in memory, and remove the temporary folder."""
        self.conversations.clear()
        with self._lock:
            self._memory.clear()
            self._memory_used = 0
            if self._disk is not None and self.folder is None:
                shutil.rmtree(self._disk.folder, ignore_errors=True)
            self._disk = None

    def _pieces(self, row: Row, taken: int) -> Iterator[tuple[int, Tensor, int]]:
        """Of each segment: where it stands, its entry, and the position at which that was computed."""
        at, segments = 0, row.segments
        for number, ids in enumerate(segments):
            if at >= taken:
                return
            if row.attention == "block" and row.is_passage(number):
                yield at, self.get(ids, segments[:1]), len(segments[0])
            elif row.attention == "block" and number > 1:
                yield at, self._behind_passages(row, ids, at), at
            else:
                yield at, self.get(ids, segments[:number]), at
            at += len(ids)

    def _behind_passages(self, row: Row, ids: tuple[int, ...], at: int) -> Tensor:
        """Text that stands behind passages which do not see one another, and sees them all."""
        key = _key(row.segments, "block")
        with self._lock:
            found = self._find(key)
            if found is None:
                layers, heads, head_dim = self.backbone.cache_layout
                before = self.get(row.segments[0]).new_empty((layers, 2, heads, at, head_dim))
                self.write(row, before, at)
                found = self._compute(ids, before)
                self._keep(key, found)
            return found

    def _find(self, key: str) -> Tensor | None:
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        disk = self._on_disk() if self.folder is not None else self._disk
        found = None if disk is None else disk.get(key)
        return None if found is None else found.to(self.backbone.device)

    def _keep(self, key: str, entry: Tensor) -> None:
        if self.folder is not None:
            self._on_disk().put(key, entry)
        self._memory[key] = entry
        self._memory_used += entry.nbytes
        while self._memory_used > self.memory_bytes:
            old_key, old = self._memory.popitem(last=False)
            self._memory_used -= old.nbytes
            self._on_disk().put(old_key, old)

    def _on_disk(self) -> DiskStore:
        if self._disk is None:
            if self.folder is None:
                folder = Path(tempfile.mkdtemp(prefix="softgraft-prefixes-"))
            else:
                backbone = self.backbone
                made_by = f"{backbone.digest} {backbone.tokenizer_hash} {backbone.dtype} {backbone.device.type}"
                folder = self.folder / hashlib.sha256(made_by.encode()).hexdigest()[:24]
            self._disk = DiskStore(folder, self.disk_bytes)
        return self._disk


def _key(segments: Segments, attention: str = "exact") -> str:
    """Stands for a segment and all that it has seen."""
    digest = hashlib.sha256(attention.encode())
    for ids in segments:
        digest.update(len(ids).to_bytes(8, "little"))
        digest.update(torch.tensor(ids, dtype=torch.int64).numpy().tobytes())
    return digest.hexdigest()

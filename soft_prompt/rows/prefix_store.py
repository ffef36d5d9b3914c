"""Keys and values of prefixes: computed once without gradient, then reused by every epoch, question and domain.

A prefix has segments: the head and the passages. Each segment is an entry of its own, computed behind what it sees:

- In `exact` attention it sees everything before it. A prompt reuses the segments that it shares with an earlier one, up
  to the first difference.
- In `block` attention a passage sees the head alone. It is computed once, right behind the head, and its keys are
  rotated to its position in each prompt (as in Block-Attention, Ma et al. 2024, arXiv:2409.15355). So any set of
  passages is combined without running them.

Entries stay in memory up to a budget. Others move to a folder of memory-mapped files, and beyond that folder's budget
the least recently used entry is dropped and computed again when it is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import prefill
from soft_prompt.positions.rotary import shift
from soft_prompt.rows.conversation_cache import ConversationCache, ReusedPrefix
from soft_prompt.rows.disk_store import DiskStore, temporary_folder
from soft_prompt.rows.row import Row

GIB = 1024**3
Segments = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False, slots=True)
class StoredSegment:
    """One segment of a row's prefix.

    Attributes:
        key: identifies its content and what it sees.
        start: its position in the row.
        entry: keys and values, `[layers, 2, kv_heads, tokens, head_dim]`, shared: do not write to it.
        base: the position at which they were computed. The keys need a rotation by `start - base`.
    """

    key: str
    start: int
    entry: Tensor
    base: int


class PrefixStore:
    """A bounded store of keys and values for one backbone.

    Entries are computed one at a time, without padding, always behind the same segments. So an entry's bits do not
    depend on other requests, and a resumed training run computes the same numbers as an uninterrupted one.

    Args:
        backbone: the frozen model.
        memory_bytes: maximum size of the entries in memory.
        disk_bytes: maximum size of the entries on disk.
        folder: keeps entries for later processes; each is written as it is computed. Every backbone and dtype has its
            own subfolder. None creates a temporary folder when memory is full, which `close` deletes.
        conversation_bytes: maximum size of the last conversations in memory, for their next turns
            (`conversation_cache`); 0 keeps none.
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
        """Keys and values of a segment in `exact` attention, behind the segments `before`.

        Returns:
            `[layers, 2, kv_heads, tokens, head_dim]`, in the backbone's dtype. It is shared: do not write to it.
        """
        key = _key((*before, tuple(ids)))
        with self._lock:
            entry = self._find(key)
            if entry is None:
                earlier = [self.get(part, before[:number]) for number, part in enumerate(before) if part]
                entry = self._compute(ids, torch.cat(earlier, dim=-2) if earlier else None)
                self._add(key, entry)
            return entry

    def write(self, row: Row, into: Tensor, length: int) -> None:
        """Write keys and values of the first `length` positions of a row's prefix to a tensor.

        It is `[layers, 2, kv_heads, length, head_dim]`. Only the segments within `length` are looked up or computed.
        """
        for segment in self._segments(row, length):
            start, entry = segment.start, segment.entry
            count = min(entry.shape[-2], length - start)
            keys, values = entry[:, 0, :, :count], entry[:, 1, :, :count]
            target = into[..., start : start + count, :]
            target[:, 1] = values
            # At its base position an entry needs no rotation and loses no bit.
            target[:, 0] = keys if start == segment.base else shift(self.backbone, keys, start - segment.base)

    def segments(self, row: Row) -> Iterator[StoredSegment]:
        """The stored segments of a row's prefix, in order. Each is looked up or computed when it is asked for."""
        return self._segments(row, len(row.prefix))

    def reusable_prefix(self, row: Row) -> ReusedPrefix | None:
        """The prefix that a row shares with an earlier conversation, if it is longer than its prefix in this store."""
        if not self.conversations.limit_bytes:
            return None
        kv_length = row.kv_prompt.length if row.kv_prompt else 0
        stored = len(row.prefix) + kv_length
        with self._lock:
            if not row.cuts and not kv_length and self._find(_key((row.prefix,))) is None:
                # Without passages and soft slot the prefix grows with the conversation. Storing it for every turn would
                # waste memory.
                stored = 0
        return self.conversations.longest_prefix(row, stored)

    def warm(self, row: Row) -> None:
        """Compute every missing segment of a row's prefix."""
        for _ in self._segments(row, len(row.prefix)):
            continue

    @property
    def disk_used(self) -> int:
        """Size of the entries on disk in bytes."""
        disk = self._existing_disk_store()
        return 0 if disk is None else disk.total_bytes

    def _compute(self, ids: Sequence[int], before: Tensor | None = None) -> Tensor:
        self.computed_tokens += len(ids)
        return prefill(self.backbone, ids, before)

    def close(self) -> None:
        """Drop everything in memory and delete the temporary folder."""
        self.conversations.clear()
        with self._lock:
            self._memory.clear()
            self._memory_used = 0
            if self._disk is not None and self.folder is None:
                shutil.rmtree(self._disk.folder, ignore_errors=True)
            self._disk = None

    def _segments(self, row: Row, length: int) -> Iterator[StoredSegment]:
        """The segments that begin within `length`."""
        start, segments = 0, row.segments
        for number, ids in enumerate(segments):
            if start >= length:
                return
            if row.attention == "block" and row.is_passage(number):
                behind = (segments[0], ids)
                yield StoredSegment(_key(behind), start, self.get(ids, segments[:1]), len(segments[0]))
            elif row.attention == "block" and number > 1:
                entry = self._text_behind_passages(row, ids, start)
                yield StoredSegment(_key(segments, "block"), start, entry, start)
            else:
                yield StoredSegment(_key(segments[: number + 1]), start, self.get(ids, segments[:number]), start)
            start += len(ids)

    def _text_behind_passages(self, row: Row, ids: tuple[int, ...], start: int) -> Tensor:
        """Entry of the text in `block` attention that sees all passages before it."""
        key = _key(row.segments, "block")
        with self._lock:
            entry = self._find(key)
            if entry is None:
                layers, heads, head_dim = self.backbone.cache_layout
                before = self.get(row.segments[0]).new_empty((layers, 2, heads, start, head_dim))
                self.write(row, before, start)
                entry = self._compute(ids, before)
                self._add(key, entry)
            return entry

    def _find(self, key: str) -> Tensor | None:
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        disk = self._existing_disk_store()
        entry = None if disk is None else disk.get(key)
        return None if entry is None else entry.to(self.backbone.device)

    def _add(self, key: str, entry: Tensor) -> None:
        if self.folder is not None:
            self._disk_store().put(key, entry)
        self._memory[key] = entry
        self._memory_used += entry.nbytes
        while self._memory_used > self.memory_bytes:
            old_key, old = self._memory.popitem(last=False)
            self._memory_used -= old.nbytes
            self._disk_store().put(old_key, old)

    def _existing_disk_store(self) -> DiskStore | None:
        """The disk store, unless it would be a temporary one that does not exist yet."""
        return self._disk if self.folder is None else self._disk_store()

    def _disk_store(self) -> DiskStore:
        if self._disk is None:
            if self.folder is None:
                folder = temporary_folder("softgraft-prefixes-")
            else:
                backbone = self.backbone
                identity = f"{backbone.digest} {backbone.tokenizer_hash} {backbone.dtype} {backbone.device.type}"
                folder = self.folder / hashlib.sha256(identity.encode()).hexdigest()[:24]
            self._disk = DiskStore(folder, self.disk_bytes)
        return self._disk


def _key(segments: Segments, attention: str = "exact") -> str:
    """Identifies the last of these segments behind the others."""
    digest = hashlib.sha256(attention.encode())
    for ids in segments:
        digest.update(len(ids).to_bytes(8, "little"))
        digest.update(torch.tensor(ids, dtype=torch.int64).numpy().tobytes())
    return digest.hexdigest()

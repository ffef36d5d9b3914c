"""Keys and values of prefixes: computed once without gradient, then reused by every epoch, question and system.

Entries live in memory up to a budget; what does not fit moves to a folder of safetensors files, and beyond that
folder's budget the least recently used entry is dropped and computed again when it is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.cache import filled_cache, stacked

GIB = 1024**3


class PrefixStore:
    """A bounded store of prefix keys and values for one backbone.

    Prefixes are computed one at a time, without padding, so an entry's bits do not depend on what else is asked for:
    a run that is resumed sees the same numbers as one that never stopped.

    Args:
        backbone: the frozen model.
        memory_bytes: how much to keep in memory.
        disk_bytes: how much to keep in a temporary folder, made when it is first needed and removed by `close`.
    """

    def __init__(self, backbone: Backbone, *, memory_bytes: int = GIB, disk_bytes: int = 16 * GIB) -> None:
        self.backbone = backbone
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.computed_tokens = 0
        self._memory: OrderedDict[str, Tensor] = OrderedDict()
        self._disk: OrderedDict[str, int] = OrderedDict()
        self._folder: Path | None = None
        self._lock = threading.RLock()

    def get(self, prefix: Sequence[int]) -> Tensor:
        """Keys and values of a prefix, `[layers, 2, kv_heads, tokens, head_dim]`, in the backbone's dtype.

        The tensor is shared: do not write to it.
        """
        key = hashlib.sha256(torch.tensor(list(prefix), dtype=torch.int64).numpy().tobytes()).hexdigest()
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
            if key in self._disk and self._folder is not None:
                self._disk.move_to_end(key)
                try:
                    file = self._folder / f"{key}.safetensors"
                    stored: Tensor = load_file(file, device=str(self.backbone.device))["kv"]
                    return stored
                except (OSError, SafetensorError):
                    # Temporary folders are swept by others; what is lost is computed again.
                    del self._disk[key]
            entry = self.compute(prefix)
            self._keep(key, entry)
            return entry

    def close(self) -> None:
        """Forget everything and remove the temporary folder."""
        with self._lock:
            self._memory.clear()
            self._disk.clear()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def compute(self, prefix: Sequence[int]) -> Tensor:
        """Keys and values of a prefix as `get` gives them, computed and not kept."""
        self.backbone.require_decoder_only("a prefix to store")
        ids = torch.tensor([list(prefix)], device=self.backbone.device)
        cache = filled_cache([])
        with torch.no_grad():
            self.backbone.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self.computed_tokens += len(prefix)
        return stacked(cache)

    def _keep(self, key: str, entry: Tensor) -> None:
        self._memory[key] = entry
        while sum(_size(e) for e in self._memory.values()) > self.memory_bytes:
            old_key, old = self._memory.popitem(last=False)
            self._spill(old_key, old)

    def _spill(self, key: str, entry: Tensor) -> None:
        size = _size(entry)
        if size > self.disk_bytes:
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="softgraft-prefixes-"))
        while self._disk and sum(self._disk.values()) + size > self.disk_bytes:
            oldest, _ = self._disk.popitem(last=False)
            (self._folder / f"{oldest}.safetensors").unlink(missing_ok=True)
        try:
            save_file({"kv": entry.cpu()}, self._folder / f"{key}.safetensors")
        except (OSError, SafetensorError):
            # A full disk costs time, not correctness: the entry is computed again when it is needed.
            (self._folder / f"{key}.safetensors").unlink(missing_ok=True)
            self.disk_bytes = sum(self._disk.values())
            return
        self._disk[key] = size


def _size(entry: Tensor) -> int:
    return entry.numel() * entry.element_size()

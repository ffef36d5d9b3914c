"""Keys and values on disk: one safetensors file an entry, memory-mapped when it is read.

What is read is checked by a checksum once a process, since a damaged entry would silently change answers. Whatever is
wrong with a file or the disk costs time, never correctness: the entry counts as absent and is computed again.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

_SUFFIX = ".safetensors"
_TENSOR, _CHECKSUM = "kv", "crc32"
# A cache is worth less than a disk with room on it.
RESERVE = 1024**3


class DiskStore:
    """A bounded folder of entries; the least recently used leave first, across processes by their files' times.

    Args:
        folder: made when the first entry is written.
        budget: bytes that the entries may take.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget
        self._known: OrderedDict[str, int] | None = None
        self._checked: set[str] = set()
        self._total = 0

    def __contains__(self, key: str) -> bool:
        return key in self._sizes()

    @property
    def total_bytes(self) -> int:
        """What the entries take."""
        self._sizes()
        return self._total

    def get(self, key: str) -> Tensor | None:
        """An entry, mapped from its file, on the CPU; None where there is none or it cannot be read."""
        sizes = self._sizes()
        if key not in sizes:
            return None
        path = self._path(key)
        try:
            with safe_open(str(path), framework="pt") as file:
                entry: Tensor = file.get_tensor(_TENSOR)
                expected = (file.metadata() or {}).get(_CHECKSUM)
            if key not in self._checked and _checksum(entry) != expected:
                self._forget(key)
                return None
        except (OSError, SafetensorError):
            # Temporary folders are swept by others, and a full disk leaves halves.
            self._forget(key)
            return None
        self._checked.add(key)
        sizes.move_to_end(key)
        # A file that may be read and not touched only looks older to other processes than it is.
        with suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: str, entry: Tensor) -> bool:
        """Write an entry; False where it does not fit or cannot be written."""
        sizes, size = self._sizes(), entry.numel() * entry.element_size()
        if key in sizes:
            return True
        if size > self.budget:
            return False
        while sizes and self._total + size > self.budget:
            self._forget(next(iter(sizes)))
        path = self._path(key)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < size + RESERVE:
                raise OSError(f"less than {RESERVE} bytes would be left on the disk of {self.folder}")
            whole = entry.detach().cpu().contiguous()
            scratch.write_bytes(save({_TENSOR: whole}, {_CHECKSUM: _checksum(whole)}))
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            self.budget = self._total
            return False
        sizes[key] = size
        self._total += size
        self._checked.add(key)
        return True

    def _sizes(self) -> OrderedDict[str, int]:
        """Keys and sizes, the least recently used first; the folder is listed once."""
        if self._known is None:
            found = [(p.stat(), p) for p in self.folder.glob(f"*{_SUFFIX}")] if self.folder.is_dir() else []
            ordered = sorted(found, key=lambda pair: pair[0].st_mtime_ns)
            self._known = OrderedDict((path.name.removesuffix(_SUFFIX), stat.st_size) for stat, path in ordered)
            self._total = sum(self._known.values())
        return self._known

    def _forget(self, key: str) -> None:
        self._total -= self._sizes().pop(key)
        self._checked.discard(key)
        # What cannot be removed is not asked for again by this process.
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"


def _checksum(entry: Tensor) -> str:
    return f"{zlib.crc32(entry.flatten().view(torch.uint8).numpy().data):08x}"

"""Keys and values on disk: one safetensors file per entry, memory-mapped when it is read.

Every process checks the checksum of an entry once, since a damaged entry would silently change answers. Any problem
with a file or the disk costs time, never correctness: the entry counts as absent and is computed again. A warning says
once that nothing is kept.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import time
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

_SUFFIX, _SCRATCH = ".safetensors", ".tmp"
# No entry takes that long to write.
_LEFTOVER_SECONDS = 600
_TENSOR, _CHECKSUM = "kv", "crc32"
# Free space that the store leaves on the disk.
RESERVE = 1024**3
_log = logging.getLogger(__name__)


class DiskStore:
    """A folder of entries of at most `budget` bytes, created with the first entry.

    The least recently used entries are dropped first, across processes by modification time.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget
        self._entries: OrderedDict[str, int] | None = None
        self._verified: set[str] = set()
        self._total = 0
        self._warned = False

    @property
    def total_bytes(self) -> int:
        """Size of all entries."""
        self._sizes()
        return self._total

    def get(self, key: str) -> Tensor | None:
        """An entry, memory-mapped, on the CPU; None if it does not exist or cannot be read."""
        sizes = self._sizes()
        if key not in sizes:
            return None
        path = self._path(key)
        try:
            with safe_open(str(path), framework="pt") as file:
                entry: Tensor = file.get_tensor(_TENSOR)
                expected = (file.metadata() or {}).get(_CHECKSUM)
            if key not in self._verified and _checksum(entry) != expected:
                self._forget(key)
                return None
        except (OSError, SafetensorError):
            # Others may clean up temporary folders, and a full disk leaves truncated files.
            self._forget(key)
            return None
        self._verified.add(key)
        sizes.move_to_end(key)
        # Without permission to touch it, the file only looks older to other processes than it is.
        with suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: str, entry: Tensor) -> bool:
        """Write an entry. Returns False if it does not fit or cannot be written."""
        sizes, size = self._sizes(), entry.numel() * entry.element_size()
        if key in sizes:
            return True
        if size > self.budget:
            return False
        while sizes and self._total + size > self.budget:
            oldest = next(iter(sizes))
            try:
                self._path(oldest).unlink(missing_ok=True)
            except OSError as error:
                # On a read-only disk: its entries are still of use.
                self._warn(error)
                return False
            self._forget(oldest)
        path = self._path(key)
        # Another store, in this process or another one, may write the same entry.
        scratch = path.with_suffix(f".{secrets.token_hex(8)}{_SCRATCH}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < size + RESERVE:
                raise OSError(f"less than {RESERVE / 1024**3:.0f} GiB would be left on the disk")
            data = entry.detach().cpu().contiguous()
            scratch.write_bytes(save({_TENSOR: data}, {_CHECKSUM: _checksum(data)}))
            scratch.replace(path)
        except (OSError, SafetensorError) as error:
            # Where nothing can be written, deleting fails too.
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            # The disk is full or read-only: stop growing.
            self.budget = self._total
            self._warn(error)
            return False
        sizes[key] = size
        self._total += size
        self._verified.add(key)
        return True

    def _sizes(self) -> OrderedDict[str, int]:
        """Keys and sizes, the least recently used first. Lists the folder once."""
        if self._entries is None:
            files = self._list()
            files.sort(key=lambda pair: pair[0].st_mtime_ns)
            self._entries = OrderedDict((path.name.removesuffix(_SUFFIX), stat.st_size) for stat, path in files)
            self._total = sum(self._entries.values())
        return self._entries

    def _list(self) -> list[tuple[os.stat_result, Path]]:
        """The files of the entries; none if the folder cannot be listed."""
        files = []
        try:
            with os.scandir(self.folder) as listed:
                for entry in listed:
                    # Another process may delete a file meanwhile, and a disk be read-only.
                    with suppress(OSError):
                        if entry.name.endswith(_SUFFIX):
                            files.append((entry.stat(), Path(entry.path)))
                        elif entry.name.endswith(_SCRATCH) and time.time() - entry.stat().st_mtime > _LEFTOVER_SECONDS:
                            # Of a writer that died.
                            Path(entry.path).unlink()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(error)
        return files

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = getattr(error, "strerror", None) or error
            _log.warning(
                "the cache of keys and values in %s cannot be used (%s); they are computed again each time",
                self.folder,
                reason,
            )

    def _forget(self, key: str) -> None:
        self._total -= self._sizes().pop(key)
        self._verified.discard(key)
        # If it cannot be deleted, this process still does not read it again.
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"


def _checksum(entry: Tensor) -> str:
    return f"{zlib.crc32(entry.flatten().view(torch.uint8).numpy().data):08x}"


def temporary_folder(prefix: str) -> Path:
    """A new temporary folder; if there is no place for one, a path that cannot be made, where a store keeps nothing."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError:
        # A file, so nothing can be made below it.
        return Path(os.devnull) / prefix

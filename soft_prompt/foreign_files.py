"""Reading files that others made: only regular ones, and never more than is expected.

A pipe would block its reader, a device such as /dev/zero has no end, and a sparse file of a terabyte takes no space.
"""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 2**20
# Far above any manifest, configuration or card.
SETTINGS_LIMIT = 16 * MIB
_HEADER_LIMIT = 64 * MIB
_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
}  # fmt: skip


class ForeignFileError(ValueError):
    """A file is of the wrong kind or size. Callers turn it into their own error."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor as the header of a safetensors file describes it; `dtype` is the format's name, such as `F32`."""

    dtype: str
    shape: tuple[int, ...]


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        ForeignFileError: if it is no regular file, or larger.
        OSError: if it cannot be read.
    """
    descriptor = _open(path)
    with os.fdopen(descriptor, "rb") as file:
        _require_regular(path, os.fstat(descriptor), limit)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ForeignFileError(f"{path.name} grows while it is read")
    return data


def regular_size(path: Path, limit: int | None = None) -> int:
    """The size of a regular file in bytes; raises as `read_regular` does."""
    return _require_regular(path, path.stat(), limit)


def tensor_entries(path: Path) -> dict[str, TensorEntry]:
    """The tensors of a safetensors file by name, from its header alone.

    Raises:
        ForeignFileError: if it is no regular file, has no such header, or does not end with its last tensor.
        OSError: if it cannot be read.
    """
    descriptor = _open(path)
    with os.fdopen(descriptor, "rb") as file:
        size = _require_regular(path, os.fstat(descriptor), None)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise ForeignFileError(f"{path.name} has a header of {length:,} bytes, and {size:,} bytes in all")
        header = file.read(length)
    try:
        entries = {name: _entry(fields) for name, fields in json.loads(header).items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ForeignFileError(f"{path.name} has a header that cannot be read: {error}") from error
    ends = [end for _, end in entries.values()]
    if max(ends, default=0) != size - 8 - length:
        raise ForeignFileError(f"{path.name} has {size - 8 - length:,} bytes of numbers, not {max(ends, default=0):,}")
    return {name: entry for name, (entry, _) in entries.items()}


def _entry(fields: dict[str, Any]) -> tuple[TensorEntry, int]:
    """A tensor, and where its numbers end."""
    dtype, shape, (start, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, start, end)):
        raise ForeignFileError("a size is no number")
    if dtype in _BITS and math.prod(shape) * _BITS[dtype] != (end - start) * 8:
        raise ForeignFileError(f"{dtype} {shape} in {end - start:,} bytes")
    return TensorEntry(str(dtype), shape), end


def _open(path: Path) -> int:
    # A pipe without a writer is opened at once this way, and refused.
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def _require_regular(path: Path, status: os.stat_result, limit: int | None) -> int:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
        raise ForeignFileError(f"{path.name} is {kind}, not a regular file")
    if limit is not None and status.st_size > limit:
        raise ForeignFileError(f"{path.name} has {status.st_size:,} bytes, more than the {limit:,} expected")
    return status.st_size

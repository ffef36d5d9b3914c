"""The FAISS file on disk: written beside and renamed, checked before FAISS reads a byte of it, then mapped.

FAISS reads most damaged files without complaint and crashes on others, so it is only ever handed a file whose digest
SQLite knows.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO

from retrieval.errors import RetrievalError

_AT_ONCE = 1 << 22
_OLD_SECONDS = 3600.0


def read_checked(path: Path, digest: str) -> Any | None:
    """The FAISS index in a file, its vectors mapped and not copied.

    None where the file is missing, is not the one with that SHA-256 (hex), or was written by a release of FAISS that
    this one cannot read: each means to build it anew.
    """
    import faiss

    try:
        with path.open("rb") as file:
            if _digest(file) != digest:
                return None
            # A writer may have renamed another file to this name since it was opened: FAISS opens by name.
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            return index if _same(file.fileno(), path) else None
    except (OSError, RuntimeError):
        return None


def write(path: Path, index: Any) -> str:
    """Write an index, so that a reader sees the old file or the new one. Returns the SHA-256 (hex) of the file.

    Raises:
        RetrievalError: it could not be written; what was there is as it was.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            digest = _write_into(file, index)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RetrievalError(
            found=f"{path.name} could not be written ({error.strerror or error})",
            expected="room for it in a writable folder",
            next_step="free some disk space and run it again; nothing that was there is lost",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return digest


def _write_into(file: BinaryIO, index: Any) -> str:
    import faiss

    digest, failed = hashlib.sha256(), list[OSError]()

    def take(data: bytes) -> None:
        digest.update(data)
        try:
            file.write(data)
        except OSError as error:
            failed.append(error)
            raise

    # FAISS's own writer hides an error of its last write, and then the digest would be that of a part.
    try:
        faiss.write_index(index, faiss.PyCallbackIOWriter(take, _AT_ONCE))
    except (RuntimeError, SystemError, OSError):
        if failed:
            raise failed[0] from None
        raise
    return digest.hexdigest()


def remove_leftovers(path: Path) -> None:
    """Delete the unfinished files of writers that died; a recent one may be another process's that is still at it."""
    for left in path.parent.glob(f".{path.name}.*"):
        try:
            if time.time() - left.stat().st_mtime > _OLD_SECONDS:
                left.unlink()
        except FileNotFoundError:
            continue


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    if os.fstat(file.fileno()).st_size == 0:
        return digest.hexdigest()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
        for first in range(0, len(view), _AT_ONCE):
            with view[first : first + _AT_ONCE] as part:
                digest.update(part)
    return digest.hexdigest()


def _same(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())

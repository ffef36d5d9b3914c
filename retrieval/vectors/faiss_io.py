"""Reading and writing the FAISS file: written to a temporary file and renamed, verified by digest, memory-mapped.

FAISS reads most damaged files without an error and crashes on others. So it only gets a file whose digest SQLite has.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from retrieval.errors import RetrievalError

_LEFTOVER_SECONDS = 3600.0


def read_verified(path: Path, digest: str) -> Any | None:
    """The FAISS index in a file, with memory-mapped vectors.

    None if the file is missing, does not have this SHA-256 (hex), or cannot be read by this release of FAISS: the
    caller then rebuilds it.
    """
    import faiss

    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return None
            # A writer may have replaced the file since it was opened: FAISS opens by name.
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            return index if os.path.samestat(os.fstat(file.fileno()), path.stat()) else None
    except (OSError, RuntimeError):
        return None


def write(path: Path, index: Any) -> str:
    """Write an index atomically. Returns the SHA-256 (hex) of the file.

    Raises RetrievalError if the file cannot be written; the old file is unchanged.
    """
    import faiss

    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            # FAISS's own file writer hides an error of its last write.
            data = faiss.serialize_index(index)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RetrievalError(
            found=f"{path.name} could not be written ({error.strerror or error})",
            expected="a writable folder with enough free space",
            next_step="free some disk space and run it again; no data was lost",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def remove_leftovers(path: Path) -> None:
    """Delete temporary files of writers that died. A recent file may belong to a writer that is still running."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        try:
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                leftover.unlink()
        except FileNotFoundError:
            continue

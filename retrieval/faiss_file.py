"""The FAISS file beside the database: derived from it, never trusted, rebuilt when in doubt.

FAISS reads most damaged files without complaint and crashes on others, so it is only ever handed bytes
whose digest SQLite knows.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import RetrievalError
from retrieval.store import PassageStore

FAISS_NAME = "index.faiss"


class DenseIndex:
    """Exact inner product over all passages of one generation. Read-only, so any thread may search."""

    def __init__(self, index: Any, generation: int) -> None:
        self._index = index
        self.generation = generation

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, vectors: NDArray[np.float32], limit: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The best `limit` for each row of `vectors` `[n, dimension]`, or all there are.

        Returns scores and passage numbers, both `[n, found]`, best first.
        """
        found = min(limit, len(self))
        if found == 0:
            return np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        with _one_thread():
            scores, numbers = self._index.search(np.ascontiguousarray(vectors, dtype=np.float32), found)
        return scores, numbers


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS shares queries, not passages, out over threads: for one query they only wait for each other.

    On a busy machine that waiting takes longer than the search. The setting belongs to the calling
    thread and reaches torch as well, so it is put back.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def open_faiss(store: PassageStore, path: Path) -> DenseIndex:
    """The index of the store's present generation: from `path` where that is it, else built anew.

    Raises IndexDamagedError where a vector in SQLite fails its checksum, RetrievalError where the file
    cannot be written.
    """
    with store.reading():
        generation, record = store.generation, store.faiss_record()
        dimension, (_, count) = store.dimension, store.counts()
    if record is not None and record[0] == generation:
        index = _read(path, record[1])
        if index is not None and (index.d, index.ntotal) == (dimension, count):
            return DenseIndex(index, generation)
    return _rebuild(store, path)


def _read(path: Path, digest: str) -> Any | None:
    """None where the file is missing or is not the one that was written: both mean to build it anew."""
    import faiss

    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != digest:
        return None
    try:
        return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError:  # written by a release of FAISS that this one cannot read
        return None


def _rebuild(store: PassageStore, path: Path) -> DenseIndex:
    import faiss

    generation, numbers, vectors = store.all_vectors()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(store.dimension))
    if len(numbers):
        index.add_with_ids(vectors, numbers)
    data = faiss.serialize_index(index).tobytes()
    _replace(path, data)
    store.record_faiss(generation, hashlib.sha256(data).hexdigest())
    return DenseIndex(index, generation)


def _replace(path: Path, data: bytes) -> None:
    """Writes beside the file and renames, so that a reader sees the old file or the new one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RetrievalError(
            found=f"{path.name} could not be written ({error.strerror or error})",
            expected=f"room for {len(data) // 1024 + 1} KiB in a writable folder",
            next_step="free some disk space and run it again; nothing that was there is lost",
        ) from error

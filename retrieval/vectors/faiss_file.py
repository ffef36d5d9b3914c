"""The FAISS file beside the database: derived data, rebuilt whenever it cannot be trusted.

Between two builds the file is not touched: newer rows are an exactly searched tail, deleted rows are skipped. FAISS
reads most damaged files without an error and crashes on others. So it only gets a file whose digest SQLite has.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import RetrievalError
from retrieval.regular_files import open_regular
from retrieval.store.faiss_record import INDEX_CHOICES, INDEX_KINDS, FaissRecord, IndexChoice
from retrieval.store.store import PassageStore
from retrieval.vectors.candidates import candidates, exact_scores
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.index_kind import FLAT_UP_TO, build, kind_for, tune

FAISS_NAME = "index.faiss"

# A writer rebuilds the index when more changes than this have to be searched beside it.
_MIN_CHANGES = 1_000
_MAX_CHANGED_SHARE = 0.1
_LEFTOVER_SECONDS = 3600.0

_logger = logging.getLogger(__name__)


def open_faiss(store: PassageStore, path: Path | None = None) -> DenseIndex:
    """The index of the store's current revision: read from `path` if the file is valid, otherwise rebuilt.

    Without a path nothing is written. Raises IndexDamagedError if a vector in SQLite fails its checksum.
    """
    record = store.faiss_record()
    if record is not None and record.kind not in INDEX_KINDS:
        _logger.warning(
            "the FAISS index has the kind %r, which this release does not have; it is rebuilt as `auto`. "
            "Other kinds: softgraft ingest --index %s",
            record.kind,
            "|".join(INDEX_CHOICES),
        )
        record = None
    if record is None:
        return rebuild_faiss(store, path, must_write=False)
    index = _read_verified(path, record.digest) if path and record.count else None
    if record.count and (index is None or (index.d, index.ntotal) != (store.dimension, record.count)):
        return rebuild_faiss(store, path, must_write=False)
    return refreshed(_unchanged(store, record, index, -1), path)


def refreshed(dense: DenseIndex, path: Path | None = None) -> DenseIndex:
    """The same index with all later changes, or the index that another writer has built."""
    store = dense.store
    with store.reading():
        revision = store.revision
        if revision == dense.revision:
            return dense
        record = store.faiss_record()
        # Compare revisions, not digests: two files may be identical, but the newer build cleared the tombstones.
        rebuilt = path is not None and record is not None and record.revision > dense.record.revision
        if not rebuilt:
            newest = int(dense.tail_numbers[-1]) if len(dense.tail_numbers) else dense.record.last_number
            new_numbers, new_vectors = store.vectors_after(newest)
            last_tombstone, deleted = store.deleted_after(dense.last_tombstone)
    if rebuilt:
        return open_faiss(store, path)
    numbers = np.concatenate([dense.tail_numbers, new_numbers])
    remaining = ~np.isin(numbers, deleted)
    return replace(
        dense,
        revision=revision,
        tail_numbers=numbers[remaining],
        tail=np.concatenate([dense.tail, new_vectors])[remaining],
        deleted=np.concatenate([dense.deleted, deleted[deleted <= dense.record.last_number]]),
        last_tombstone=last_tombstone,
    )


def too_many_changes(changes: int, count: int) -> bool:
    """Whether this number of new and deleted rows makes it worth rebuilding an index of `count` vectors."""
    return changes > max(_MIN_CHANGES, _MAX_CHANGED_SHARE * count)


def update_faiss(store: PassageStore, path: Path, choice: IndexChoice | None = None) -> DenseIndex:
    """Bring the index up to date after rows were written: rebuild it after many changes, or if its kind changes.

    `choice` is stored; without one the stored choice holds. Readers use the old file until the new one is complete.
    Raises RetrievalError if the file cannot be written.
    """
    if choice is not None:
        store.choose_index(choice)
    remove_leftovers(path)
    if store.faiss_record() is None or not path.is_file():
        return rebuild_faiss(store, path)
    dense = open_faiss(store, path)
    expected = kind_for(store.index_choice, len(dense))
    # Just below the limit an index keeps its kind, so that it does not alternate with every document.
    near_limit = store.index_choice == "auto" and dense.record.kind != "flat" and len(dense) > FLAT_UP_TO // 2
    changes = len(dense.tail_numbers) + len(dense.deleted)
    if too_many_changes(changes, dense.record.count) or (expected != dense.record.kind and not near_limit):
        return rebuild_faiss(store, path)
    return dense


def rebuild_faiss(store: PassageStore, path: Path | None, *, must_write: bool = True) -> DenseIndex:
    """Build the index of all rows, and write it to `path` if there is one.

    Raises IndexDamagedError if a vector in SQLite fails its checksum, and with `must_write` RetrievalError if the file
    cannot be written; otherwise the index is then used from memory.
    """
    with store.reading():
        revision, last_number, choice = store.revision, store.last_number, store.index_choice
        numbers, vectors = store.vectors_after(0)
        last_tombstone, _ = store.deleted_after(-1)
    kind = kind_for(choice, len(numbers))
    index = build(kind, vectors, numbers)

    def search(queries: NDArray[np.float32], limit: int, effort: int) -> NDArray[np.int64]:
        estimated = candidates(index, queries, limit, effort)
        return exact_scores(queries, estimated, lambda some: vectors[np.searchsorted(numbers, some)])[1][:, :limit]

    effort, recall = tune(kind, vectors, numbers, search)
    record = FaissRecord(revision, "", kind, len(numbers), last_number, last_tombstone, effort, round(recall, 4))
    if path is not None:
        try:
            record = replace(record, digest=_write(path, index))
            store.record_faiss(record)
        except RetrievalError:
            if must_write:
                raise
    return _unchanged(store, record, index if len(numbers) else None, revision)


def _unchanged(store: PassageStore, record: FaissRecord, index: Any | None, revision: int) -> DenseIndex:
    none, no_vectors = np.zeros(0, np.int64), np.zeros((0, store.dimension), np.float32)
    return DenseIndex(store, record, index, revision, none, no_vectors, none, record.last_tombstone)


def _read_verified(path: Path, digest: str) -> Any | None:
    """The FAISS index in a file, with memory-mapped vectors.

    None if the file is missing, does not have this SHA-256 (hex), or cannot be read by this release of FAISS: the
    caller then rebuilds it.
    """
    import faiss

    try:
        with open_regular(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return None
            # A writer may have replaced the file since it was opened: FAISS opens by name.
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            return index if os.path.samestat(os.fstat(file.fileno()), path.stat()) else None
    except (OSError, RuntimeError):
        return None


def _write(path: Path, index: Any) -> str:
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

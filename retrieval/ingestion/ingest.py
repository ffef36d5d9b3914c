"""A folder of documents into an index, doing again only what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.conversion.child import Converter
from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.documents import embedded_digest
from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError
from retrieval.ingestion.batch_writer import BatchWriter
from retrieval.ingestion.docs_folder import FoundFiles, find_files
from retrieval.ingestion.folder_reader import FolderReader
from retrieval.splitting.split import DEFAULT_MAX_TOKENS, SPLITTER, split_document
from retrieval.store.faiss_record import IndexChoice
from retrieval.store.store import DATABASE_NAME, PassageStore, StoredDocument
from retrieval.vectors.faiss_file import FAISS_NAME, update_faiss


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is: `done` of `total` files read, of the passages of this batch embedded, or,
    once the index is there, of the questions searched for to fit the evidence score.

    `documents` are in the index as they should be, `seconds` after the start.
    """

    stage: Stage
    done: int
    total: int
    source: str = ""
    documents: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, or would do. Counts are of documents, but `passages` (in the index then) and `embedded`.

    `failed` are files and why; what the index held of them is kept. `skipped` are files of formats that
    nothing here reads.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    passages: int
    embedded: int
    seconds: float
    failed: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def documents_per_second(self) -> float:
        """Of those that were added and changed."""
        return (self.added + self.changed) / self.seconds if self.seconds > 0 else 0.0


OnProgress = Callable[[IngestProgress], None]


def ingest(
    docs: Path,
    index_dir: Path,
    encoder: Encoder,
    *,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    index: IndexChoice | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: OnProgress | None = None,
) -> IngestReport:
    """Makes the index in `index_dir` hold the documents below `docs`, no more and no less.

    Hidden files are passed over. A file that cannot be read, or is beyond the limits, is reported, and the
    others go on. Each document is one transaction, so an ingest that was ended early goes on where it
    stopped. `index` is the kind of FAISS index from now on, `auto` until one is chosen. `progress` is
    called by one thread at a time, but not always by the caller's.

    Raises NoDocumentsError for a folder without documents (the index stays as it is),
    IndexMismatchError for an index of another encoder, EncoderError for a `max_tokens` beyond the
    encoder's window and for vectors that are none, ValueError for a `max_tokens` below 16.
    """
    _check_window(max_tokens, encoder)
    tell = _Teller(progress)
    found = find_files(docs)
    splitter = _splitter(max_tokens)
    with PassageStore.open(index_dir / DATABASE_NAME, create=True) as store, Converter(limits) as converter:
        store.bind_encoder(encoder.id, encoder.dimension)
        reader = _reader(docs, found, store.stored_documents(), splitter, converter, limits, tell)
        added = changed = 0
        with BatchWriter(store, encoder, splitter, tell.embedded) as writer:
            tell.count = lambda: reader.unchanged + writer.written
            for document in reader.documents():
                writer.add(document, split_document(document, encoder.count_tokens, max_tokens))
                known = reader.knows(document.id)
                added, changed = added + (not known), changed + known
            writer.finish()
        removed = sum(store.delete_document(name) for name in reader.gone())
        tell("indexing", 0, 1)
        update_faiss(store, index_dir / FAISS_NAME, index)
        tell("indexing", 1, 1)
        return IngestReport(
            added=added,
            changed=changed,
            unchanged=reader.unchanged,
            removed=removed,
            passages=store.counts()[1],
            embedded=writer.embedded,
            seconds=tell.seconds,
            failed=tuple(reader.failed),
            skipped=found.skipped,
        )


def plan_ingest(
    docs: Path,
    index_dir: Path,
    encoder: Encoder,
    *,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    limits: Limits = DEFAULT_LIMITS,
    progress: OnProgress | None = None,
) -> IngestReport:
    """What `ingest` would do: the same counts and the same errors, with nothing embedded and nothing written."""
    _check_window(max_tokens, encoder)
    tell = _Teller(progress)
    found = find_files(docs)
    store = PassageStore.open(index_dir / DATABASE_NAME) if (index_dir / DATABASE_NAME).is_file() else None
    try:
        # An empty index is bound to no encoder yet.
        if store is not None and store.counts()[0]:
            store.check_encoder(encoder.id, encoder.dimension)
        stored = store.stored_documents() if store is not None else []
        with Converter(limits) as converter:
            reader = _reader(docs, found, stored, _splitter(max_tokens), converter, limits, tell)
            tell.count = lambda: reader.unchanged
            added = changed = passages = 0
            digests: set[str] = set()
            outdated: list[str] = []
            for document in reader.documents():
                cut = split_document(document, encoder.count_tokens, max_tokens)
                passages += len(cut)
                digests.update(map(embedded_digest, cut))
                known = reader.knows(document.id)
                added, changed = added + (not known), changed + known
                outdated.extend([document.id] if known else [])
        gone = reader.gone()
        if store is not None:
            passages += store.counts()[1] - len(store.passages_by_document([*outdated, *gone]))
            digests.difference_update(store.vectors_by_digest(list(digests)))
        return IngestReport(
            added=added,
            changed=changed,
            unchanged=reader.unchanged,
            removed=len(gone),
            passages=passages,
            embedded=len(digests),
            seconds=tell.seconds,
            failed=tuple(reader.failed),
            skipped=found.skipped,
        )
    finally:
        if store is not None:
            store.close()


def _check_window(max_tokens: int, encoder: Encoder) -> None:
    if max_tokens > encoder.window:
        raise EncoderError(
            found=f"passages of up to {max_tokens} tokens were asked for",
            expected=f"at most the {encoder.window} that the encoder reads",
            next_step=f"set max_tokens to {encoder.window} or less, or choose an encoder with a wider window",
        )


def _splitter(max_tokens: int) -> str:
    return f"{SPLITTER};max_tokens={max_tokens}"


def _reader(
    docs: Path,
    found: FoundFiles,
    stored: list[StoredDocument],
    splitter: str,
    converter: Converter,
    limits: Limits,
    tell: _Teller,
) -> FolderReader:
    total = len(found.files)
    return FolderReader(
        docs,
        found,
        stored,
        splitter,
        converter.convert,
        limits,
        lambda done, source: tell("reading", done, total, source),
    )


class _Teller:
    """Adds to each report of progress what all have in common, and lets one thread report at a time."""

    def __init__(self, progress: OnProgress | None) -> None:
        self.count: Callable[[], int] = lambda: 0
        self._progress = progress
        self._started = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def __call__(self, stage: Stage, done: int, total: int, source: str = "") -> None:
        if self._progress is not None:
            with self._lock:
                self._progress(IngestProgress(stage, done, total, source, self.count(), self.seconds))

    def embedded(self, done: int, total: int) -> None:
        self("embedding", done, total)


Stage = Literal["reading", "embedding", "indexing", "scoring"]

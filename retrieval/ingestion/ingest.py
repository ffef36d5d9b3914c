"""Ingests a folder of documents into an index. Unchanged documents are not processed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from retrieval.conversion.child import Converter
from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.conversion.ocr.recognition import Recognition, missing_error, missing_package
from retrieval.documents import embedded_digest
from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError
from retrieval.ingestion.batch_writer import BatchWriter
from retrieval.ingestion.docs_folder import find_files
from retrieval.ingestion.folder_reader import FolderReader
from retrieval.splitting.split import DEFAULT_MAX_TOKENS, SPLITTER, split_document
from retrieval.store.faiss_record import IndexChoice
from retrieval.store.store import DATABASE_NAME, PassageStore
from retrieval.vectors.faiss_file import FAISS_NAME, update_faiss

Stage = Literal["reading", "embedding", "indexing", "scoring"]


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """The progress of an ingest.

    `done` and `total` count files (reading), passages of this batch (embedding), indexes (indexing), or questions that
    the evidence score is fitted on (scoring). `source` is the file being read, and `documents` the number of documents
    that are up to date in the index.
    """

    stage: Stage
    done: int
    total: int
    source: str = ""
    documents: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, or would do: numbers of documents, of passages afterwards, and of those that were encoded.

    Attributes:
        failed: files that could not be read, with the reason. Their documents stay in the index.
        skipped: files with an unsupported suffix.
        notes: files that were read, with what the user should know, such as unused columns.
        unread: files of which a part could not be read, such as pages that are pictures; `notes` say which part.
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
    notes: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def documents_per_second(self) -> float:
        """Added and changed documents per second."""
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
    follow_links: bool = False,
    recognition: Recognition | None = None,
    progress: OnProgress | None = None,
) -> IngestReport:
    """Make the index contain exactly the documents below a folder.

    Hidden files are skipped. A file that cannot be read or exceeds a limit is reported, and the others continue. Each
    document is one transaction, so an interrupted ingest continues where it stopped.

    `max_tokens` limits a passage. `index` is the kind of FAISS index from now on; None keeps the previous choice,
    initially `auto`. `follow_links` also reads what links outside the folder lead to. With `recognition`, pages that
    are pictures are read by text recognition (OCR). `progress` is called by one thread at a time, but not always by
    the caller's.

    Raises:
        NoDocumentsError: if the folder has no documents; the index is unchanged.
        IndexMismatchError: if another encoder made the index.
        ConversionError: if the packages for `recognition` are not installed; the index is unchanged.
        EncoderError: if `max_tokens` exceeds the encoder's window, or the encoder returns invalid vectors.
        ValueError: if `max_tokens` is below 16.
    """
    _check_window(max_tokens, encoder)
    _check_recognition(recognition)
    reporter = _ProgressReporter(progress)
    files = find_files(docs, follow_links=follow_links, images=recognition is not None and recognition.images)
    splitter = f"{SPLITTER};max_tokens={max_tokens}"
    with (
        PassageStore.open(index_dir / DATABASE_NAME, create=True) as store,
        Converter(limits, recognition) as converter,
    ):
        store.bind_encoder(encoder.id, encoder.dimension)
        stored = store.stored_documents()
        on_file, on_embedded = partial(reporter, "reading"), partial(reporter, "embedding")
        reader = FolderReader(
            docs, files, stored, splitter, converter.convert, limits, on_file, store.unread_parts(), recognition
        )
        writer = BatchWriter(store, encoder, splitter, on_embedded)
        reporter.documents = lambda: reader.unchanged + writer.written
        writer.write(
            (document, split_document(document, encoder.count_tokens, max_tokens)) for document in reader.documents()
        )
        store.record_unread_parts(reader.unread)
        removed = sum(store.delete_document(doc_id) for doc_id in reader.removed())
        reporter("indexing", 0, 1)
        update_faiss(store, index_dir / FAISS_NAME, index)
        reporter("indexing", 1, 1)
        return _report(reader, reporter, removed, store.counts()[1], writer.embedded)


def plan_ingest(
    docs: Path,
    index_dir: Path,
    encoder: Encoder,
    *,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    limits: Limits = DEFAULT_LIMITS,
    follow_links: bool = False,
    recognition: Recognition | None = None,
    progress: OnProgress | None = None,
) -> IngestReport:
    """What `ingest` would do: the same counts and errors, without encoding or writing anything."""
    _check_window(max_tokens, encoder)
    _check_recognition(recognition)
    reporter = _ProgressReporter(progress)
    files = find_files(docs, follow_links=follow_links, images=recognition is not None and recognition.images)
    path = index_dir / DATABASE_NAME
    # An index that does not exist yet is planned as an empty one.
    with (
        PassageStore.open(path) if path.is_file() else PassageStore.in_memory() as store,
        Converter(limits, recognition) as converter,
    ):
        # An empty index is not bound to an encoder yet.
        if store.counts()[0]:
            store.check_encoder(encoder.id, encoder.dimension)
        stored = store.stored_documents()
        on_file, splitter = partial(reporter, "reading"), f"{SPLITTER};max_tokens={max_tokens}"
        reader = FolderReader(
            docs, files, stored, splitter, converter.convert, limits, on_file, store.unread_parts(), recognition
        )
        reporter.documents = lambda: reader.unchanged
        passages, digests, replaced = 0, set[str](), list[str]()
        for document in reader.documents():
            new = split_document(document, encoder.count_tokens, max_tokens)
            passages += len(new)
            digests.update(map(embedded_digest, new))
            replaced.append(document.id)
        removed = reader.removed()
        passages += store.counts()[1] - len(store.passages_by_document([*replaced, *removed]))
        digests.difference_update(store.vectors_by_digest(list(digests)))
        return _report(reader, reporter, len(removed), passages, len(digests))


def _check_window(max_tokens: int, encoder: Encoder) -> None:
    if max_tokens > encoder.window:
        raise EncoderError(
            found=f"max_tokens is {max_tokens}",
            expected=f"at most {encoder.window}, the encoder's window",
            next_step=f"set max_tokens to {encoder.window} or less, or choose an encoder with a wider window",
        )


def _check_recognition(recognition: Recognition | None) -> None:
    missing = missing_package() if recognition is not None else None
    if missing is not None:
        raise missing_error(missing)


def _report(
    reader: FolderReader, reporter: _ProgressReporter, removed: int, passages: int, embedded: int
) -> IngestReport:
    return IngestReport(
        added=reader.added,
        changed=reader.changed,
        unchanged=reader.unchanged,
        removed=removed,
        passages=passages,
        embedded=embedded,
        seconds=reporter.seconds,
        failed=tuple(reader.files.failed),
        skipped=tuple(reader.files.skipped),
        notes=tuple(reader.notes),
        unread=tuple(reader.unread),
    )


class _ProgressReporter:
    """Adds documents and seconds to each progress report, and lets one thread report at a time."""

    def __init__(self, progress: OnProgress | None) -> None:
        self.documents: Callable[[], int] = lambda: 0
        self._progress = progress
        self._start = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def __call__(self, stage: Stage, done: int, total: int, source: str = "") -> None:
        if self._progress is not None:
            with self._lock:
                self._progress(IngestProgress(stage, done, total, source, self.documents(), self.seconds))

"""A folder of documents into an index, doing again only what has changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.convert import (
    SUFFIXES,
    convert_bytes,
    converter_of,
    document_id,
    holds_rows,
    read_bytes,
    source_name,
)
from retrieval.documents import Document, Passage, embedded_digest, embedded_text
from retrieval.encoder import Encoder
from retrieval.errors import ConversionError, EncoderError, NoDocumentsError
from retrieval.faiss_file import FAISS_NAME, keep_faiss
from retrieval.index_kind import IndexChoice
from retrieval.split import DEFAULT_MAX_TOKENS, SPLITTER, split_document
from retrieval.store import DATABASE_NAME, PassageStore, StoredDocument

# Passages are embedded together across documents, since small batches leave the encoder idle; a crash
# loses at most this many.
_PASSAGES_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is: `done` of `total` files read, of the passages of this batch embedded, or,
    once the index is there, of the questions searched for to fit the evidence score."""

    stage: Literal["reading", "embedding", "indexing", "scoring"]
    done: int
    total: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did. Counts are of documents, but `passages` (in the index now) and `embedded`.

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


def ingest(
    docs: Path,
    index_dir: Path,
    encoder: Encoder,
    *,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    index: IndexChoice | None = None,
    progress: Callable[[IngestProgress], None] | None = None,
) -> IngestReport:
    """Makes the index in `index_dir` hold the documents below `docs`, no more and no less.

    Hidden files are passed over. A file that cannot be read is reported, and the others go on. Each
    document is one transaction, so an ingest that was ended early goes on where it stopped. `index` is the kind of
    FAISS index from now on; an index without one is `auto`.

    Raises NoDocumentsError for a folder without documents (the index stays as it is),
    IndexMismatchError for an index of another encoder, EncoderError for a `max_tokens` beyond the
    encoder's window, ValueError for one below 16.
    """
    if max_tokens > encoder.window:
        raise EncoderError(
            found=f"passages of up to {max_tokens} tokens were asked for",
            expected=f"at most the {encoder.window} that the encoder reads",
            next_step=f"set max_tokens to {encoder.window} or less, or choose an encoder with a wider window",
        )
    started = time.monotonic()
    files, skipped = _find_files(docs)
    with PassageStore.open(index_dir / DATABASE_NAME, create=True) as store:
        store.bind_encoder(encoder.id, encoder.dimension)
        run = _Run(docs, store, encoder, max_tokens, progress or _ignore)
        run.read(files)
        run.remove_missing()
        run.progress(IngestProgress("indexing", 0, 1))
        keep_faiss(store, index_dir / FAISS_NAME, index)
        run.progress(IngestProgress("indexing", 1, 1))
        return IngestReport(
            added=run.added,
            changed=run.changed,
            unchanged=run.unchanged,
            removed=run.removed,
            passages=store.counts()[1],
            embedded=run.embedded,
            seconds=time.monotonic() - started,
            failed=tuple(run.failed),
            skipped=tuple(skipped),
        )


def _ignore(_: IngestProgress) -> None:
    return


def _find_files(docs: Path) -> tuple[list[Path], list[str]]:
    """The files to read, sorted, and the names of those in unknown formats. Raises NoDocumentsError."""
    files: list[Path] = []
    skipped: list[str] = []
    for folder, below, names in os.walk(docs):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() in SUFFIXES:
                files.append(path)
            else:
                skipped.append(source_name(path, docs))
    if not files:
        raise NoDocumentsError(
            found=f"there is no document in {docs}" if docs.is_dir() else f"there is no folder {docs}",
            expected=f"files with one of the suffixes {' '.join(SUFFIXES)}",
            next_step=f"put documents into {docs} and ingest again; the index is as it was",
        )
    return files, skipped


@dataclass(frozen=True, slots=True)
class _Pending:
    """A document that waits for its vectors."""

    document: Document
    passages: tuple[Passage, ...]


@dataclass
class _Run:
    """One ingest: what it has seen, and what it has done."""

    docs: Path
    store: PassageStore
    encoder: Encoder
    max_tokens: int
    progress: Callable[[IngestProgress], None]
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    _stored: dict[str, StoredDocument] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _pending: list[_Pending] = field(default_factory=list)

    @property
    def splitter(self) -> str:
        """The splitter with its settings: passages made with others are stale."""
        return f"{SPLITTER};max_tokens={self.max_tokens}"

    def read(self, files: Sequence[Path]) -> None:
        self._stored = {stored.id: stored for stored in self.store.stored_documents()}
        for number, path in enumerate(files):
            source = source_name(path, self.docs)
            self.progress(IngestProgress("reading", number, len(files), source))
            try:
                self._read_file(path, source)
            except ConversionError as error:
                self.failed.append((source, str(error)))
        self.progress(IngestProgress("reading", len(files), len(files)))
        if not self._owners:
            raise NoDocumentsError(
                found="; ".join(message for _, message in self.failed) or f"{self.docs} holds no rows",
                expected=f"at least one document in {self.docs} that can be read",
                next_step="mend that and ingest again; the index is as it was",
            )
        self._write()

    def remove_missing(self) -> None:
        """Removes documents whose file or row is gone; those of a file that cannot be read now are kept."""
        unread = {source for source, _ in self.failed}
        for stored in self._stored.values():
            if stored.id not in self._owners and stored.source not in unread:
                self.removed += self.store.delete_document(stored.id)

    def _read_file(self, path: Path, source: str) -> None:
        data = read_bytes(path, self.docs)
        if not holds_rows(path):
            name = document_id(path, self.docs)
            self._check_id(name, source)
            digest = hashlib.sha256(data).hexdigest()
            if self._is_stored(StoredDocument(name, source, digest, converter_of(path), self.splitter)):
                self._owners[name] = source
                self.unchanged += 1
                return
        documents = convert_bytes(data, path, self.docs)
        for document in documents:
            self._check_id(document.id, source)
        for document in documents:
            self._owners[document.id] = source
            self._take(document)

    def _take(self, document: Document) -> None:
        stored = StoredDocument(document.id, document.source, document.source_digest, document.converter, self.splitter)
        if self._is_stored(stored):
            self.unchanged += 1
            return
        passages = split_document(document, self.encoder.count_tokens, self.max_tokens)
        self._pending.append(_Pending(document, tuple(passages)))
        if sum(len(pending.passages) for pending in self._pending) >= _PASSAGES_TOGETHER:
            self._write()

    def _is_stored(self, wanted: StoredDocument) -> bool:
        """Whether what is stored was made of the same bytes in the same way."""
        return self._stored.get(wanted.id) == wanted

    def _check_id(self, name: str, source: str) -> None:
        owner = self._owners.get(name)
        if owner is not None:
            raise ConversionError(
                found=f"{source} holds a document with the id {name!r}, which {owner} has already",
                expected="ids that stand once in a docs folder",
                next_step=f"rename one of them, or take it out of {source}",
            )

    def _write(self) -> None:
        """Embeds what waits, and writes each document in a transaction of its own."""
        pending, self._pending = self._pending, []
        vectors = self._vectors([passage for one in pending for passage in one.passages])
        for one in pending:
            digests = [embedded_digest(passage) for passage in one.passages]
            rows = np.zeros((len(digests), self.encoder.dimension), dtype=np.float32)
            for row, digest in zip(rows, digests, strict=True):
                row[:] = vectors[digest]
            self.store.replace_document(one.document, self.splitter, one.passages, rows)
            if one.document.id in self._stored:
                self.changed += 1
            else:
                self.added += 1

    def _vectors(self, passages: Sequence[Passage]) -> dict[str, NDArray[np.float32]]:
        """Digest of the embedded text -> vector. What the index has embedded before is taken from there."""
        texts = {
            embedded_digest(passage): embedded_text(passage.title, passage.heading, passage.text)
            for passage in passages
        }
        vectors = self.store.vectors_by_digest(list(texts))
        missing = [digest for digest in texts if digest not in vectors]
        if missing:
            encoded = self.encoder.encode(
                [texts[digest] for digest in missing],
                lambda done: self.progress(IngestProgress("embedding", done, len(missing))),
            )
            vectors.update(zip(missing, encoded, strict=True))
            self.embedded += len(missing)
        return vectors

"""Embeds and writes passages: one batch is encoded while the next is read and the previous is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage, embedded_digest, embedded_text
from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError
from retrieval.store.store import PassageStore

# Passages are encoded together across documents: larger batches have less padding and keep the encoder busy. A crash
# loses at most two batches.
_PASSAGES_PER_BATCH = 256


class _StoppedError(Exception):
    """The vectors are no longer needed."""


@dataclass(slots=True)
class _Batch:
    """Documents with their passages, known vectors, and vectors being encoded, by digest of the embedded text.

    The vectors of `shared` digests are being encoded for the previous batch.
    """

    documents: list[tuple[Document, list[Passage]]]
    known: dict[str, NDArray[np.float32]]
    missing: list[str]
    shared: list[str]
    encoding: Future[NDArray[np.float32]] | None


class BatchWriter:
    """Writes each document in its own transaction as soon as its vectors are encoded.

    The encoder runs in another thread, so that reading, splitting and writing take little extra time. Use it in a
    `with` statement; leaving it discards what is not finished.

    Args:
        store: where to write.
        encoder: embeds the passages.
        splitter: the splitter with its settings, stored with each document.
        on_embedded: called in the encoder's thread with the number of embedded passages of a batch, and their total.
    """

    def __init__(
        self, store: PassageStore, encoder: Encoder, splitter: str, on_embedded: Callable[[int, int], None]
    ) -> None:
        self.written = 0
        self.embedded = 0
        self._store = store
        self._encoder = encoder
        self._splitter = splitter
        self._on_embedded = on_embedded
        self._waiting: list[tuple[Document, list[Passage]]] = []
        self._passages_waiting = 0
        self._in_flight: _Batch | None = None
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)

    def add(self, document: Document, passages: list[Passage]) -> None:
        self._waiting.append((document, passages))
        self._passages_waiting += len(passages)
        if self._passages_waiting >= _PASSAGES_PER_BATCH:
            self._advance()

    def finish(self) -> None:
        """Write the remaining documents."""
        self._advance()
        self._advance()

    def _advance(self) -> None:
        """Start encoding the waiting documents, and write the previous batch meanwhile."""
        previous = self._in_flight
        self._in_flight = self._start_batch(previous)
        if previous is not None:
            self._write(previous)
            if self._in_flight is not None:
                self._in_flight.known.update((digest, previous.known[digest]) for digest in self._in_flight.shared)

    def _start_batch(self, previous: _Batch | None) -> _Batch | None:
        documents, self._waiting, self._passages_waiting = self._waiting, [], 0
        if not documents:
            return None
        texts = {
            embedded_digest(passage): embedded_text(passage.title, passage.heading, passage.text)
            for _, passages in documents
            for passage in passages
        }
        # Reuse vectors of the same text in any document.
        known = self._store.vectors_by_digest(list(texts))
        coming = set(previous.missing) if previous is not None else set()
        shared = [digest for digest in texts if digest not in known and digest in coming]
        missing = [digest for digest in texts if digest not in known and digest not in coming]
        encoding = self._thread.submit(self._encode, [texts[digest] for digest in missing]) if missing else None
        return _Batch(documents, known, missing, shared, encoding)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        def on_progress(done: int) -> None:
            if self._stopped.is_set():
                raise _StoppedError
            self._on_embedded(done, len(texts))

        return _checked(self._encoder.encode(texts, on_progress), len(texts), self._encoder.dimension)

    def _write(self, batch: _Batch) -> None:
        if batch.encoding is not None:
            batch.known.update(zip(batch.missing, batch.encoding.result(), strict=True))
            self.embedded += len(batch.missing)
        for document, passages in batch.documents:
            rows = np.zeros((len(passages), self._encoder.dimension), dtype=np.float32)
            for row, passage in zip(rows, passages, strict=True):
                row[:] = batch.known[embedded_digest(passage)]
            self._store.replace_document(document, self._splitter, passages, rows)
            self.written += 1


def _checked(vectors: NDArray[np.float32], texts: int, dimension: int) -> NDArray[np.float32]:
    """The vectors, if shape and values are valid. Raises EncoderError otherwise."""
    if vectors.shape != (texts, dimension):
        found = f"the encoder returned vectors of the shape {vectors.shape}"
    elif not np.isfinite(vectors).all():
        found = f"the encoder returned {int((~np.isfinite(vectors).all(axis=1)).sum())} vectors that are not finite"
    else:
        return vectors
    raise EncoderError(
        found=found,
        expected=f"{texts} finite vectors of dimension {dimension}",
        next_step="choose another encoder, or download this one again; documents written before are kept",
    )

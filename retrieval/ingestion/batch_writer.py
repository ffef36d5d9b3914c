"""Embeds and writes passages: one batch is encoded while the next is read and the previous is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage, embedded_digest, passage_text
from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError
from retrieval.store.store import PassageStore

# Passages are encoded together across documents: larger batches have less padding and keep the encoder busy. A crash
# loses at most two batches.
_PASSAGES_PER_BATCH = 256


class _StoppedError(Exception):
    """The vectors are no longer needed."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Documents with their passages, known vectors by digest, and the digests and vectors that are being encoded."""

    documents: Sequence[tuple[Document, list[Passage]]]
    known: dict[str, NDArray[np.float32]]
    missing: Sequence[str]
    encoding: Future[NDArray[np.float32]] | None


@dataclass
class BatchWriter:
    """Writes each document in its own transaction as soon as its vectors are encoded.

    The encoder runs in another thread, so that reading, splitting and writing take little extra time. `splitter` is the
    splitter with its settings, stored with each document. `on_embedded` is called in the encoder's thread with the
    number of embedded passages of a batch, and their total.
    """

    store: PassageStore
    encoder: Encoder
    splitter: str
    on_embedded: Callable[[int, int], None]
    written: int = 0
    embedded: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def write(self, documents: Iterable[tuple[Document, list[Passage]]]) -> None:
        """Write all documents. An error discards what is not encoded yet."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        try:
            previous = None
            for documents_of_batch in _batches(documents):
                batch = self._start(documents_of_batch, previous, thread)
                if previous is not None:
                    self._write(previous)
                    batch.known.update((digest, previous.known[digest]) for digest in previous.missing)
                previous = batch
            if previous is not None:
                self._write(previous)
        finally:
            self._stopped.set()
            thread.shutdown(cancel_futures=True)

    def _start(
        self, documents: Sequence[tuple[Document, list[Passage]]], previous: _Batch | None, thread: ThreadPoolExecutor
    ) -> _Batch:
        texts = {embedded_digest(passage): passage_text(passage) for _, passages in documents for passage in passages}
        # Reuse vectors of the same text in any document, and those that are being encoded for the previous batch.
        known = self.store.vectors_by_digest(list(texts))
        taken = {*known, *(previous.missing if previous is not None else ())}
        missing = [digest for digest in texts if digest not in taken]
        encoding = thread.submit(self._encode, [texts[digest] for digest in missing]) if missing else None
        return _Batch(documents, known, missing, encoding)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        def on_progress(done: int) -> None:
            if self._stopped.is_set():
                raise _StoppedError
            self.on_embedded(done, len(texts))

        return _checked(self.encoder.encode(texts, on_progress), len(texts), self.encoder.dimension)

    def _write(self, batch: _Batch) -> None:
        if batch.encoding is not None:
            batch.known.update(zip(batch.missing, batch.encoding.result(), strict=True))
            self.embedded += len(batch.missing)
        for document, passages in batch.documents:
            vectors = [batch.known[embedded_digest(passage)] for passage in passages]
            rows = np.array(vectors, dtype=np.float32).reshape(len(passages), self.encoder.dimension)
            self.store.replace_document(document, self.splitter, passages, rows)
            self.written += 1


def _batches(documents: Iterable[tuple[Document, list[Passage]]]) -> Iterator[list[tuple[Document, list[Passage]]]]:
    batch, count = list[tuple[Document, list[Passage]]](), 0
    for document, passages in documents:
        batch.append((document, passages))
        count += len(passages)
        if count >= _PASSAGES_PER_BATCH:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


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

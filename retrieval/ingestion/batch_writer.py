"""Passages to vectors to the index: one batch is embedded while the next is read and the last is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage, embedded_digest, embedded_text
from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError
from retrieval.store.store import PassageStore

# Passages are embedded together across documents, since small batches leave the encoder idle and longer ones
# have less padding in them; a crash loses at most twice as many.
_PASSAGES_TOGETHER = 256

Vectors = dict[str, NDArray[np.float32]]


class _StoppedError(Exception):
    """Nobody waits for these vectors any more."""


@dataclass(slots=True)
class _Batch:
    """Documents with their passages, the vectors that are known, and those that the encoder is making.

    All but `documents` go by the digest of the embedded text; `shared` are being made for the batch before.
    """

    documents: list[tuple[Document, list[Passage]]]
    known: Vectors
    missing: list[str]
    shared: list[str]
    encoding: Future[NDArray[np.float32]] | None


class BatchWriter:
    """Takes documents, and writes each in a transaction of its own once its vectors are there.

    The encoder runs in a thread beside the caller's, so that reading, splitting and writing cost little time of their
    own. Use it in a `with`; what was not yet finished when that is left is not written.

    Args:
        store: where to.
        encoder: what embeds.
        splitter: the splitter with its settings, stored with each document.
        on_embedded: told how many passages of how many of a batch are embedded, in the encoder's thread.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)

    def add(self, document: Document, passages: list[Passage]) -> None:
        self._waiting.append((document, passages))
        self._passages_waiting += len(passages)
        if self._passages_waiting >= _PASSAGES_TOGETHER:
            self._advance()

    def finish(self) -> None:
        """Writes what is left."""
        self._advance()
        self._advance()

    def _advance(self) -> None:
        """Lets the encoder begin with what waits, and meanwhile writes what it has done."""
        before = self._in_flight
        self._in_flight = self._begun(before)
        if before is not None:
            self._write(before)
            if self._in_flight is not None:
                self._in_flight.known.update((digest, before.known[digest]) for digest in self._in_flight.shared)

    def _begun(self, before: _Batch | None) -> _Batch | None:
        documents, self._waiting, self._passages_waiting = self._waiting, [], 0
        if not documents:
            return None
        texts = {
            embedded_digest(passage): embedded_text(passage.title, passage.heading, passage.text)
            for _, passages in documents
            for passage in passages
        }
        # What the index has embedded before is taken from there, whichever document it stands in.
        known = self._store.vectors_by_digest(list(texts))
        coming = set(before.missing) if before is not None else set()
        shared = [digest for digest in texts if digest not in known and digest in coming]
        missing = [digest for digest in texts if digest not in known and digest not in coming]
        encoding = self._thread.submit(self._encode, [texts[digest] for digest in missing]) if missing else None
        return _Batch(documents, known, missing, shared, encoding)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        def told(done: int) -> None:
            if self._stopped.is_set():
                raise _StoppedError
            self._on_embedded(done, len(texts))

        return checked_vectors(self._encoder.encode(texts, told), len(texts), self._encoder.dimension)

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


def checked_vectors(vectors: NDArray[np.float32], texts: int, dimension: int) -> NDArray[np.float32]:
    """The vectors, if they are what an encoder promises. Raises EncoderError."""
    if vectors.shape != (texts, dimension):
        found = f"the encoder gave vectors of the shape {vectors.shape}"
    elif not np.isfinite(vectors).all():
        found = f"the encoder gave {int((~np.isfinite(vectors).all(axis=1)).sum())} vectors that are not finite"
    else:
        return vectors
    raise EncoderError(
        found=found,
        expected=f"{texts} finite vectors of {dimension} numbers",
        next_step="choose another encoder, or download this one again; what was written before is kept",
    )

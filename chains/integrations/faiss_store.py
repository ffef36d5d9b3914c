"""The index as a LangChain vector store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from chains.errors import InputError
from chains.integrations.embeddings import embeddings_id
from retrieval import Record, RecordIndex, ScoredRecord
from retrieval.markup import whole_characters
from retrieval.records.record import check_record


class FaissStore(VectorStore):
    """A vector store of texts with metadata: SQLite stores them, FAISS searches them.

        from pathlib import Path
        from chains import EncoderEmbeddings, FaissStore
        from retrieval import load_encoder

        with FaissStore(EncoderEmbeddings(load_encoder()), folder=Path("build/my-index")) as store:
            store.add_texts(
                ["The card costs 12 euros.", "Die Karte kostet 12 Euro.", "Disputes take 120 days."],
                metadatas=[{"lang": "en", "year": 2024}, {"lang": "de", "year": 2024}, {"lang": "en", "year": 2019}],
                ids=["fee-en", "fee-de", "disputes"],
            )
            for document in store.similarity_search(
                "What does the card cost?", k=2, filter={"lang": "en", "year": {"$gte": 2020}}
            ):
                print(document.id, document.page_content)

    Without a folder, everything is in memory and lost with `close`. The first add creates the folder; until then,
    searches return nothing. Several stores and processes may share a folder: each search sees what others wrote.

    - **Adding** an existing id replaces it. A batch is written completely or not at all, after it was embedded.
      Metadata is JSON (a dict of text, numbers, booleans, None, lists and dicts). A lone surrogate (half a character)
      is refused before anything is embedded; in a query it counts as U+FFFD.
    - **LangChain's indexing API** (`langchain_core.indexing.index`) works: only changes are embedded.
    - **Scores** are cosines from -1 to 1. All vectors are normalised to length 1, so their length does not affect the
      ranking. A relevance score is (1 + cosine) / 2, from 0 to 1.
    - **Filters**: {"lang": "en"} for equal, {"tag": ["a", "b"]} for any of these, {"year": {"$gte": 2020, "$lt":
      2024}} for ranges, also $ne, $in, $nin, $exists, $not, and $and and $or over filters. A list in the metadata
      matches by any element. A filtered search returns `k` results, or all that match.
    - **Cancelling** an awaited add or delete before its commit writes nothing, and returns after it has stopped.

    An index is bound to its embeddings by class and model name (or `embedding_id`, if these are ambiguous); others
    are rejected. `retrieval.open_index` opens the folder too, for hybrid search.

    The index of a domain can be opened for reading: `FaissStore(embedding, folder=
    Path("domains/bank/build/index"))`. Its passages are the documents, with the metadata doc_id, title, heading,
    page, start and end. Adding and deleting are rejected, since the next ingest would undo them.

    Thread-safe. Raises InputError and ValueError for invalid arguments, and the errors of `retrieval`: FilterError,
    RecordError (metadata is not JSON), EncoderError (zero vectors, too few vectors), IndexMismatchError (another
    dimension or embedding) and IndexDamagedError. No error loses data.
    """

    def __init__(
        self, embedding: Embeddings, *, folder: Path | str | None = None, embedding_id: str | None = None
    ) -> None:
        self.embedding = embedding
        self.folder = Path(folder) if folder is not None else None
        self._index = RecordIndex(self.folder, embedding_id or embeddings_id(embedding))

    @property
    def embeddings(self) -> Embeddings:
        return self.embedding

    def close(self) -> None:
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Adding and deleting

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those with the same ids. Returns the ids; None becomes a new id.

        `batch_size` is the most texts that are embedded together (None: all). They are written together in any case.

        Raises:
            ValueError: if the number of metadatas or ids differs from that of the texts, or `batch_size` is below 1.
        """
        _reject_settings("add_texts", kwargs)
        records = _records(texts, metadatas, ids)
        if records:
            vectors: list[list[float]] = []
            for batch in _batches(records, batch_size):
                vectors += self.embedding.embed_documents(batch)
            self._index.add(records, vectors)
            self._index.maintain()
        return [record.id for record in records]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        _reject_settings("aadd_texts", kwargs)
        records = _records(texts, metadatas, ids)
        if records:
            vectors: list[list[float]] = []
            for batch in _batches(records, batch_size):
                vectors += await self.embedding.aembed_documents(batch)
            await _run_write(lambda check_cancelled: self._index.add(records, vectors, check_cancelled))
            await run_in_executor(None, self._index.maintain)
        return [record.id for record in records]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete the texts with these ids in one transaction; None deletes all. Unknown ids are ignored."""
        _reject_settings("delete", kwargs)
        self._index.delete(_to_list(ids) if ids is not None else None)
        self._index.maintain()
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        _reject_settings("adelete", kwargs)
        chosen = _to_list(ids) if ids is not None else None
        await _run_write(lambda check_cancelled: self._index.delete(chosen, check_cancelled))
        await run_in_executor(None, self._index.maintain)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in this order; unknown ids are left out."""
        return [_document(record) for record in self._index.get(_to_list(ids))]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents most similar to a query that match `filter`, best first."""
        _reject_settings("similarity_search", kwargs)
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter)]

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        _reject_settings("asimilarity_search", kwargs)
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter=filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search`, with the cosine of each document, from -1 to 1."""
        _reject_settings("similarity_search_with_score", kwargs)
        return _with_scores(self._index.search(self.embedding.embed_query(whole_characters(query)), k, filter))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        _reject_settings("asimilarity_search_with_score", kwargs)
        vector = await self.embedding.aembed_query(whole_characters(query))
        return _with_scores(await run_in_executor(None, self._index.search, vector, k, filter))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`, with the embedding of a query."""
        _reject_settings("similarity_search_by_vector", kwargs)
        return [_document(result.record) for result in self._index.search(embedding, k, filter)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`k` of the `fetch_k` most similar documents, by similarity (weight `lambda_mult`) and diversity."""
        _reject_settings("max_marginal_relevance_search", kwargs)
        vector = self.embedding.embed_query(whole_characters(query))
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter=filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, with the embedding of a query."""
        _reject_settings("max_marginal_relevance_search_by_vector", kwargs)
        results = self._index.search_diverse(embedding, k, fetch_k=fetch_k, relevance=lambda_mult, where=filter)
        return [_document(result.record) for result in results]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (1.0 + cosine) / 2.0

    # Creating from texts

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: Path | str | None = None,
        embedding_id: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create a store with these texts, or add them to the store in `folder`."""
        _reject_settings("from_texts", kwargs)
        store = cls(embedding, folder=folder, embedding_id=embedding_id)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store


class _CancelledError(Exception):
    """Aborts a transaction whose caller was cancelled."""


async def _run_write(write: Callable[[Callable[[], None]], object]) -> None:
    """Run a write in a thread. On cancellation it is rolled back, and has ended when this returns."""
    cancelled = threading.Event()

    def check_cancelled() -> None:
        if cancelled.is_set():
            raise _CancelledError

    writing = asyncio.ensure_future(run_in_executor(None, write, check_cancelled))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([writing])
        if not writing.cancelled():
            writing.exception()  # retrieved, so that asyncio does not log it; the caller gets the cancellation
        raise


def _records(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None, ids: Sequence[str | None] | None
) -> list[Record]:
    chosen = _to_list(texts)
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and len(values) != len(chosen):
            raise ValueError(f"{len(values)} {name} for {len(chosen)} texts; expected one for each, or none at all")
    records = [
        Record(
            id=str(uuid4()) if ids is None or ids[position] is None else ids[position],  # type: ignore[arg-type]
            text=text,
            metadata=metadatas[position] if metadatas is not None else {},
        )
        for position, text in enumerate(chosen)
    ]
    # Before anything is embedded, which costs time or money.
    for record in records:
        check_record(record)
    return records


def _batches(records: Sequence[Record], size: int | None) -> Iterator[list[str]]:
    """The texts of the records, at most `size` at a time."""
    if size is not None and size < 1:
        raise ValueError(f"batch_size is {size}; expected at least 1")
    texts = [record.text for record in records]
    for first in range(0, len(texts), size or len(texts)):
        yield texts[first : first + (size or len(texts))]


def _to_list(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError(
            found=f"the text {texts[:40]!r} in place of a list",
            expected="a list of texts",
            next_step="pass a list of texts",
        )
    return list(texts)


def _reject_settings(method: str, settings: dict[str, Any]) -> None:
    if settings:
        raise InputError(
            found=f"{method} was called with {', '.join(sorted(settings))}",
            expected="no unsupported settings",
            next_step='leave it out; for a score_threshold use as_retriever(search_type="similarity_score_threshold")',
        )


def _document(record: Record) -> Document:
    return Document(id=record.id, page_content=record.text, metadata=dict(record.metadata))


def _with_scores(scored: Iterable[ScoredRecord]) -> list[tuple[Document, float]]:
    return [(_document(result.record), result.score) for result in scored]

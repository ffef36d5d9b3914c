"""The index as a LangChain vector store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
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


class FaissStore(VectorStore):
    """Texts with metadata, found by their meaning: SQLite holds them, FAISS searches them.

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

    Without a folder everything is in memory and ends with `close`. A folder is opened at the first use and made
    by the first add; until then a search finds nothing. Any number of stores may use a folder, in any number of
    processes: each sees at its next search what another has written.

    - **Adding** an id that is there replaces it. A batch is written whole or not at all; its embeddings are made
      before. Metadata is JSON (a dict of text, numbers, booleans, None, lists and dicts).
    - **Scores** are cosines from -1 to 1, the higher the nearer. Vectors may have any length: those stored, and
      the query's, are brought to length 1, so an embedding meant for inner products of unequal lengths ranks by
      direction alone. A relevance score is (1 + cosine) / 2, from 0 to 1.
    - **Filters**: {"lang": "en"} for equal, {"tag": ["a", "b"]} for any of these, {"year": {"$gte": 2020, "$lt":
      2024}} for ranges, also $ne, $in, $nin, $exists, $not, and $and and $or over filters. A list in the metadata
      matches by any element. A filtered search finds as many as `k`, or all that match.
    - **Cancelling** an awaited add or delete that has not been committed writes nothing, and has ended when the
      cancellation comes back.

    An index is bound to its embeddings by class and model name (or `embedding_id`, where that says too little);
    others are refused. `retrieval.open_index` opens the folder too, for hybrid search.

    The index of a domain, as an ingest makes it, opens for reading: `FaissStore(embedding, folder=
    Path("domains/bank/build/index"))`. Its passages are the documents, with the metadata doc_id, title, heading,
    page, start and end, which filters may name. Adding and deleting are refused there, since the next ingest would
    undo them or pass them by.

    Safe to use from several threads. Raises, besides InputError and ValueError for wrong arguments, what
    `retrieval` raises: FilterError, RecordError (metadata that is not JSON), EncoderError (a vector of zeros, too
    few vectors), IndexMismatchError (another dimension or embedding) and IndexDamagedError; nothing is lost by any.
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
        """Ends the store; what is in memory is gone then."""
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
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts, or replaces those of the same ids, all or none. Returns the ids, new ones for None.

        Raises ValueError where there are more or fewer metadatas or ids than texts.
        """
        _refuse_settings("add_texts", kwargs)
        records = _records(texts, metadatas, ids)
        if records:
            self._index.add(records, self.embedding.embed_documents([record.text for record in records]))
            self._index.maintain()
        return [record.id for record in records]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`."""
        _refuse_settings("aadd_texts", kwargs)
        records = _records(texts, metadatas, ids)
        if records:
            vectors = await self.embedding.aembed_documents([record.text for record in records])
            await _written(lambda going_on: self._index.add(records, vectors, going_on))
            await run_in_executor(None, self._index.maintain)
        return [record.id for record in records]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Deletes the texts of these ids in one go, or every text where `ids` is None. Unknown ids are passed over."""
        _refuse_settings("delete", kwargs)
        self._index.delete(_listed(ids) if ids is not None else None)
        self._index.maintain()
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """As `delete`."""
        _refuse_settings("adelete", kwargs)
        chosen = _listed(ids) if ids is not None else None
        await _written(lambda going_on: self._index.delete(chosen, going_on))
        await run_in_executor(None, self._index.maintain)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids, in this order; ids that are not there are left out."""
        return [_document(record) for record in self._index.get(_listed(ids))]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents nearest to a query among those that match `filter`, or all that do; best first."""
        _refuse_settings("similarity_search", kwargs)
        return [_document(found.record) for found in self._index.search(self.embedding.embed_query(query), k, filter)]

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`."""
        _refuse_settings("asimilarity_search", kwargs)
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter=filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search`, each document with its cosine to the query, from -1 to 1."""
        _refuse_settings("similarity_search_with_score", kwargs)
        return _with_scores(self._index.search(self.embedding.embed_query(query), k, filter))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        _refuse_settings("asimilarity_search_with_score", kwargs)
        vector = await self.embedding.aembed_query(query)
        return _with_scores(await run_in_executor(None, self._index.search, vector, k, filter))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """`similarity_search` for a query's embedding."""
        _refuse_settings("similarity_search_by_vector", kwargs)
        return [_document(found.record) for found in self._index.search(embedding, k, filter)]

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
        """`k` of the `fetch_k` nearest: near the query (all that counts at `lambda_mult` 1), unlike one another."""
        _refuse_settings("max_marginal_relevance_search", kwargs)
        vector = self.embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter=filter)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        _refuse_settings("amax_marginal_relevance_search", kwargs)
        vector = await self.embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter=filter)

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
        """`max_marginal_relevance_search` for a query's embedding."""
        _refuse_settings("max_marginal_relevance_search_by_vector", kwargs)
        found = self._index.search_diverse(embedding, k, fetch_k=fetch_k, relevance=lambda_mult, where=filter)
        return [_document(one.record) for one in found]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (1.0 + cosine) / 2.0

    # Made from texts

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
        """A store with these texts; where `folder` holds a store already they are added to it."""
        _refuse_settings("from_texts", kwargs)
        store = cls(embedding, folder=folder, embedding_id=embedding_id)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    async def afrom_texts(
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
        """As `from_texts`."""
        _refuse_settings("afrom_texts", kwargs)
        store = cls(embedding, folder=folder, embedding_id=embedding_id)
        try:
            await store.aadd_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store


class _CancelledError(Exception):
    """Ends a transaction whose caller has gone."""


async def _written(write: Callable[[Callable[[], None]], object]) -> None:
    """Runs a write off the event loop. Where the caller is cancelled it is undone, and has ended, at the return."""
    cancelled = threading.Event()

    def going_on() -> None:
        if cancelled.is_set():
            raise _CancelledError

    writing = asyncio.ensure_future(run_in_executor(None, write, going_on))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([writing])
        if not writing.cancelled():
            writing.exception()  # whatever it was, the caller is told of the cancellation
        raise


def _records(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None, ids: Sequence[str | None] | None
) -> list[Record]:
    chosen = _listed(texts)
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(chosen):
            raise ValueError(f"{len(given)} {name} for {len(chosen)} texts; expected one for each, or none at all")
    return [
        Record(
            id=str(uuid4()) if ids is None or ids[position] is None else ids[position],  # type: ignore[arg-type]
            text=text,
            metadata=metadatas[position] if metadatas is not None else {},
        )
        for position, text in enumerate(chosen)
    ]


def _listed(given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise InputError(
            found=f"the text {given[:40]!r} in place of a list",
            expected="a list of texts",
            next_step="put [ ] around it",
        )
    return list(given)


def _refuse_settings(method: str, settings: dict[str, Any]) -> None:
    if settings:
        raise InputError(
            found=f"{method} was called with {', '.join(sorted(settings))}",
            expected="no setting that would have no effect",
            next_step='leave it out; for a score_threshold use as_retriever(search_type="similarity_score_threshold")',
        )


def _document(record: Record) -> Document:
    return Document(id=record.id, page_content=record.text, metadata=dict(record.metadata))


def _with_scores(found: Iterable[ScoredRecord]) -> list[tuple[Document, float]]:
    return [(_document(one.record), one.score) for one in found]

"""LangChain's indexing API over the vector store: nothing is embedded twice, and what is gone is removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from chains import DomainRetriever, EncoderEmbeddings, FaissStore
from retrieval import Index, RecordError
from tests.support.hashing_encoder import HashingEncoder

HALF = "a \ud800 card"


class Counting(Embeddings):
    """Embeds with a small encoder, and keeps the batches that it was given."""

    def __init__(self) -> None:
        self.inner = EncoderEmbeddings(HashingEncoder(dimension=32))
        self.batches: list[list[str]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(texts)
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)


@pytest.fixture
def embeddings() -> Counting:
    return Counting()


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path, embeddings: Counting) -> Iterator[FaissStore]:
    folder = tmp_path / "store" if request.param == "folder" else None
    with FaissStore(embeddings, folder=folder, embedding_id="counting") as store:
        yield store


@pytest.fixture
def records() -> InMemoryRecordManager:
    manager = InMemoryRecordManager("leaflets")
    manager.create_schema()
    return manager


def leaflets(*texts: str) -> list[Document]:
    return [Document(text, metadata={"source": f"{number}.md"}) for number, text in enumerate(texts)]


def texts_in(store: FaissStore) -> list[str]:
    return sorted(document.page_content for document in store.similarity_search("card", k=50))


Cleanup = Literal["incremental", "full"]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("cleanup", ["incremental", "full"])
def test_indexing_again_embeds_changes_alone(
    store: FaissStore, embeddings: Counting, records: InMemoryRecordManager, cleanup: Cleanup, batch_size: int
) -> None:
    def indexed(*texts: str) -> dict[str, Any]:
        embeddings.batches.clear()
        return dict(
            index(leaflets(*texts), records, store, batch_size=batch_size, cleanup=cleanup, source_id_key="source",
                  key_encoder="sha256")
        )  # fmt: skip

    first = ("Cards are free.", "Transfers cost 15 euros.", "Accounts are safe.")
    assert indexed(*first)["num_added"] == 3
    assert all(len(batch) <= batch_size for batch in embeddings.batches)
    assert indexed(*first) == {"num_added": 0, "num_updated": 0, "num_skipped": 3, "num_deleted": 0}
    assert embeddings.batches == []
    changed = ("Cards are free.", "Transfers cost 20 euros.", "Accounts are safe.")
    assert indexed(*changed) == {"num_added": 1, "num_updated": 0, "num_skipped": 2, "num_deleted": 1}
    assert embeddings.batches == [["Transfers cost 20 euros."]]
    assert texts_in(store) == sorted(changed)
    found = indexed(*changed[:2])
    assert found["num_deleted"] == (1 if cleanup == "full" else 0)
    assert texts_in(store) == sorted(changed[:2] if cleanup == "full" else changed)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
async def test_indexing_works_async(
    store: FaissStore, embeddings: Counting, records: InMemoryRecordManager, batch_size: int
) -> None:
    async def indexed(*texts: str) -> dict[str, Any]:
        embeddings.batches.clear()
        return dict(
            await aindex(leaflets(*texts), records, store, batch_size=batch_size, cleanup="full",
                         source_id_key="source", key_encoder="sha256")
        )  # fmt: skip

    assert (await indexed("Cards are free.", "Accounts are safe.", "We open at nine."))["num_added"] == 3
    assert (await indexed("Cards are free.", "Accounts are safe.", "We open at nine."))["num_skipped"] == 3
    assert embeddings.batches == []
    assert (await indexed("Cards are free.", "Accounts are safer."))["num_deleted"] == 2
    assert texts_in(store) == ["Accounts are safer.", "Cards are free."]


def test_documents_without_metadata_and_forced_updates(
    store: FaissStore, embeddings: Counting, records: InMemoryRecordManager
) -> None:
    settings: dict[str, Any] = {"batch_size": 2, "cleanup": None, "key_encoder": "sha256"}
    documents = [Document(f"Card {number}.") for number in range(5)]
    assert index([*documents, documents[0]], records, store, **settings)["num_added"] == 5
    again = index(documents, records, store, force_update=True, **settings)
    assert (again["num_added"], again["num_updated"]) == (0, 5)
    assert texts_in(store) == [f"Card {number}." for number in range(5)]


def test_ids_of_documents_and_of_the_call(store: FaissStore, embeddings: Counting) -> None:
    documents = [Document("Cards are free.", id="a"), Document("We open at nine.", id="b")]
    assert store.add_documents(documents) == ["a", "b"]
    assert store.add_documents(documents, ids=["c", "d"], batch_size=1) == ["c", "d"]
    assert [len(batch) for batch in embeddings.batches] == [2, 1, 1]
    assert store.add_documents([Document("Cards cost 2 euros.")], ids=["a"]) == ["a"]
    assert [found.page_content for found in store.get_by_ids(["a", "c"])] == ["Cards cost 2 euros.", "Cards are free."]
    with pytest.raises(ValueError, match="batch_size is 0"):
        store.add_documents(documents, batch_size=0)


def test_one_id_twice_in_a_call_keeps_the_last(store: FaissStore) -> None:
    assert store.add_texts(["Old.", "New."], ids=["a", "a"]) == ["a", "a"]
    assert texts_in(store) == ["New."]


ADDS: Sequence[Callable[[FaissStore], object]] = (
    lambda store: store.add_texts(["Good.", HALF]),
    lambda store: store.add_texts(["Good.", "Fine."], ids=["a", "\udfff"]),
    lambda store: store.add_texts(["Good.", "Fine."], [{}, {"\ud800": 1}]),
    lambda store: store.add_texts(["Good.", "Fine."], [{}, {"by": ["\ud800"]}]),
    lambda store: store.add_documents([Document("Good."), Document(HALF)], batch_size=1),
)


@pytest.mark.parametrize("add", ADDS)
def test_half_a_character_is_refused_before_anything_is_embedded(
    store: FaissStore, embeddings: Counting, add: Callable[[FaissStore], object]
) -> None:
    with pytest.raises(RecordError, match="unpaired surrogate"):
        add(store)
    assert embeddings.batches == []
    assert texts_in(store) == []
    store.add_texts(["Good."])
    assert texts_in(store) == ["Good."]


async def test_half_a_character_is_refused_async(store: FaissStore, embeddings: Counting) -> None:
    with pytest.raises(RecordError, match="unpaired surrogate"):
        await store.aadd_texts([HALF])
    assert embeddings.batches == []


async def test_half_a_character_in_a_query_is_replaced(store: FaissStore, index: Index) -> None:
    store.add_texts(["A replacement card."], ids=["a"])
    whole = HALF.replace("\ud800", "\ufffd")
    assert store.similarity_search_with_score(HALF) == store.similarity_search_with_score(whole)
    assert await store.asimilarity_search_with_score(HALF) == store.similarity_search_with_score(whole)
    assert store.max_marginal_relevance_search(HALF, k=1)[0].id == "a"
    assert store.as_retriever().invoke(HALF)[0].id == "a"
    assert store.get_by_ids(["\ud800"]) == []
    assert store.delete(["\ud800"])
    retriever = DomainRetriever(index=index)
    assert retriever.invoke(HALF) == retriever.invoke(whole) != []

"""The vector store as LangChain sees it: scores, filters, retrievers, async, and what it refuses."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from chains import FaissStore, InputError
from retrieval import EncoderError, FilterError, IndexMismatchError, RecordError

Held = tuple[FaissStore, threading.Event, threading.Event]

PLACES = {"east": 0.0, "north-east": 45.0, "north": 90.0, "west": 180.0, "south": 270.0}


class Compass(Embeddings):
    """Places on a circle, at any distance: vectors of length 1 they are not."""

    def __init__(self, model: str = "compass") -> None:
        self.model = model
        self.asked_async = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vector(text, 7.0) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text, 0.2)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked_async += 1
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        self.asked_async += 1
        return self.embed_query(text)

    def _vector(self, text: str, length: float) -> list[float]:
        if text == "nowhere":
            return [0.0, 0.0]
        angle = math.radians(PLACES[text.split("/")[0]])
        return [length * math.cos(angle), length * math.sin(angle)]


@pytest.fixture
def store() -> Iterator[FaissStore]:
    with FaissStore(Compass()) as store:
        metadatas = [{"number": number, "tag": ["odd" if number % 2 else "even"]} for number in range(len(PLACES))]
        store.add_texts(list(PLACES), metadatas, ids=list(PLACES))
        yield store


def names(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_scores_are_cosines_and_relevance_lies_between_0_and_1(store: FaissStore) -> None:
    found = store.similarity_search_with_score("east", k=5)
    assert {document.id: round(score, 4) for document, score in found} == {
        "east": 1.0,
        "north-east": 0.7071,
        "north": 0.0,
        "south": 0.0,
        "west": -1.0,
    }
    relevance = store.similarity_search_with_relevance_scores("east", k=5)
    assert [round(score, 4) for _, score in relevance] == [1.0, 0.8536, 0.5, 0.5, 0.0]
    assert names(store.similarity_search_by_vector([-3.0, 0.1], k=1)) == ["west"]


def test_filters_and_limits(store: FaissStore) -> None:
    assert names(store.similarity_search("east", k=2, filter={"tag": "even"})) == ["east", "north"]
    assert names(store.similarity_search("east", k=9, filter={"number": {"$gte": 1, "$lt": 3}})) == [
        "north-east",
        "north",
    ]
    assert store.similarity_search("east", filter={"tag": "none"}) == []
    assert len(store.similarity_search("east")) == 4
    assert len(store.similarity_search("east", k=9, filter={})) == 5
    with pytest.raises(FilterError, match="near"):
        store.similarity_search("east", filter={"tag": {"$near": 1}})


def test_retrievers_pass_search_arguments_on(store: FaissStore) -> None:
    plain = store.as_retriever(search_kwargs={"k": 2, "filter": {"tag": ["odd"]}})
    assert names(plain.invoke("east")) == ["north-east", "west"]
    assert names(plain.invoke("east", k=1)) == ["north-east"]
    limited = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.8})
    assert names(limited.invoke("east")) == ["east", "north-east"]
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.1})
    assert names(diverse.invoke("north-east"))[0] == "north-east"
    assert names(diverse.invoke("north-east"))[1] in ("west", "south")
    with pytest.raises(InputError, match=r"score_threshold.*similarity_score_threshold"):
        store.as_retriever(search_kwargs={"score_threshold": 0.8}).invoke("east")


async def test_retrievers_pass_it_on_without_blocking(store: FaissStore) -> None:
    limited = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.8, "filter": {"number": 1}}
    )
    assert names(await limited.ainvoke("east")) == ["north-east"]
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "filter": {"tag": "even"}})
    assert set(names(await diverse.ainvoke("east"))) == {"east", "north", "south"}


@pytest.mark.parametrize("lambda_mult", [0.0, 0.25, 0.5, 1.0])
def test_diversity_is_what_langchain_means_by_it(lambda_mult: float) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 5))

    class Drawn(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vectors[int(text)].tolist() for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    with FaissStore.from_texts([str(n) for n in range(40)], Drawn(), ids=[str(n) for n in range(40)]) as store:
        query = rng.normal(size=5)
        nearest = [int(one.id or "") for one in store.similarity_search_by_vector(query.tolist(), k=12)]
        expected = maximal_marginal_relevance(query, [vectors[n] for n in nearest], lambda_mult=lambda_mult, k=6)
        found = store.max_marginal_relevance_search_by_vector(query.tolist(), 6, 12, lambda_mult)
        assert names(found) == [str(nearest[row]) for row in expected]


def test_getting_and_deleting(store: FaissStore) -> None:
    assert names(store.get_by_ids(["west", "none", "east"])) == ["west", "east"]
    assert store.delete(["west", "none"]) is True
    assert names(store.get_by_ids(["west"])) == []
    assert store.delete([]) is True
    assert len(store.similarity_search("east", k=9)) == 4
    assert store.delete() is True
    assert store.similarity_search("east", k=9) == []


def test_what_is_given_back_is_the_callers(store: FaissStore) -> None:
    store.get_by_ids(["east"])[0].metadata["tag"].append("changed")
    assert store.get_by_ids(["east"])[0].metadata == {"number": 0, "tag": ["even"]}


def test_ids_are_made_where_there_are_none(store: FaissStore) -> None:
    first, mine, last = store.add_documents(
        [Document("east"), Document("west", id="mine"), Document("east")],
    )
    assert mine == "mine"
    assert len({first, mine, last}) == 3
    assert names(store.get_by_ids([last, first])) == [last, first]
    assert store.add_texts(["east", "north"], ids=["same", "same"]) == ["same", "same"]
    assert [document.page_content for document in store.get_by_ids(["same"])] == ["north"]
    assert store.add_texts([]) == []
    assert store.add_texts(iter(["east"]), ids=["from-iterator"]) == ["from-iterator"]


def test_counts_that_do_not_agree_and_lone_texts_are_refused(store: FaissStore) -> None:
    with pytest.raises(ValueError, match="1 metadatas for 2 texts"):
        store.add_texts(["east", "west"], [{}])
    with pytest.raises(ValueError, match="3 ids for 2 texts"):
        store.add_texts(["east", "west"], ids=["a", "b", "c"])
    for call in (store.add_texts, store.get_by_ids, store.delete):
        with pytest.raises(InputError, match="in place of a list"):
            call("east")  # type: ignore[operator]
    with pytest.raises(InputError, match="add_texts was called with namespace"):
        store.add_texts(["east"], namespace="x")
    with pytest.raises(ValueError, match="k is 0"):
        store.similarity_search("east", k=0)


def test_a_failed_add_leaves_nothing_behind(store: FaissStore) -> None:
    with pytest.raises(RecordError, match="type object"):
        store.add_texts(["north", "south"], [{}, {"bad": object()}], ids=["east", "new"])
    with pytest.raises(EncoderError, match="zeros"):
        store.add_texts(["north", "nowhere"], ids=["east", "new"])
    with pytest.raises(EncoderError, match="zeros"):
        store.similarity_search("nowhere")
    with pytest.raises(KeyError):  # the embeddings' own
        store.add_texts(["north", "atlantis"], ids=["east", "new"])
    assert [document.page_content for document in store.get_by_ids(["east", "new"])] == ["east"]


def test_a_folder_is_opened_again_by_the_same_embeddings(tmp_path: Path) -> None:
    documents = [Document("east", metadata={"a": 1}), Document("west", id="w")]
    with FaissStore.from_documents(documents, Compass(), folder=tmp_path / "store") as store:
        (found,) = store.similarity_search("east", k=1)
        assert found.metadata == {"a": 1}
    with FaissStore(Compass(), folder=str(tmp_path / "store")) as store:
        assert store.similarity_search("east", k=1) == [found]
        assert names(store.get_by_ids(["w"])) == ["w"]
    refused = pytest.raises(IndexMismatchError, match=r"langchain:Compass:compass .*langchain:Compass:other")
    with FaissStore(Compass("other"), folder=tmp_path / "store") as store, refused:
        store.similarity_search("east")
    with FaissStore(Compass("other"), folder=tmp_path / "store", embedding_id="langchain:Compass:compass") as store:
        assert len(store.similarity_search("east")) == 2


def test_stores_are_apart(tmp_path: Path) -> None:
    with (
        FaissStore(Compass()) as memory,
        FaissStore(Compass()) as other,
        FaissStore(Compass(), folder=tmp_path / "a") as a,
        FaissStore(Compass(), folder=tmp_path / "b") as b,
    ):
        for number, one in enumerate((memory, other, a, b)):
            one.add_texts(["east"], [{"store": number}], ids=["same"])
        found = [one.similarity_search("east", k=9) for one in (memory, other, a, b)]
        assert [[document.metadata["store"] for document in some] for some in found] == [[0], [1], [2], [3]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


async def test_every_method_has_its_async_twin(tmp_path: Path) -> None:
    compass = Compass()
    store = await FaissStore.afrom_documents(
        [Document(place, id=place, metadata={"length": len(place)}) for place in PLACES], compass, folder=tmp_path
    )
    short: dict[str, Any] = {"k": 2, "filter": {"length": {"$lte": 5}}}
    assert names(await store.asimilarity_search("east", **short)) == names(store.similarity_search("east", **short))
    assert await store.asimilarity_search_with_score("east", **short) == store.similarity_search_with_score(
        "east", **short
    )
    assert await store.asimilarity_search_by_vector([0.0, 2.0], k=1) == store.get_by_ids(["north"])
    assert await store.amax_marginal_relevance_search("east", **short) == store.max_marginal_relevance_search(
        "east", **short
    )
    assert (await store.amax_marginal_relevance_search_by_vector([0.0, 2.0], k=1))[0].id == "north"
    assert names(await store.aget_by_ids(["west", "x", "east"])) == ["west", "east"]
    assert await store.aadd_texts(["south"], [{"length": 1}], ids=["east"]) == ["east"]
    assert [document.page_content for document in await store.aget_by_ids(["east"])] == ["south"]
    assert await store.adelete(["east", "x"]) is True
    assert await store.aget_by_ids(["east"]) == []
    assert await store.adelete() is True
    assert await store.asimilarity_search("east") == []
    assert compass.asked_async >= 4
    store.close()


async def test_a_store_in_a_folder_serves_many_tasks(tmp_path: Path) -> None:
    with FaissStore(Compass(), folder=tmp_path) as store:
        await asyncio.gather(*(store.aadd_texts(["east", "north"], ids=[f"{n}", f"{n}-b"]) for n in range(10)))
        found = await asyncio.gather(*(store.asimilarity_search("east", k=30) for _ in range(10)))
        assert [len(some) for some in found] == [20] * 10


@pytest.fixture
def held() -> Iterator[Held]:
    """A store whose writes wait, between two records, until they are let go on."""
    reached, go = threading.Event(), threading.Event()
    with FaissStore(Compass()) as store:
        store.add_texts(["east"], ids=["old"])
        add = store._index.add

        def slow_add(records: Any, vectors: Any, going_on: Any) -> None:
            def wait_and_go_on() -> None:
                reached.set()
                assert go.wait(10)
                going_on()

            add(records, vectors, wait_and_go_on)

        store._index.add = slow_add  # type: ignore[method-assign]
        yield store, reached, go
        go.set()


async def test_a_cancelled_add_is_undone_and_has_ended(
    held: Held,
) -> None:
    store, reached, go = held
    adding = asyncio.create_task(store.aadd_texts(["north", "west"], ids=["old", "new"]))
    await asyncio.to_thread(reached.wait, 10)
    adding.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not adding.done()  # it ends only with the write
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert [document.page_content for document in store.get_by_ids(["old", "new"])] == ["east"]
    assert names(store.similarity_search("north", k=9)) == ["old"]


async def test_an_add_cancelled_while_it_embeds_writes_nothing() -> None:
    class Slow(Compass):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            await asyncio.sleep(30)
            return self.embed_documents(texts)

    with FaissStore(Slow()) as store:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.aadd_texts(["north"], ids=["new"])
        assert store.get_by_ids(["new"]) == []


async def test_writes_do_not_block_the_event_loop(
    held: Held,
) -> None:
    store, reached, go = held
    adding = asyncio.create_task(store.aadd_texts(["north"], ids=["new"]))
    await asyncio.to_thread(reached.wait, 10)
    ticks = 0
    for _ in range(5):
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks == 5
    assert not adding.done()
    go.set()
    assert await adding == ["new"]
    assert len(store.similarity_search("north")) == 2

"""An encoder as embeddings, and embeddings as an encoder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from numpy.typing import NDArray

from chains import EmbeddingsEncoder, EncoderEmbeddings, FaissStore
from chains.integrations.embeddings import embeddings_id
from retrieval import Encoder, EncoderError, ingest, open_index
from tests.support.hashing_encoder import HashingEncoder


@pytest.fixture
def encoder() -> Any:
    return HashingEncoder()


def test_embeddings_are_the_encoders(encoder: Any) -> None:
    embeddings = EncoderEmbeddings(encoder)
    texts = ["one text", "another"]
    assert embeddings.embed_documents(texts) == encoder.encode(texts).tolist()
    assert embeddings.embed_query("one text") == embeddings.embed_documents(texts)[0]
    assert embeddings.embed_documents([]) == []
    assert embeddings_id(embeddings) == encoder.id


def test_a_truncated_text_is_reported(encoder: Any) -> None:
    embeddings = EncoderEmbeddings(encoder)
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 128 tokens") as caught:
        embeddings.embed_documents(["word " * 200, "short"])
    assert caught[0].filename == __file__


async def test_cancelling_ends_the_encoding_at_the_next_batch(encoder: Any) -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(HashingEncoder):
        def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
            def told(done: int) -> None:
                started.set()
                assert go.wait(10)
                if progress is not None:
                    progress(done)

            try:
                return super().encode(texts, told)  # type: ignore[no-any-return]
            finally:
                ended.set()

    slow = Slow()
    task = asyncio.create_task(EncoderEmbeddings(slow).aembed_documents(["a", "b", "c"]))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert await EncoderEmbeddings(slow).aembed_documents(["a"]) == encoder.encode(["a"]).tolist()


def test_embeddings_serve_as_an_encoder(tmp_path: Path) -> None:
    embeddings = DeterministicFakeEmbedding(size=6)
    adapted = EmbeddingsEncoder(embeddings, window=256)
    assert isinstance(adapted, Encoder)
    assert (adapted.id, adapted.dimension, adapted.window) == ("langchain:DeterministicFakeEmbedding", 6, 256)
    rows = adapted.encode(["a", "b"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert adapted.encode([]).shape == (0, 6)
    assert adapted.count_tokens("wörd") == 2
    assert EmbeddingsEncoder(embeddings, id="mine", count_tokens=len).count_tokens("wörd") == 4
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Fees\n\nThe card is free.\n", encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", adapted)
    with open_index(tmp_path / "index", adapted) as index:
        assert [found.passage.doc_id for found in index.search("The card is free.", 1)] == ["a"]
    with FaissStore(embeddings, folder=tmp_path / "index") as store:
        (document,) = store.similarity_search("free", k=3, filter={"doc_id": "a"})
        assert (document.page_content, document.metadata["title"]) == ("The card is free.", "Fees")


def test_a_stores_folder_opens_for_hybrid_search(tmp_path: Path, encoder: Any) -> None:
    with FaissStore(EncoderEmbeddings(encoder), folder=tmp_path) as store:
        store.add_texts(["The card is free.", "Disputes take 120 days."], ids=["card", "disputes"])
    with open_index(tmp_path, encoder) as index:
        assert index.search("disputes", 1)[0].passage.id == "disputes"


def test_embeddings_that_give_too_little_are_refused() -> None:
    class Short(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 2.0]]

        def embed_query(self, text: str) -> list[float]:
            return [1.0, 2.0]

    with pytest.raises(EncoderError, match=r"shape \[1, 2\]"):
        EmbeddingsEncoder(Short()).encode(["a", "b"])
    with FaissStore(Short()) as store, pytest.raises(EncoderError, match=r"shape \[1, 2\]"):
        store.add_texts(["a", "b"])

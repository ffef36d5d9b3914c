"""LangChain's own tests of a vector store and of embeddings: all of them, none skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from chains import EncoderEmbeddings, FaissStore
from retrieval import Encoder, load_encoder
from tests.contract.test_retriever_contract import TestDomainRetriever as DomainRetrieverSuite


class TestFaissStoreInMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[FaissStore]:
        with FaissStore(self.get_embeddings()) as store:
            yield store


class TestFaissStoreInFolder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[FaissStore]:
        with FaissStore(self.get_embeddings(), folder=tmp_path / "store") as store:
            yield store


@pytest.fixture(scope="module")
def embedded() -> Encoder:
    return load_encoder()


class _Embedded:
    """The parameters of the embeddings under test."""

    @pytest.fixture(autouse=True)
    def _encoder(self, embedded: Encoder) -> None:
        self.encoder = embedded

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return EncoderEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"encoder": self.encoder}


class TestEncoderEmbeddingsUnit(_Embedded, EmbeddingsUnitTests):
    pass


class TestEncoderEmbeddingsIntegration(_Embedded, EmbeddingsIntegrationTests):
    pass


@pytest.mark.parametrize(
    ("suite", "tests"),
    [
        (TestFaissStoreInMemory, 25),
        (TestFaissStoreInFolder, 25),
        (TestEncoderEmbeddingsUnit, 3),
        (TestEncoderEmbeddingsIntegration, 5),
        (DomainRetrieverSuite, 5),
    ],
)
def test_no_test_of_a_suite_is_left_out(suite: type, tests: int) -> None:
    """No test of LangChain is replaced, skipped or expected to fail."""
    theirs = {name for base in suite.__mro__[1:] for name in vars(base) if name.startswith("test_")}
    assert len(theirs) == tests
    for name in theirs:
        assert name not in vars(suite), f"{name} is replaced"
        marks = {mark.name for mark in getattr(getattr(suite, name), "pytestmark", ())}
        assert not marks & {"skip", "skipif", "xfail"}, f"{name} is not expected to pass"
    switches = [name for name in dir(suite) if name.startswith("has_")]
    assert not set(switches) & set(vars(suite)), "a part of the suite is switched off"

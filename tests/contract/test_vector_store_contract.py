"""LangChain's own tests of a vector store and of embeddings: all of them, none skipped."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from chains import EncoderEmbeddings, FaissStore
from retrieval import Encoder, load_encoder

ROOT = Path(__file__).parents[2]


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
def minilm() -> Encoder:
    return load_encoder()


class _MiniLM:
    """The parameters of the embeddings under test."""

    @pytest.fixture(autouse=True)
    def _encoder(self, minilm: Encoder) -> None:
        self.encoder = minilm

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return EncoderEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"encoder": self.encoder}


class TestEncoderEmbeddingsUnit(_MiniLM, EmbeddingsUnitTests):
    pass


class TestEncoderEmbeddingsIntegration(_MiniLM, EmbeddingsIntegrationTests):
    pass


def test_every_test_of_the_suites_runs_and_passes() -> None:
    # A run of its own, since this one may have been told to leave some out.
    files = [__file__, str(Path(__file__).with_name("test_retriever_contract.py"))]
    suites = "TestDomainRetriever or TestEncoderEmbeddings or TestFaissStore"
    command = [sys.executable, "-m", "pytest", *files, "-rA", "-p", "no:cacheprovider", "-k", suites]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    outcomes = [line.split(maxsplit=1) for line in done.stdout.splitlines() if "::Test" in line and line[:1].isupper()]
    assert {outcome for outcome, _ in outcomes} == {"PASSED"}
    assert Counter(name.split("::")[1] for _, name in outcomes) == {
        "TestDomainRetriever": 5,
        "TestEncoderEmbeddingsIntegration": 5,
        "TestEncoderEmbeddingsUnit": 3,
        "TestFaissStoreInFolder": 25,
        "TestFaissStoreInMemory": 25,
    }

"""LangChain's own tests of a retriever, over a small index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests

from chains import DomainRetriever
from retrieval import ingest, open_index
from tests.support.hashing_encoder import HashingEncoder


class TestDomainRetriever(RetrieversIntegrationTests):
    """The retriever returns `k` documents."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _index(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("contract")
        (folder / "docs").mkdir()
        for number in range(5):
            (folder / "docs" / f"{number}.txt").write_text(f"The fee for card number {number} is {number} euros.\n")
        encoder = HashingEncoder()
        ingest(folder / "docs", folder / "index", encoder)
        with open_index(folder / "index", encoder) as index:
            cls.index = index
            yield

    @property
    def retriever_constructor(self) -> type[DomainRetriever]:
        return DomainRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": self.index}

    @property
    def retriever_query_example(self) -> str:
        return "What is the fee for a card?"

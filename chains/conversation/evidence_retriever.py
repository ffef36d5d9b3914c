"""The search for evidence as a LangChain retriever, so that tracers and event streams see it with its documents."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import Field, PrivateAttr

from chains.answering.evidence import Evidence
from chains.messages.documents import passage_document


class EvidenceRetriever(BaseRetriever):
    """Finds the evidence for one question; the documents are its passages, the best first.

    `search` gives the evidence for a query. `find` and `afind` return the evidence with its score, which documents
    cannot hold.
    """

    search: Callable[[str], Evidence] = Field(exclude=True, repr=False)
    _found: Evidence | None = PrivateAttr(default=None)

    def find(self, query: str, config: RunnableConfig) -> Evidence:
        self.invoke(query, config)
        assert self._found is not None
        return self._found

    async def afind(self, query: str, config: RunnableConfig) -> Evidence:
        await self.ainvoke(query, config)
        assert self._found is not None
        return self._found

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        self._found = self.search(query)
        return [passage_document(entry) for entry in self._found.passages]

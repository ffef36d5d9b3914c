"""The domain's index as a LangChain retriever."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from chains.messages.documents import passage_document
from retrieval import Index

__all__ = ["DomainRetriever", "passage_document"]


class DomainRetriever(BaseRetriever):
    """Retrieves passages as LangChain documents; a call may pass its own `k`.

    `weights` are of the dense and the BM25 ranking; `neighbours` adjacent passages on each side are merged into a
    passage.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Index = Field(exclude=True, repr=False)
    k: int = Field(default=4, ge=1)
    weights: tuple[float, float] = (1.0, 0.5)
    neighbours: int = Field(default=0, ge=0)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        ranked = self.index.search(query, self.k if k is None else k, weights=self.weights)
        return [passage_document(entry) for entry in self.index.expanded(ranked, self.neighbours)]

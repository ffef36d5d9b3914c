"""The domain's index as a LangChain retriever."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from retrieval import Index


class DomainRetriever(BaseRetriever):
    """Ranked passages as LangChain documents; `k` of them, or as many as the call asks for."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Index = Field(exclude=True, repr=False)
    k: int = Field(default=4, ge=1)
    weights: tuple[float, float] = (1.0, 0.5)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found = self.index.search(query, self.k if k is None else k, weights=self.weights)
        return [
            Document(
                id=entry.passage.id,
                page_content=entry.passage.text,
                metadata={
                    "doc_id": entry.passage.doc_id,
                    "title": entry.passage.title,
                    "heading": entry.passage.heading,
                    "page": entry.passage.page,
                    "start": entry.passage.start,
                    "end": entry.passage.end,
                    "score": entry.score,
                },
            )
            for entry in found
        ]

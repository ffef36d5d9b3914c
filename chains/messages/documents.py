"""Convert ranked passages to LangChain documents."""

from __future__ import annotations

from langchain_core.documents import Document

from retrieval import RankedPassage

_METADATA = ("doc_id", "title", "heading", "page", "start", "end")


def passage_document(entry: RankedPassage) -> Document:
    """Convert a ranked passage to a LangChain document; `start` and `end` are its span in the stored text."""
    passage = entry.passage
    return Document(
        id=passage.id,
        page_content=passage.text,
        metadata={**{name: getattr(passage, name) for name in _METADATA}, "score": entry.score},
    )

"""A domain's evidence as a tool that an agent may call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from langchain_core.documents import Document
from langchain_core.tools import BaseTool, StructuredTool

from chains.answering.answering import Answering
from chains.answering.evidence import Evidence
from chains.integrations.retriever import passage_document

_NOTHING = "Nothing in the documents answers this."
_DESCRIPTION = (
    "Search the documents for passages that answer a question. Use it before you state a fact, and ask one question "
    "at a time, in full: it does not know the conversation."
)


def evidence_tool(answering: Answering, *, name: str = "search_documents", description: str = _DESCRIPTION) -> BaseTool:
    """A tool for `langchain.agents.create_agent` that finds what the domain's own answers rest on.

    It searches with the domain's weights, neighbours and budget of tokens, and says so where the evidence is too weak.
    The model reads numbered passages with title, heading and page; the tool message's `artifact` holds them as
    LangChain documents with their spans, and is empty where nothing fits.

    Args:
        answering: of a domain: `domain.chain.answering`.
        name: what the model calls it by.
        description: what the model is told of it.
    """

    def search(
        question: Annotated[str, "The question, in full, in the language of the documents."],
    ) -> tuple[str, list[Document]]:
        [evidence] = answering.evidence_many([question])
        return _told(evidence), [passage_document(entry) for entry in evidence.passages if evidence.enough]

    async def asearch(
        question: Annotated[str, "The question, in full, in the language of the documents."],
    ) -> tuple[str, list[Document]]:
        return await asyncio.to_thread(search, question)

    return StructuredTool.from_function(
        search, asearch, name=name, description=description, response_format="content_and_artifact"
    )


def _told(evidence: Evidence) -> str:
    if not evidence.enough:
        return _NOTHING
    return "\n\n".join(
        f"[{number}] {_place(entry.passage.title, entry.passage.heading, entry.passage.page)}\n{entry.passage.text}"
        for number, entry in enumerate(evidence.passages, 1)
    )


def _place(title: str, heading: str, page: int | None) -> str:
    named = " > ".join(part for part in (title, heading) if part)
    return f"{named}, page {page}" if page else named

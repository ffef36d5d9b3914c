"""Search in a domain's documents as a tool for agents."""

from __future__ import annotations

from typing import Annotated

from langchain_core.documents import Document
from langchain_core.tools import BaseTool, StructuredTool

from chains.answering.answering import Answering
from chains.answering.evidence import Evidence
from chains.messages.content import plain_text
from chains.messages.documents import passage_document

_NO_EVIDENCE = "Nothing in the documents answers this."
_DESCRIPTION = (
    "Search the documents for passages that answer a question. Use it before you state a fact, and ask one question "
    "at a time, in full: it does not know the conversation."
)


def evidence_tool(answering: Answering, *, name: str = "search_documents", description: str = _DESCRIPTION) -> BaseTool:
    """A tool for `langchain.agents.create_agent` that returns the same evidence as the domain's chain.

    It searches with the domain's settings, and reports if the evidence is too weak. The model reads numbered passages
    with title, heading and page; the tool message's `artifact` has them as LangChain documents with their spans, or is
    empty if nothing fits. `answering` is that of a domain: `domain.chain.answering`.
    """

    def search(
        question: Annotated[str, "The question, in full, in the language of the documents."],
    ) -> tuple[str, list[Document]]:
        [evidence] = answering.for_a_model.evidence_many([plain_text(question)])
        return _numbered_passages(evidence), [passage_document(entry) for entry in evidence.passages if evidence.enough]

    return StructuredTool.from_function(
        search, name=name, description=description, response_format="content_and_artifact"
    )


def _numbered_passages(evidence: Evidence) -> str:
    if not evidence.enough:
        return _NO_EVIDENCE
    return "\n\n".join(
        f"[{number}] {_source(entry.passage.title, entry.passage.heading, entry.passage.page)}\n{entry.passage.text}"
        for number, entry in enumerate(evidence.passages, 1)
    )


def _source(title: str, heading: str, page: int | None) -> str:
    source = " > ".join(part for part in (title, heading) if part)
    return f"{source}, page {page}" if page else source

"""Answers as LangChain messages, whose citations are LangChain's own annotations.

The chain and its memory hold plain dicts; messages are made of them here, for callers who expect a chat model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.content import Citation, create_citation
from langchain_core.runnables import Runnable, RunnableConfig

from chains.errors import InputError
from chains.messages.content import plain_text

# What a citation says of its source, besides LangChain's own fields.
_SOURCE = ("doc_id", "start", "end", "heading", "page", "passage_id", "support")
_ABOUT = ("query", "evidence_score", "refused", "notices")
# The one text block of an answer: chunks of a stream merge where they carry the same index.
_INDEX = 0

AnswerInput = str | Sequence[BaseMessage] | Mapping[str, Any]


class AnswersInParts(Protocol):
    """What streams dicts that add up to an answer: `DomainChain`."""

    def stream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """The answer in parts."""

    def astream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """The answer in parts."""


class AnswerMessages(Runnable[AnswerInput, AIMessage]):
    """A domain's chain that takes what a chat model takes and answers with messages.

    Input: a question, a list of messages that ends with the human's, or the chain's own dict. Output: an `AIMessage`
    whose text block carries a `Citation` annotation for each sentence that rests on evidence; `response_metadata` has
    the chain's `query`, `evidence_score`, `refused` and `notices`. Chunks of a stream add up to the same message; the
    annotations come with the last one.
    """

    def __init__(self, chain: AnswersInParts) -> None:
        self._chain = chain

    def invoke(self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """Answer once.

        Raises:
            InputError: the input is not as described above.
        """
        parts = _Parts()
        for part in self._chain.stream(_asked(input), config, **kwargs):
            parts.take(part)
        return parts.message()

    async def ainvoke(self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """As `invoke`."""
        parts = _Parts()
        async for part in self._chain.astream(_asked(input), config, **kwargs):
            parts.take(part)
        return parts.message()

    def stream(
        self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """The message in chunks, as the words become certain."""
        parts = _Parts()
        for part in self._chain.stream(_asked(input), config, **kwargs):
            if text := parts.take(part):
                yield parts.chunk(text)
        yield parts.last_chunk()

    async def astream(
        self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """As `stream`."""
        parts = _Parts()
        async for part in self._chain.astream(_asked(input), config, **kwargs):
            if text := parts.take(part):
                yield parts.chunk(text)
        yield parts.last_chunk()


def annotation(citation: Mapping[str, Any]) -> Citation:
    """LangChain's annotation of one of the chain's citations.

    `start_index` and `end_index` are the sentence in the answer, `cited_text` is the quote. The quote's own span in
    the document's stored text is in `extras`: `doc_id`, `start`, `end`, and its heading, page and passage.
    """
    return create_citation(
        title=citation["title"],
        start_index=citation.get("answer_start"),
        end_index=citation.get("answer_end"),
        cited_text=citation["quote"],
        # The same each time a conversation is read again.
        id=f"{citation['passage_id']}-{citation['start']}-{citation.get('answer_start', 0)}",
        **{name: citation[name] for name in _SOURCE},
    )


def answer_message(
    answer: str, citations: Iterable[Mapping[str, Any]], *, about: Mapping[str, Any] | None = None
) -> AIMessage:
    """An answer with its citations as annotations; `about` becomes its `response_metadata`."""
    return AIMessage(content=[_block(answer, citations)], response_metadata=dict(about or {}))


def thread_messages(exchanges: Iterable[Mapping[str, Any]]) -> list[BaseMessage]:
    """A conversation as memory keeps it (question, answer, citations) as messages, annotations and all."""
    messages: list[BaseMessage] = []
    for exchange in exchanges:
        messages += [
            HumanMessage(exchange["question"]),
            answer_message(exchange["answer"], exchange.get("citations", ())),
        ]
    return messages


class _Parts:
    """The parts of one answer, and the messages made of them."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._citations: list[Mapping[str, Any]] = []
        self._about: dict[str, Any] = {}
        self._id = f"lc_run--{uuid4()}"

    def take(self, part: Mapping[str, Any]) -> str:
        """Note a part of the chain's output; its piece of the answer, if it has one."""
        text: str = part.get("answer", "")
        self._texts.append(text)
        self._citations += part.get("citations", ())
        for name in _ABOUT:
            if name in part:
                self._about[name] = [*self._about.get(name, ()), *part[name]] if name == "notices" else part[name]
        return text

    def message(self) -> AIMessage:
        message = answer_message("".join(self._texts), self._citations, about=self._about)
        message.id = self._id
        return message

    def chunk(self, text: str) -> AIMessageChunk:
        return AIMessageChunk(content=[{**_block(text, ()), "index": _INDEX}], id=self._id)

    def last_chunk(self) -> AIMessageChunk:
        return AIMessageChunk(
            content=[{**_block("", self._citations), "index": _INDEX}],
            id=self._id,
            response_metadata=self._about,
            chunk_position="last",
        )


def _block(text: str, citations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    annotations = [annotation(citation) for citation in citations]
    return {"type": "text", "text": text, **({"annotations": annotations} if annotations else {})}


def _asked(given: AnswerInput) -> dict[str, Any]:
    if isinstance(given, str):
        return {"question": given}
    if isinstance(given, Mapping):
        return dict(given)
    if not given or not isinstance(given[-1], HumanMessage):
        raise InputError(
            found="a conversation that does not end with a human message",
            expected="a question, or a list of messages whose last one asks it",
            next_step='call it with "..." or [HumanMessage("...")]',
        )
    *before, last = given
    # Without messages before it, a thread's own memory counts.
    return {"question": plain_text(last), **({"history": before} if before else {})}

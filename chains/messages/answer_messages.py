"""Convert answers to LangChain messages with citation annotations, for callers who expect a chat model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.content import Citation, create_citation
from langchain_core.runnables import Runnable, RunnableConfig

from chains.errors import InputError
from chains.messages.content import plain_text
from chains.messages.traced import TracedRunnable

# Fields of a citation that are not part of LangChain's `Citation`.
_EXTRA_FIELDS = ("doc_id", "start", "end", "heading", "page", "passage_id", "support")
_METADATA_KEYS = ("query", "evidence_score", "form", "refused", "supported", "notices")
# Index of the only text block: LangChain merges the blocks of chunks with equal index.
_BLOCK_INDEX = 0

AnswerInput = str | Sequence[BaseMessage] | Mapping[str, Any]


class AnswerMessages(TracedRunnable[AnswerInput, AIMessage]):
    """A domain's chain with the interface of a chat model.

    Input: a question, a list of messages that ends with a human message, or the chain's own dict. Output: an
    `AIMessage` whose text block has a `Citation` annotation per supported sentence; `response_metadata` has the chain's
    `query`, `evidence_score`, `form`, `refused`, `supported` and `notices`. The chunks of a stream add up to the same
    message; the last one has the annotations.
    """

    def __init__(self, chain: Runnable[dict[str, Any], dict[str, Any]]) -> None:
        self._chain = chain

    def invoke(self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        def answer(given: AnswerInput, child: RunnableConfig) -> AIMessage:
            builder = _MessageBuilder()
            for part in self._chain.stream(_chain_input(given), child, **kwargs):
                builder.add(part)
            return builder.message()

        return self._traced_invoke(answer, input, config)

    async def ainvoke(self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        async def answer(given: AnswerInput, child: RunnableConfig) -> AIMessage:
            builder = _MessageBuilder()
            async for part in self._chain.astream(_chain_input(given), child, **kwargs):
                builder.add(part)
            return builder.message()

        return await self._traced_ainvoke(answer, input, config)

    def stream(
        self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        return self._traced_stream(lambda given, child: self._chunks(given, child, kwargs), input, config)

    async def astream(
        self, input: AnswerInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        stream = self._traced_astream(lambda given, child: self._achunks(given, child, kwargs), input, config)
        async with aclosing(cast(Any, stream)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _chunks(
        self, given: AnswerInput, config: RunnableConfig, settings: dict[str, Any]
    ) -> Generator[AIMessageChunk]:
        builder = _MessageBuilder()
        stream = self._chain.stream(_chain_input(given), config, **settings)
        with closing(cast(Any, stream)) as parts:
            for part in parts:
                if text := builder.add(part):
                    yield builder.chunk(text)
        yield builder.last_chunk()

    async def _achunks(
        self, given: AnswerInput, config: RunnableConfig, settings: dict[str, Any]
    ) -> AsyncGenerator[AIMessageChunk]:
        builder = _MessageBuilder()
        stream = self._chain.astream(_chain_input(given), config, **settings)
        async with aclosing(cast(Any, stream)) as parts:
            async for part in parts:
                if text := builder.add(part):
                    yield builder.chunk(text)
        yield builder.last_chunk()


def annotation(citation: Mapping[str, Any]) -> Citation:
    """Convert one of the chain's citations to a LangChain annotation.

    `start_index` and `end_index` are the span of the sentence in the answer, `cited_text` is the quote. `extras` has
    the quote's span in the stored document (`doc_id`, `start`, `end`), its heading, page and passage, and with `ocr`
    whether the page was read by text recognition.
    """
    extras: dict[str, Any] = {name: citation[name] for name in _EXTRA_FIELDS}
    if citation.get("ocr"):
        extras["ocr"] = True
    return create_citation(
        title=citation["title"],
        start_index=citation.get("answer_start"),
        end_index=citation.get("answer_end"),
        cited_text=citation["quote"],
        # Deterministic, so that a stored conversation keeps its ids.
        id=f"{citation['passage_id']}-{citation['start']}-{citation.get('answer_start', 0)}",
        **extras,
    )


def answer_message(
    answer: str, citations: Iterable[Mapping[str, Any]], *, metadata: Mapping[str, Any] | None = None
) -> AIMessage:
    """An answer with its citations as annotations; `metadata` becomes `response_metadata`."""
    return AIMessage(content=[_block(answer, citations)], response_metadata=dict(metadata or {}))


def thread_messages(turns: Iterable[Mapping[str, Any]]) -> list[BaseMessage]:
    """Convert the stored turns of a conversation to messages with annotations."""
    messages: list[BaseMessage] = []
    for turn in turns:
        messages += [HumanMessage(turn["question"]), answer_message(turn["answer"], turn.get("citations", ()))]
    return messages


class _MessageBuilder:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._citations: list[Mapping[str, Any]] = []
        self._metadata: dict[str, Any] = {}
        self._id = f"lc_run--{uuid4()}"

    def add(self, part: Mapping[str, Any]) -> str:
        """Add a part of the chain's output; returns its piece of the answer, or an empty string."""
        text: str = part.get("answer", "")
        self._texts.append(text)
        self._citations += part.get("citations", ())
        for name in _METADATA_KEYS:
            if name in part:
                self._metadata[name] = [*self._metadata.get(name, ()), *part[name]] if name == "notices" else part[name]
        return text

    def message(self) -> AIMessage:
        message = answer_message("".join(self._texts), self._citations, metadata=self._metadata)
        message.id = self._id
        return message

    def chunk(self, text: str) -> AIMessageChunk:
        return AIMessageChunk(content=[{**_block(text, ()), "index": _BLOCK_INDEX}], id=self._id)

    def last_chunk(self) -> AIMessageChunk:
        return AIMessageChunk(
            content=[{**_block("", self._citations), "index": _BLOCK_INDEX}],
            id=self._id,
            response_metadata=self._metadata,
            chunk_position="last",
        )


def _block(text: str, citations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    annotations = [annotation(citation) for citation in citations]
    return {"type": "text", "text": text, **({"annotations": annotations} if annotations else {})}


def _chain_input(value: AnswerInput) -> dict[str, Any]:
    if isinstance(value, str):
        return {"question": value}
    if isinstance(value, Mapping):
        return dict(value)
    messages = list(value) if isinstance(value, Sequence) else None
    if not messages or not isinstance(messages[-1], HumanMessage):
        is_list = messages is not None
        raise InputError(
            found="a conversation that does not end with a human message" if is_list else f"a {type(value).__name__}",
            expected="a question, or a list of messages that ends with it",
            next_step='call it with "..." or [HumanMessage("...")]',
        )
    *before, last = messages
    # Without earlier messages, the stored conversation of the thread is used.
    return {"question": plain_text(last), **({"history": before} if before else {})}

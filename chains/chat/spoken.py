"""A reply as it is spoken: text, tool calls and its end, and LangChain's messages of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from chains.chat.tool_calls import Call, CallReader
from soft_prompt import Decoding, PrefixStore, Reply, Row, stream


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One call of the chat model, ready to be decoded.

    Attributes:
        row: what the model reads, and what its reply must match.
        decoding: how.
        graft: the name of what fills the row's slots.
        tools: names that the reply may call; without any, all of it is text.
        once: one call at most.
    """

    row: Row
    decoding: Decoding
    graft: str
    tools: tuple[str, ...] = ()
    once: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The end of a reply, with what it took."""

    reply: Reply
    model: str
    graft: str


Piece = str | Call | End


def speak(
    store: PrefixStore, request: GenerationRequest, cancelled: Callable[[], bool] | None = None
) -> Generator[Piece]:
    """The reply in pieces, as they become certain; the last one is its end. Closing it stops decoding."""
    reader = CallReader(request.tools) if request.tools else None
    called = False
    for delta in stream(store, request.row, request.decoding, cancelled=cancelled):
        pieces: list[str | Call] = [delta.text] if delta.text else []
        if reader is not None:
            pieces = list(reader.take(delta.text))
            if delta.reply is not None:
                pieces += reader.finish(cut=delta.reply.finish == "length")
        for piece in pieces:
            if not (called and request.once and isinstance(piece, Call)):
                yield piece
            called = called or isinstance(piece, Call)
        if delta.reply is not None:
            yield End(delta.reply, store.backbone.id, request.graft)


def as_chunk(piece: Piece, calls: int) -> ChatGenerationChunk:
    """A piece as a stream gives it, after so many calls."""
    if isinstance(piece, str):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece))
    if isinstance(piece, Call):
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece.chunk(calls)]))
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=_usage(piece.reply),
            response_metadata=_metadata(piece),
            chunk_position="last",
        )
    )


def as_result(pieces: Sequence[Piece]) -> ChatResult:
    """All pieces of a reply as one message."""
    calls = [piece for piece in pieces if isinstance(piece, Call)]
    [end] = [piece for piece in pieces if isinstance(piece, End)]
    message = AIMessage(
        content="".join(piece for piece in pieces if isinstance(piece, str)),
        tool_calls=[call.valid() for call in calls if not call.problem],
        invalid_tool_calls=[call.invalid() for call in calls if call.problem],
        usage_metadata=_usage(end.reply),
        response_metadata=_metadata(end),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _metadata(end: End) -> dict[str, str]:
    return {
        "model_name": end.model,
        "model_provider": "softgraft",
        "graft": end.graft,
        "finish_reason": end.reply.finish,
    }


def _usage(reply: Reply) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=reply.prompt_tokens,
        output_tokens=reply.tokens,
        total_tokens=reply.prompt_tokens + reply.tokens,
        input_token_details=InputTokenDetails(cache_read=reply.cached_tokens),
    )
